"""What a dub has read is let go with the stage that read it, and not when Python looks for it."""

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.dub import dub
from flows.settings import DubSettings
from stores.artifacts.jpegs import JpegRows

pytestmark = pytest.mark.dub


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def readers() -> int:
    return sum(type(each) is JpegRows for each in gc.get_objects())


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("polish", [False, True])
def test_pictures_that_were_read_are_let_go(
    settings: Callable[..., DubSettings], tmp_path: Path, polish: bool
) -> None:
    before = readers()
    changes = {"method_settings": {"render": {"polish": polish}}, "workers": 1}
    report = dub(settings(store=str(tmp_path / "store"), **changes))
    assert {"render", "composite"} <= {stage.name for stage in report.stages if stage.computed}
    assert readers() == before
