"""Real clips, where they lie beside the checkout: nothing lost, nothing re-timed."""

import csv
from pathlib import Path

import numpy as np
import pytest

from flows.dub import dub
from flows.settings import read_settings
from stores.errors import MediaError
from stores.media.audio import decode_audio
from stores.media.scanning import scan
from tests.media_factory import EXAMPLE

pytestmark = [pytest.mark.clips, pytest.mark.dub]

FEW = ("validation/p011_0015.mp4", "validation/p161_0448.mp4")
WITHOUT_FACE = ("no_face.mp4", "noface_face.mov", "face_noface.mov")


def check_clip(path: Path, folder: Path) -> None:
    """Dub a clip with the example's speech; compare frames, times and sound."""
    output = folder / f"{path.stem}.mp4"
    given = read_settings(
        None,
        [],
        {
            "video": path,
            "audio": EXAMPLE.with_name("jfk.wav"),
            "output": output,
            "store": str(folder / "store"),
            "workers": 2,
        },
    )
    report = dub(given)
    before, after = scan(path), scan(output)
    assert report.frames == len(before) == len(after)
    tick = max(float(before.time_base), float(after.time_base))
    np.testing.assert_allclose(after.seconds, before.seconds, atol=tick)
    assert len(decode_audio(output)) == round(before.end_pts * before.time_base * 16000)
    untouched = sum(stop - start for start, stop in report.no_face_ranges)
    assert report.valid_frames == report.frames - untouched


@pytest.mark.parametrize("name", FEW)
def test_some_clips(clips: Path, tmp_path: Path, name: str) -> None:
    check_clip(clips / name, tmp_path)


@pytest.mark.slow
def test_all_validation_clips(clips: Path, tmp_path: Path) -> None:
    with (clips / "manifest.csv").open() as file:
        names = [row["file"] for row in csv.DictReader(file) if row["split"] == "validation"]
    failed = {}
    for name in names:
        try:
            check_clip(clips / name, tmp_path)
        except (AssertionError, MediaError) as error:
            failed[name] = str(error)
    assert not failed, failed
    assert len(names) >= 80


@pytest.mark.slow
@pytest.mark.parametrize("name", WITHOUT_FACE)
def test_clips_without_a_face(clips: Path, tmp_path: Path, name: str) -> None:
    check_clip(clips / "extra" / name, tmp_path)
