"""Frames of an open video, asked for in any order, are those of a plain decoder, bit for bit."""

import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from stores.media.encode import encode_segment
from stores.media.frame import FrameMaker
from stores.media.planes import plane_views
from stores.media.read import OpenVideo, made_frames, read_frames
from stores.media.scanning import scan
from stores.media.segment import encoded_facts, segment_frames
from stores.media.settings import EncodeSettings
from stores.media.timeline import Timeline
from tests.media_factory import make_video, variable_times

FRAMES = 60
LONG = {"x264-params": "keyint=60:bframes=3:b-pyramid=normal:scenecut=0"}
NEGATIVE = {"avoid_negative_ts": "disabled", "use_editlist": "1"}

KINDS: dict[str, dict[str, Any]] = {
    "23.976": {"rate": Fraction(24000, 1001), "options": LONG},
    "59.94": {"rate": Fraction(60000, 1001), "options": LONG},
    "variable": {"pts": variable_times(FRAMES), "time_base": Fraction(1, 1000)},
    "rotated": {"rotation": 90, "options": LONG},
    "edit list": {"pts": list(range(-7, FRAMES - 7)), "container_options": NEGATIVE},
    "open gop": {"options": {"x264-params": "open-gop=1:keyint=12:bframes=3:scenecut=0"}},
    "hevc": {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=60:bframes=4"}},
    "interlaced": {"field_order": "tff"},
}


def decoded(path: Path, clip: Timeline) -> list[Any]:
    """RGB of every frame that a decoder gives that begins at the beginning."""
    maker = FrameMaker(clip.video)
    with av.open(str(path)) as container:
        planar = [maker.planar(frame) for frame in container.decode(video=0)]
    return [
        maker.make(frame, frame, index=index, pts=int(pts)).rgb()
        for index, (frame, pts) in enumerate(zip(planar, clip.pts, strict=True))
    ]


LONG_TIER = {"open gop", "hevc", "interlaced"}


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=[pytest.mark.long] if k in LONG_TIER else []) for k in KINDS]
)
def test_frames_in_any_order_are_the_decoders(kind: str, tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=FRAMES, **KINDS[kind])
    clip = scan(path)
    if clip.video.interlaced:
        true = [frame.rgb() for frame in read_frames(path, clip, 0, len(clip))]
    else:
        true = decoded(path, clip)
    video = OpenVideo(path, clip)
    for index in (*random.Random(1).choices(range(len(clip)), k=16), len(clip) - 1, 0, 1):
        following = video.frames(index)
        for frame, at in zip(following, range(index, min(index + 3, len(clip))), strict=False):
            assert frame.index == at
            np.testing.assert_array_equal(frame.rgb(), true[at], err_msg=f"{kind}, frame {at}")
    video.close()
    assert next(video.frames(5)).index == 5


@pytest.mark.parametrize("change", [{}, {"rotation": 90}, {"field_order": "tff"}], ids=str)
def test_segments_decode_from_any_frame_on(change: dict[str, Any], tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=30, **change)
    clip, settings = scan(path), EncodeSettings(keyframe_seconds=0.4)
    segment = encode_segment(read_frames(path, clip, 0, 30), clip.video, settings)
    whole = list(segment_frames(segment, 0))
    assert len(whole) == 30
    for start in (0, 1, 9, 10, 11, 29):
        found = list(segment_frames(segment, start))
        assert len(found) == 30 - start
        for frame, same in zip(found, whole[start:], strict=True):
            for plane, other in zip(plane_views(frame), plane_views(same), strict=True):
                np.testing.assert_array_equal(plane, other)
    facts = encoded_facts(clip.video, settings)
    (frame,) = made_frames(lambda a, b: iter(whole[a:b]), facts, clip.pts, 4, 5)
    (source,) = read_frames(path, clip, 4, 5)
    assert np.abs(frame.rgb().astype(int) - source.rgb()).mean() < 3
