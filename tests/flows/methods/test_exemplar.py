"""The default method asked to polish its mouths."""

from collections.abc import Callable

import numpy as np
import pytest

from flows.dub import dub
from flows.settings import DubSettings
from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from stores.runs import recorded_runs
from tests.flows.conftest import computed

pytestmark = pytest.mark.dub
Settings = Callable[..., DubSettings]


def render_of(settings: DubSettings) -> Artifact:
    """The `render` of the last run that wrote this output."""
    store = Store(settings.store)
    runs = [run for run in recorded_runs(store) if run.output == str(settings.output.absolute())]
    ((kind, key),) = {each for each in runs[-1].artifacts if each[0] == "render"}
    return store.get(kind, key)


def test_a_polish_changes_the_mouths_and_nothing_else(settings: Settings) -> None:
    plain = settings()
    dub(plain)
    before = render_of(plain)
    polished = settings(method_settings={"render": {"polish": True}})
    report = dub(polished)
    after = render_of(polished)
    assert {"small_mouths", "render", "composite"} <= computed(report)
    assert not {"faces", "crops", "motion"} & computed(report)
    for name in ("mask", "own_shift", "transform", "valid"):
        np.testing.assert_array_equal(after.read(name), before.read(name), err_msg=name)
    shown = before.read("mask") > 200
    change = np.abs(after.read("patch").astype(int) - before.read("patch")).mean(-1)
    assert 0.5 < change[shown].mean() < 20
    beyond = np.abs(change[before.read("mask") == 0])
    assert np.quantile(beyond, 0.99) <= 3, "but for JPEG's noise"
