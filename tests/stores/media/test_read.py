"""Frames come back by number, upright, in the right colours, and take patches cleanly."""

import dataclasses
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from stores.errors import MediaError
from stores.media import read
from stores.media.frame import FrameMaker
from stores.media.planes import plane_views
from stores.media.read import Frame, FrameReader, read_frames
from stores.media.scanning import scan
from stores.media.source import open_source
from stores.media.timeline import Timeline
from tests.media_factory import make_still, make_video, pattern, variable_times

LAYOUTS = ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le"]


def flat(index: int, width: int, height: int) -> npt.NDArray[np.uint8]:
    """A picture without detail, so that only the colours can be wrong."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2] = (200, 40, 60)
    image[height // 2 :, : width // 2] = (30, 90, 180)
    image[height // 2 :, width // 2 :] = (120, 120, 20 + index)
    return image


def smooth(index: int, width: int, height: int) -> npt.NDArray[np.uint8]:
    """Colours that change slowly, so that how chroma is interpolated hardly matters."""
    x, y = np.meshgrid(np.arange(width) / width, np.arange(height) / height)
    waves = np.stack([np.sin(5 * x + 3 * y), np.cos(4 * y - x), np.sin(3 * x - 2 * y)], axis=-1)
    return (128 + 90 * waves).astype(np.uint8)


def first_frame(path: Path) -> Frame:
    timeline = scan(path)
    return next(iter(read_frames(path, timeline, 0, 1)))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"options": {"x264-params": "open-gop=1:keyint=12:bframes=3:scenecut=0"}},
        {"options": {"g": "1"}},
        {"codec": "mpeg4", "suffix": ".avi"},
        {"codec": "mpeg2video", "suffix": ".mpg"},
        {"suffix": ".ts"},
        {"pts": variable_times(50), "time_base": Fraction(1, 1000)},
        {"field_order": "bff"},
    ],
    ids=["h264", "open-gop", "intra", "avi", "mpg", "ts", "variable", "interlaced"],
)
def test_any_range_holds_the_same_frames(tmp_path: Path, options: dict[str, object]) -> None:
    suffix = options.get("suffix", ".mp4")
    others = {name: value for name, value in options.items() if name != "suffix"}
    path = make_video(tmp_path / f"a{suffix}", frames=50, **others)  # type: ignore[arg-type]
    timeline = scan(path)
    pictures = [frame.rgb() for frame in read_frames(path, timeline, 0, 50)]
    assert len(pictures) == 50
    for start, stop in [(0, 1), (11, 14), (25, 50), (49, 50), (7, 7)]:
        frames = list(read_frames(path, timeline, start, stop))
        assert [frame.index for frame in frames] == list(range(start, stop))
        assert [frame.pts for frame in frames] == timeline.pts[start:stop].tolist()
        for frame in frames:
            np.testing.assert_array_equal(frame.rgb(), pictures[frame.index])
    reader = FrameReader(path, timeline)
    for start, stop in [(11, 14), (14, 20), (20, 20), (20, 33), (5, 7), (33, 50), (0, 2)]:
        frames = list(reader.read(start, stop))
        assert [frame.index for frame in frames] == list(range(start, stop))
        for frame in frames:
            np.testing.assert_array_equal(frame.rgb(), pictures[frame.index])


def test_a_recording_may_start_between_keyframes(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.ts", frames=50, options={"g": "20"})
    whole = scan(path)
    packets = path.read_bytes()
    path.write_bytes(packets[: 188 * 3] + packets[188 * 8 :])
    rest = scan(path)
    first = len(whole) - len(rest)
    assert 0 < first <= 20 and whole.keyframe[first] and rest.keyframe[0]
    np.testing.assert_array_equal(rest.decoded_pts, whole.decoded_pts[first:])
    np.testing.assert_array_equal(np.diff(rest.pts), np.diff(whole.pts[first:]))
    frames = list(read_frames(path, rest, 15, len(rest)))
    assert [frame.pts for frame in frames] == rest.pts[15:].tolist()


@pytest.mark.parametrize(
    "change", [{}, {"rotation": 90}, {"field_order": "tff"}, {"pix_fmt": "yuv422p10le"}], ids=str
)
def test_frames_can_be_read_backwards(change: dict[str, Any], tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=30, **change)
    timeline = scan(path)
    forward = [frame.rgb() for frame in read_frames(path, timeline, 3, 28)]
    reader = FrameReader(path, timeline)
    backward = [*reader.read_back(20, 28), *reader.read_back(3, 20)]
    assert [frame.index for frame in backward] == list(range(27, 2, -1))
    for frame in backward:
        assert frame.pts == timeline.pts[frame.index]
        np.testing.assert_array_equal(frame.rgb(), forward[frame.index - 3])


def test_going_back_decodes_each_group_of_pictures_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video(
        tmp_path / "a.mp4", frames=60, options={"x264-params": "keyint=20:scenecut=0"}
    )
    timeline, decoded = scan(path), []

    def counting(path: Path, timeline: Timeline, start: int, stop: int) -> Iterator[Frame]:
        decoded.append((start, stop))
        return read_frames(path, timeline, start, stop)

    monkeypatch.setattr("stores.media.read.read_frames", counting)
    monkeypatch.setattr("stores.media.read._KEPT_IN_MEMORY", 4 * 160 * 120)  # the rest: on disk
    reader = FrameReader(path, timeline)
    for stop in range(55, 0, -11):
        assert [frame.index for frame in reader.read_back(stop - 11, stop)][-1] == stop - 11
    assert decoded == [(40, 55), (20, 40), (0, 20)]
    decoded.clear()
    monkeypatch.setattr("stores.media.read._KEPT_ON_DISK", 0)  # nor there: the group in pieces
    monkeypatch.setattr("stores.media.read._KEPT_IN_MEMORY", 8 * 3 * 160 * 120)
    assert [frame.index for frame in FrameReader(path, timeline).read_back(25, 40)][-1] == 25
    assert decoded == [(32, 40), (24, 32)]


def test_another_file_under_the_same_name_is_noticed(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=30)
    timeline = scan(path)
    make_video(path, frames=30, rate=24)
    with pytest.raises(MediaError, match="changed since it was scanned"):
        list(read_frames(path, timeline, 10, 20))
    make_video(path, frames=12)
    with pytest.raises(MediaError, match="scanned"):
        list(read_frames(path, timeline, 10, 20))


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotated_video_is_upright(tmp_path: Path, rotation: int) -> None:
    frame = first_frame(make_video(tmp_path / "a.mp4", frames=2, draw=flat, rotation=rotation))
    expected = np.rot90(flat(0, 160, 120), rotation // 90)
    assert frame.rgb().shape == expected.shape
    assert np.abs(frame.rgb().astype(int) - expected).mean() < 4


@pytest.mark.parametrize("pix_fmt", LAYOUTS)
@pytest.mark.parametrize(("matrix", "full_range"), [(1, False), (6, False), (6, True)])
def test_colours_are_right(tmp_path: Path, pix_fmt: str, matrix: int, full_range: bool) -> None:
    path = make_video(
        tmp_path / "a.mkv",
        frames=2,
        draw=flat,
        pix_fmt=pix_fmt,
        matrix=matrix,
        full_range=full_range,
        options={"crf": "1"},
    )
    frame = first_frame(path)
    expected = flat(0, 160, 120)
    inner = [(slice(8, 52), slice(8, 152)), (slice(68, 112), slice(8, 72))]
    for where in inner:
        assert np.abs(frame.rgb()[where].astype(int) - expected[where]).max() <= 3


def test_large_pictures_count_as_bt709_where_nothing_is_said(tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "a.mkv", frames=2, size=(1280, 720), draw=flat, matrix=1, codec="ffv1"
    )
    timeline = scan(path)
    silent = dataclasses.replace(
        timeline, video=dataclasses.replace(timeline.video, color_matrix=2)
    )
    told, guessed = (next(iter(read_frames(path, t, 0, 1))).rgb() for t in (timeline, silent))
    np.testing.assert_array_equal(told, guessed)


def test_scaling_down_keeps_shape_and_colours(tmp_path: Path) -> None:
    frame = first_frame(make_video(tmp_path / "a.mp4", frames=2, size=(320, 180), draw=flat))
    small = frame.rgb(max_side=100)
    assert small.shape == (56, 100, 3)
    assert np.abs(small[8:20, 8:90].astype(int) - (200, 40, 60)).max() <= 5
    assert frame.rgb(max_side=1000).shape == (180, 320, 3)


@pytest.mark.parametrize("pix_fmt", LAYOUTS)
def test_crops_equal_the_whole_and_pasting_them_back_changes_nothing(
    tmp_path: Path, pix_fmt: str
) -> None:
    frame = first_frame(make_video(tmp_path / "a.mkv", frames=2, pix_fmt=pix_fmt, codec="ffv1"))
    before = [plane.copy() for plane in plane_views(frame.native())]
    whole = frame.rgb()
    for x0, y0, x1, y1 in [(0, 0, 160, 120), (1, 1, 2, 2), (37, 11, 90, 60), (159, 119, 160, 120)]:
        crop = frame.crop_rgb(x0, y0, x1, y1)
        assert np.abs(crop.astype(int) - whole[y0:y1, x0:x1]).max() <= 1
        frame.paste_rgb(x0, y0, crop)
    for old, new in zip(before, plane_views(frame.native()), strict=True):
        np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize("pix_fmt", LAYOUTS)
def test_a_patch_replaces_what_its_mask_covers_and_nothing_else(
    tmp_path: Path, pix_fmt: str
) -> None:
    path = make_video(tmp_path / "a.mkv", frames=2, pix_fmt=pix_fmt, codec="ffv1")
    frame = first_frame(path)
    before = [plane.copy() for plane in plane_views(frame.native())]
    patch = np.full((50, 40, 3), (180, 90, 60), np.uint8)
    mask = np.zeros((50, 40))
    mask[5:45, 7:33] = 1.0
    frame.paste_rgb(31, 21, patch, mask)
    after = plane_views(frame.native())
    covered = np.zeros((120, 160), bool)
    covered[26:66, 38:64] = True
    for old, new in zip(before, after, strict=True):
        rows, columns = 120 // old.shape[0], 160 // old.shape[1]
        part = covered.reshape(old.shape[0], rows, old.shape[1], columns).any(axis=(1, 3))
        np.testing.assert_array_equal(new[~part], old[~part])
    shown = frame.crop_rgb(42, 30, 60, 62).astype(int)
    assert np.abs(shown - (180, 90, 60)).max() <= 2
    untouched = next(iter(read_frames(path, scan(path), 0, 1)))
    np.testing.assert_array_equal(plane_views(untouched.native())[0], before[0])


def test_half_a_mask_is_half_a_patch(tmp_path: Path) -> None:
    frame = first_frame(make_video(tmp_path / "a.mkv", frames=2, draw=flat, codec="ffv1"))
    old = frame.crop_rgb(20, 20, 40, 40).astype(int)
    frame.paste_rgb(20, 20, np.full((20, 20, 3), 128, np.uint8), np.full((20, 20), 0.5))
    new = frame.crop_rgb(20, 20, 40, 40).astype(int)
    assert np.abs(new - (old + 128) / 2)[4:-4, 4:-4].max() <= 3


def test_pasting_does_not_reach_later_frames(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=20)
    timeline = scan(path)
    clean = [frame.rgb() for frame in read_frames(path, timeline, 0, 20)]
    for frame in read_frames(path, timeline, 0, 20):
        np.testing.assert_array_equal(frame.rgb(), clean[frame.index])
        frame.paste_rgb(0, 0, np.zeros((120, 160, 3), np.uint8))


def test_copies_are_independent(tmp_path: Path) -> None:
    frame = first_frame(make_video(tmp_path / "a.mp4", frames=2))
    copy = frame.copy()
    frame.paste_rgb(0, 0, np.zeros((120, 160, 3), np.uint8))
    assert copy.rgb().mean() > 50 > frame.rgb().mean()


def test_rectangles_outside_the_picture_are_refused(tmp_path: Path) -> None:
    frame = first_frame(make_video(tmp_path / "a.mp4", frames=2))
    for corners in [(-1, 0, 10, 10), (0, 0, 161, 10), (5, 5, 5, 10)]:
        with pytest.raises(ValueError, match="inside"):
            frame.crop_rgb(*corners)
    with pytest.raises(ValueError, match="inside"):
        frame.paste_rgb(150, 0, np.zeros((20, 20, 3), np.uint8))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_still_is_read_like_a_frame(tmp_path: Path, suffix: str) -> None:
    frame = first_frame(make_still(tmp_path / f"a{suffix}", size=(161, 121)))
    expected = pattern(0, 161, 121)
    assert frame.rgb().shape == expected.shape
    assert np.abs(frame.rgb().astype(int) - expected).mean() < 4


def test_a_reader_goes_on_where_the_last_range_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video(tmp_path / "a.mp4", frames=30)
    reader, opened = FrameReader(path, scan(path)), []
    monkeypatch.setattr(read, "open_source", lambda *given: opened.append(1) or open_source(*given))
    for start in (0, 10, 20):
        assert len(list(reader.read(start, start + 10))) == 10
    assert len(opened) == 1
    next(iter(reader.read(4, 8)))
    assert [frame.index for frame in reader.read(8, 10)] == [8, 9]
    assert len(opened) == 3, "a range that was left in the middle is not gone on with"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_scaled_and_warped_parts_are_those_of_the_picture(tmp_path: Path, layout: str) -> None:
    path = make_video(tmp_path / "a.mkv", frames=2, pix_fmt=layout, size=(160, 120), draw=smooth)
    frame = first_frame(path)
    whole = frame.rgb()
    part = frame.scaled_rgb(20, 10, 140, 100, 60, 45).astype(int)
    wanted = cv2.resize(whole[10:100, 20:140], (60, 45), interpolation=cv2.INTER_AREA)
    assert np.abs(part - wanted).max() <= 6
    to_frame = np.array([[0.8, -0.3, 60], [0.3, 0.8, 20]], np.float32)
    centres = to_frame.astype(np.float64)
    centres[:, 2] += centres[:, :2] @ [0.5, 0.5] - 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    square = frame.warped_rgb(to_frame, 64).astype(int)
    off = np.abs(square - cv2.warpAffine(whole, centres, (64, 64), flags=flags))
    assert off.max() <= 8 and off.mean() < 1.5


def test_black_lies_beyond_the_picture(tmp_path: Path) -> None:
    frame = first_frame(make_video(tmp_path / "a.mp4", frames=2, size=(160, 120), draw=flat))
    square = frame.warped_rgb(np.array([[1, 0, 140], [0, 1, 100]], np.float32), 40)
    assert square[:18, :18].max() > 30 and square[24:, 24:].max() <= 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_planes_that_are_put_back_change_nothing_and_others_their_place(
    tmp_path: Path, layout: str
) -> None:
    path = make_video(tmp_path / "a.mkv", frames=2, pix_fmt=layout, size=(160, 120))
    frame, same = first_frame(path), first_frame(path)
    planes = same.planes(33, 21, 70, 60)
    assert (planes.x0, planes.y0) <= (33, 21)
    same.paste(planes)
    for old, new in zip(plane_views(frame.native()), plane_views(same.native()), strict=True):
        np.testing.assert_array_equal(old, new)
    dark = dataclasses.replace(planes, luma=np.zeros_like(planes.luma))
    same.paste(dark)
    h, w = planes.luma.shape
    luma = plane_views(same.native())[0]
    assert not luma[planes.y0 : planes.y0 + h, planes.x0 : planes.x0 + w].any()
    assert (luma == 0).sum() == h * w + (plane_views(frame.native())[0] == 0).sum()


def test_a_picture_without_a_file_has_no_time_base_to_copy(tmp_path: Path) -> None:
    facts = scan(make_video(tmp_path / "a.mp4", frames=2, size=(160, 120))).video
    alone = av.VideoFrame.from_ndarray(smooth(0, 160, 120), format="rgb24")
    twin = alone.reformat(format="yuvj420p")
    assert twin.time_base is None
    frame = FrameMaker(facts).make(twin, twin, index=0, pts=0)
    assert frame.rgb().shape == (120, 160, 3)
