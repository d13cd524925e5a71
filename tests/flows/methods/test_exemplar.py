"""The default method: mouths that are polished, and lips that keep the face's expression."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from flows.dub import dub
from flows.settings import DubSettings
from models.speech_to_lips.neutral import LOWER, UPPER
from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from stores.runs import recorded_runs
from tests.flows.conftest import computed
from tests.media_factory import make_video

pytestmark = pytest.mark.dub
Settings = Callable[..., DubSettings]


def made_by(settings: DubSettings, wanted: str = "render") -> Artifact:
    """The artifact of that kind of the last run that wrote this output."""
    store = Store(settings.store)
    runs = [run for run in recorded_runs(store) if run.output == str(settings.output.absolute())]
    ((kind, key),) = {each for each in runs[-1].artifacts if each[0] == wanted}
    return store.get(kind, key)


def test_a_polish_changes_the_mouths_and_nothing_else(settings: Settings, tmp_path: Path) -> None:
    plain = settings()
    dub(plain)
    before = made_by(plain)
    polished = settings(
        output=tmp_path / "polished.mp4", method_settings={"render": {"polish": True}}
    )
    report = dub(polished)
    after = made_by(polished)
    assert {"small_mouths", "render", "composite"} <= computed(report)
    assert not {"faces", "crops", "motion"} & computed(report)
    for name in ("mask", "own_shift", "transform", "valid"):
        np.testing.assert_array_equal(after.read(name), before.read(name), err_msg=name)
    shown = before.read("mask") > 200
    change = np.abs(after.read("patch").astype(int) - before.read("patch")).mean(-1)
    assert 0.5 < change[shown].mean() < 20
    beyond = np.abs(change[before.read("mask") == 0])
    assert np.quantile(beyond, 0.99) <= 3, "but for JPEG's noise"


@pytest.mark.parametrize("own_sound", [True, False])
def test_lips_keep_the_expression_and_speech_their_gap(
    settings: Settings, talk: Path, tmp_path: Path, own_sound: bool
) -> None:
    video = talk
    if not own_sound:
        video = make_video(tmp_path / "silent.mp4", frames=30, size=(400, 300), real_faces=True)
    alone = settings(
        video=video, output=tmp_path / "alone.mp4", method_settings={"expression": False}
    )
    assert "lip_expression" not in {stage.name for stage in dub(alone).stages}
    without = made_by(alone, "motion").read("mouth")
    both = settings(video=video)
    assert "lip_expression" in {stage.name for stage in dub(both).stages}
    kept, added = (made_by(both, kind).read("mouth") for kind in ("motion", "lip_expression"))
    source = made_by(both, "output_frames").read("source_frame")
    np.testing.assert_allclose(kept, without + added[source], atol=1e-6)
    assert 1e-4 < np.abs(added).max() < 0.05
    np.testing.assert_allclose(gaps(kept), gaps(without), atol=1e-6)


def gaps(mouth: np.ndarray) -> np.ndarray:
    """Between the middle inner-lip points, up and down [face heights]."""
    return np.asarray(mouth[:, LOWER, 1] - mouth[:, UPPER, 1])
