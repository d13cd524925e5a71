"""The timeline says what decoding shows: every frame's time, the cuts, the facts."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stores.errors import MediaError
from stores.media.read import read_frames
from stores.media.scanning import scan
from stores.media.scenes import SceneCuts, thumbnail
from stores.media.source import probe
from stores.media.timeline import Timeline
from tests.media_factory import (
    EXAMPLE,
    NTSC,
    Rgb,
    make_audio,
    make_still,
    make_video,
    pattern,
    variable_times,
)


@pytest.mark.parametrize("rate", [*NTSC.values(), Fraction(25), Fraction(50)], ids=str)
def test_every_frame_has_its_time(tmp_path: Path, rate: Fraction) -> None:
    found = scan(make_video(tmp_path / "a.mp4", rate=rate, frames=24))
    assert [int(pts) * found.time_base for pts in found.pts] == [i / rate for i in range(24)]
    assert found.end_pts * found.time_base == 24 / rate
    assert found.video.rate == rate
    assert found.keyframe[0] and found.scene_start[0]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_variable_times_are_kept(tmp_path: Path, suffix: str) -> None:
    times = variable_times(40)
    late = [700 + time for time in times]
    path = make_video(tmp_path / f"a{suffix}", pts=late, time_base=Fraction(1, 1000), rate=30)
    found = scan(path)
    assert [int(pts) * found.time_base * 1000 for pts in found.pts] == [t - times[0] for t in times]


def test_times_that_the_container_rounds_to_one_are_parted(tmp_path: Path) -> None:
    # Matroska counts milliseconds, these frames last half of one.
    path = make_video(tmp_path / "a.mkv", rate=2000, frames=20, codec="mpeg4")
    found = scan(path)
    assert len(found) == 20
    assert np.all(np.diff(found.pts) > 0)


@pytest.mark.parametrize(
    ("pix_fmt", "size", "codec", "expected"),
    [
        ("yuv420p", (160, 120), "libx264", "yuv420p"),
        ("yuv420p10le", (160, 120), "libx264", "yuv420p10le"),
        ("yuv422p", (160, 120), "libx264", "yuv422p"),
        ("yuv444p", (161, 121), "libx264", "yuv444p"),
        ("yuv420p", (161, 121), "libvpx-vp9", "yuv444p"),
        ("gray", (160, 120), "libx264", "yuv420p"),
        ("bgr0", (160, 120), "ffv1", "yuv444p"),
        ("yuv420p12le", (160, 120), "ffv1", "yuv420p10le"),
    ],
)
def test_layouts_map_to_the_nearest_that_can_be_encoded(
    tmp_path: Path, pix_fmt: str, size: tuple[int, int], codec: str, expected: str
) -> None:
    path = make_video(tmp_path / "a.mkv", frames=3, size=size, pix_fmt=pix_fmt, codec=codec)
    video = scan(path).video
    assert (video.frame_format, video.width, video.height) == (expected, *size)


def test_facts_of_the_stream(tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "a.mp4",
        frames=10,
        matrix=1,
        full_range=True,
        aspect=Fraction(4, 3),
        rotation=90,
        audio="aac",
        metadata={"title": "A tîtle"},
    )
    found = scan(path)
    video = found.video
    assert (video.width, video.height, video.rotation) == (120, 160, 270)
    assert (video.sample_aspect_num, video.sample_aspect_den) == (3, 4)
    assert (video.color_range, video.color_matrix, video.color_primaries) == (2, 1, 1)
    assert found.metadata["title"] == "A tîtle"
    assert found.audio is not None
    assert (found.audio.codec, found.audio.rate, found.audio.channels) == ("aac", 16000, 1)


def test_a_timeline_survives_being_stored(tmp_path: Path) -> None:
    found = scan(make_video(tmp_path / "a.mp4", frames=10, audio="aac"))
    arrays, attributes = found.to_record()
    again = Timeline.from_record(arrays, json.loads(json.dumps(attributes)))
    assert again.video == found.video and again.audio == found.audio
    assert again.end_pts == found.end_pts and again.metadata == found.metadata
    for name in arrays:
        np.testing.assert_array_equal(getattr(again, name), arrays[name])


def test_progress_counts_up_to_all_frames(tmp_path: Path) -> None:
    seen: list[int] = []
    scan(make_video(tmp_path / "a.mp4", frames=60), progress=seen.append)
    assert seen == sorted(seen) and seen[-1] == 60 and len(seen) > 1


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_still_is_one_frame(tmp_path: Path, suffix: str) -> None:
    path = make_still(tmp_path / f"a{suffix}")
    found = scan(path)
    assert found.still and len(found) == 1 and found.audio is None
    assert probe(path).kind == "still"


def test_probe_reads_the_header_only(tmp_path: Path) -> None:
    video = probe(make_video(tmp_path / "a.mp4", frames=10, audio="aac"))
    assert (video.kind, video.width, video.height, video.has_audio) == ("video", 160, 120, True)
    assert probe(make_audio(tmp_path / "a.wav")).kind == "audio"
    with pytest.raises(MediaError, match="no such file"):
        probe(tmp_path / "b.mp4")


def _starts(pictures: list[Rgb]) -> list[int]:
    cuts = SceneCuts()
    for picture in pictures:
        cuts.push(thumbnail(picture[..., 1], 8))
    return [int(start) for start in np.flatnonzero(cuts.starts())]


def _pictures(count: int, *, flip: bool = False) -> list[Rgb]:
    made = [pattern(i, 320, 180) for i in range(count)]
    return [255 - picture[::-1, ::-1] for picture in made] if flip else made


def test_a_cut_is_found_where_the_picture_changes_for_good() -> None:
    assert _starts(_pictures(12) + _pictures(12, flip=True)) == [0, 12]


def test_a_cut_to_a_short_scene_and_back_is_found() -> None:
    assert _starts(_pictures(12) + _pictures(8, flip=True) + _pictures(12)) == [0, 12, 20]


@pytest.mark.parametrize("length", [1, 2, 4])
def test_a_flash_is_no_cut(length: int) -> None:
    pictures = _pictures(24)
    pictures[10 : 10 + length] = [np.full_like(pictures[0], 250)] * length
    assert _starts(pictures) == [0]


def test_fast_motion_is_no_cut() -> None:
    wide = pattern(0, 3200, 180)
    assert _starts([np.ascontiguousarray(wide[:, 90 * i : 90 * i + 320]) for i in range(24)]) == [0]


def test_the_example_is_one_scene() -> None:
    found = scan(EXAMPLE)
    assert len(found) == 765 and found.scene_start.sum() == 1


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("orientation", [None, 1, 3, 6, 8])
def test_photos_are_upright(suffix: str, orientation: int | None, tmp_path: Path) -> None:
    """As cameras and phones write them: with EXIF, stored any way round."""
    picture = Image.fromarray(pattern(7, 160, 120))
    stored = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90}
    stored[8] = Image.Transpose.ROTATE_270
    exif = Image.Exif()
    exif[0x0110] = "a camera"
    if orientation is not None:
        exif[0x0112] = orientation
        picture = picture.transpose(stored[orientation]) if orientation > 1 else picture
    path = tmp_path / f"photo.{suffix}"
    picture.save(path, exif=exif, quality=95)
    found = scan(path)
    assert found.still
    assert (found.video.width, found.video.height) == (160, 120)
    (frame,) = read_frames(path, found, 0, 1)
    assert np.abs(frame.rgb().astype(int) - pattern(7, 160, 120)).mean() < 6
