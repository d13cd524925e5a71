"""Interlaced video: looked at as progressive pictures, changed and encoded as it is."""

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from stores.media.encode import encode_segment
from stores.media.fields import field_order, flagged
from stores.media.frame import Frame
from stores.media.planes import plane_views
from stores.media.read import read_frames
from stores.media.scanning import scan
from stores.media.settings import EncodeSettings
from tests.media_factory import make_video, pattern
from tests.stores.media.test_mux import rewrite

SIZE = (160, 120)


@pytest.mark.parametrize("order", ["tff", "bff"])
@pytest.mark.parametrize(
    ("suffix", "codec"),
    [(".mp4", "libx264"), (".ts", "mpeg2video"), (".mpg", "mpeg2video"), (".mov", "prores_ks")],
)
def test_fields_keep_their_order(tmp_path: Path, order: str, suffix: str, codec: str) -> None:
    source = make_video(
        tmp_path / f"a{suffix}",
        size=SIZE,
        field_order=order,
        codec=codec,
        pix_fmt="yuv422p10le" if codec == "prores_ks" else "yuv420p",
    )
    before, after = rewrite(source, tmp_path / "b.mov")
    assert before.video.field_order == after.video.field_order == order
    assert len(after) == len(before) == 30


def test_the_picture_looked_at_is_that_of_the_first_field(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", size=SIZE, field_order="tff", options={"crf": "1"})
    clip = scan(path)

    def distance(luma: np.ndarray, number: int) -> float:
        drawn = av.VideoFrame.from_ndarray(pattern(number, *SIZE), format="rgb24")
        of_field = drawn.reformat(format="yuv420p").to_ndarray()[: SIZE[1]]
        return float(np.abs(luma - of_field.astype(int)).mean())

    for frame in read_frames(path, clip, 5, 15):
        stored, seen = (plane_views(frame.native(progressive=p))[0] for p in (False, True))
        first, second = 2 * frame.index, 2 * frame.index + 1
        assert distance(seen, first) < 0.5 * distance(seen, second)
        assert distance(stored, first) > 0.8 * distance(stored, second), "half of it is the second"


def twice(tmp_path: Path) -> tuple[Frame, Frame]:
    """One interlaced frame, read two times."""
    path = make_video(tmp_path / "a.mp4", size=SIZE, field_order="tff")
    clip = scan(path)
    (one,), (same,) = (list(read_frames(path, clip, 8, 9)) for _ in range(2))
    return one, same


def test_a_patch_changes_both_fields_and_nothing_around_it(tmp_path: Path) -> None:
    before, frame = twice(tmp_path)
    same = frame.crop_rgb(40, 40, 80, 80)
    frame.paste_rgb(40, 40, same)
    for old, new in zip(plane_views(before.native()), plane_views(frame.native()), strict=True):
        np.testing.assert_array_equal(new, old, "an unchanged patch keeps the fields")
    frame.paste_rgb(40, 40, np.full((40, 40, 3), 250, np.uint8))
    luma, old_luma = plane_views(frame.native())[0], plane_views(before.native())[0]
    assert np.ptp(luma[40:80, 40:80]) <= 1, "both fields are replaced"
    outside = np.ones(luma.shape, bool)
    outside[40:80, 40:80] = False
    np.testing.assert_array_equal(luma[outside], old_luma[outside])
    assert frame.crop_rgb(44, 44, 76, 76).min() > 245
    copy = frame.copy()
    np.testing.assert_array_equal(plane_views(copy.native())[0], luma)
    np.testing.assert_array_equal(copy.rgb(), frame.rgb())


def test_of_another_field_goes_as_much_as_of_the_one_that_is_looked_at(tmp_path: Path) -> None:
    before, frame = twice(tmp_path)
    planes = frame.planes(40, 40, 80, 80)
    drawn = planes.luma.copy()
    drawn[:, 20:] = np.minimum(drawn[:, 20:], 3)  # little changes where it was nearly as dark
    opacity = np.repeat(np.arange(40)[None] >= 20, 40, axis=0).astype(np.float32)
    frame.paste(replace(planes, luma=drawn), opacity)
    assert frame.interlaced
    luma, old_luma = plane_views(frame.native())[0], plane_views(before.native())[0]
    np.testing.assert_array_equal(luma[40:80, 60:80], drawn[:, 20:], "both fields are alike")
    np.testing.assert_array_equal(luma[40:80, 40:60], old_luma[40:80, 40:60], "both stay")
    copies = [frame.planes(40, 40, 80, 80).luma for frame in (frame, before)]
    np.testing.assert_array_equal(copies[0], np.where(opacity > 0, drawn, copies[1]))


def test_the_frames_say_the_order_where_the_header_does_not(tmp_path: Path) -> None:
    """DV is shot bottom first, and AVI has no place to say so."""
    path = make_video(
        tmp_path / "a.avi", frames=4, size=(720, 576), codec="dvvideo", field_order="bff"
    )
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.field_order == 0
        frame = next(container.decode(video=0))
        assert field_order(frame) == scan(path).video.field_order == "bff"
    (top,) = flagged([frame], "tff")
    assert field_order(top) == "tff"


@pytest.mark.parametrize(("codec", "order"), [("h264", "tff"), ("hevc", "progressive")])
def test_copied_frames_keep_the_order_and_hevc_has_none(
    tmp_path: Path, codec: str, order: str
) -> None:
    path = make_video(tmp_path / "a.mp4", frames=6, size=SIZE, field_order="tff")
    settings = EncodeSettings.model_validate({"codec": codec})
    _, after = rewrite(path, tmp_path / "b.mp4", settings=settings)
    assert (after.video.field_order, len(after)) == (order, 6)
    clip = scan(path)
    plain = encode_segment(read_frames(path, clip, 0, 6), clip.video, settings)
    copies = (frame.copy() for frame in read_frames(path, clip, 0, 6))
    assert encode_segment(copies, clip.video, settings).payload.tobytes() == plain.payload.tobytes()
