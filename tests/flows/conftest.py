"""Short real inputs and a store that the dub tests share, so that most stages run once."""

import os
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.dub_report import DubReport
from flows.settings import DubSettings, read_settings
from tests.media_factory import EXAMPLE, make_video

FRAMES = 60


@pytest.fixture(scope="session")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 frames of the example's face at 25 fps, with a sound track."""
    path = tmp_path_factory.mktemp("media") / "talk.mp4"
    return make_video(path, frames=FRAMES, size=(400, 300), real_faces=True, audio="aac")


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 1.8 s of the example's speech, 16 kHz."""
    return cut_wav(EXAMPLE.with_name("jfk.wav"), tmp_path_factory.mktemp("speech"), 0.3, 2.1)


def cut_wav(source: Path, folder: Path, start: float, stop: float) -> Path:
    """Write the part [start, stop) s of a wave file."""
    target = folder / f"{start}-{stop}.wav"
    with wave.open(str(source)) as read, wave.open(str(target), "wb") as write:
        write.setparams(read.getparams())
        read.setpos(round(start * read.getframerate()))
        write.writeframes(read.readframes(round((stop - start) * read.getframerate())))
    return target


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that the tests of all processes use: what one computed, the others find."""
    folder = tmp_path_factory.getbasetemp()
    return (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "shared store"


@pytest.fixture
def settings(
    talk: Path, speech: Path, shared_store: Path, tmp_path: Path
) -> Callable[..., DubSettings]:
    """Settings of a dub of `talk` with `speech`, changed as asked."""

    def make(**changes: Any) -> DubSettings:
        given = {
            "video": talk,
            "audio": speech,
            "output": tmp_path / "out.mp4",
            "store": str(shared_store),
            "workers": 2,
        }
        return read_settings(None, [], given | changes)

    return make


def computed(report: DubReport) -> set[str]:
    """Stages that computed anything."""
    return {stage.name for stage in report.stages if stage.computed}
