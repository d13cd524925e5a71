"""Of a video of which a part is dubbed, that part is read, and the result is as of the whole."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.dub import dub
from flows.dub_report import DubReport
from flows.settings import DubSettings
from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from stores.media.audio import decode_audio
from stores.media.read import read_frames
from stores.media.scanning import scan
from tasks.result.settings import SyncSettings
from tasks.result.source_part import part_to_read
from tests.media_factory import make_video

MINUTES = 600


@pytest.fixture(scope="module")
def lengthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten minutes by its header, of hardly a frame."""
    path = tmp_path_factory.mktemp("media") / "long.mp4"
    return make_video(path, frames=MINUTES, size=(32, 32), rate=1)


@pytest.mark.parametrize(
    ("sync", "face", "part"),
    [
        ({"start_seconds": 60, "end_seconds": 90}, "largest", (60, 90)),
        ({"start_seconds": 60, "end_seconds": 70}, "largest", (55, 75)),
        ({"end_seconds": 4}, "largest", (0, 20)),
        ({"start_seconds": 598}, "largest", (580, 600)),
        ({"start_seconds": 60, "end_seconds": 90}, "10,20@100.5", (60, 101.5)),
        ({"start_seconds": 60, "end_seconds": 90}, "track:1", None),
        ({"start_seconds": 60, "end_seconds": 90, "read": "whole"}, "largest", None),
        ({"start_seconds": 60, "end_seconds": 90, "read": (50, 95)}, "largest", (50, 95)),
        ({"start_seconds": 50}, "largest", None),  # nearly all
        ({"start_seconds": 900}, "largest", None),
        ({}, "largest", None),
    ],
)
def test_what_is_read(lengthy: Path, sync: Any, face: str, part: Any) -> None:
    found = part_to_read(lengthy, SyncSettings.model_validate(sync), face)
    assert (None if found is None else (found.start, found.stop)) == part


def _made(given: DubSettings, report: DubReport, kind: str) -> Artifact:
    key = next(stage.key for stage in report.stages if stage.name == kind)
    return Store(given.store).get(kind, key)


@pytest.mark.long
def test_a_dub_of_a_part_is_as_of_the_whole(
    settings: Callable[..., DubSettings], tmp_path: Path
) -> None:
    video = make_video(
        tmp_path / "talk.mp4",
        frames=150,
        size=(400, 300),
        real_faces=True,
        audio="aac",
        metadata={"timecode": "10:00:00:00"},
        options={"x264-params": "keyint=40:bframes=2"},
    )
    outputs = []
    for read in ("whole", (1.9, 5.5)):
        given = settings(
            video=video,
            output=tmp_path / f"{read}.mov",
            sync={"start_seconds": 2.4, "end_seconds": 4.4, "read": read},
            face="200,150@3",
            keep_background_db=-6.0,
            origin={"mark": False},
            encode={"crf": 4},
        )
        report = dub(given)
        assert (report.frames, report.seconds) == (50, 2.0)
        outputs.append(given.output)
    assert _made(given, report, "landmarks").sizes["frame"] == 90
    (whole, part), source = map(scan, outputs), scan(video)
    assert part.timecode == whole.timecode == "10:00:02:10"
    np.testing.assert_array_equal(part.pts, whole.pts)
    sounds = [decode_audio(path) for path in outputs]
    np.testing.assert_array_equal(*sounds)
    pictures = read_frames(outputs[1], part, 0, 50)
    for frame, true in zip(pictures, read_frames(video, source, 60, 110), strict=True):
        top = slice(0, 60)  # above the mouth
        assert np.abs(frame.rgb()[top].astype(int) - true.rgb()[top]).mean() < 2
