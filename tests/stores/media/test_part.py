"""A part of a file is what the whole file's timeline says of it, whatever was decoded for it."""

from pathlib import Path

import numpy as np
import pytest

from stores.media.read import FrameReader
from stores.media.scanning import scan
from tests.media_factory import make_video
from tests.stores.media.test_seek import FRAMES, KINDS, LONG, LONG_TIER


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=[pytest.mark.long] if k in LONG_TIER else []) for k in KINDS]
)
def test_a_part_is_cut_out_of_the_whole(kind: str, tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "a.mp4", frames=FRAMES, metadata={"timecode": "01:00:00:00"}, **KINDS[kind]
    )
    whole = scan(path)
    start, stop = 23, 41
    span = (float(whole.seconds[start]), float(whole.seconds[stop]))
    part, cut = scan(path, part=span), whole.cut(start, stop)
    for name in ("pts", "decoded_pts", "keyframe", "scene_start"):
        np.testing.assert_array_equal(getattr(part, name), getattr(cut, name), err_msg=name)
    facts = ("end_pts", "part", "timecode", "audio", "metadata")
    assert [getattr(part, f) for f in facts] == [getattr(cut, f) for f in facts]
    assert part.begin_seconds == pytest.approx(whole.seconds[start])
    reader, every = FrameReader(path, part), FrameReader(path, whole)
    for first, last in ((0, 5), (5, 18), (11, 14), (2, 4)):
        for frame, same in zip(
            reader.read(first, last), every.read(start + first, start + last), strict=True
        ):
            assert frame.index == same.index - start
            if not (whole.video.interlaced and frame.index in (0, 17)):  # they lack a neighbour
                np.testing.assert_array_equal(frame.rgb(), same.rgb())


def test_only_the_part_is_decoded(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mkv", frames=100, options={"x264-params": "keyint=20"})
    seen: list[int] = []
    part = scan(path, part=(3.0, 3.6), progress=seen.append)
    assert part.part is not None and (len(part), part.part.begin) == (15, 3000)
    assert max(seen, default=0) <= 50  # from the keyframe before, and a few to tell cuts


def test_where_a_part_cannot_be_found_the_whole_is_decoded(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.ts", frames=50, options=LONG)
    whole = scan(path)
    part = scan(path, part=(0.4, 1.0))
    np.testing.assert_array_equal(part.decoded_pts, whole.decoded_pts[10:25])
    beyond = scan(path, part=(90.0, 95.0))
    assert len(beyond) == len(whole) and beyond.part is None
