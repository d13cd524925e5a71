"""Preview frames of a video, evenly over its length, for people who want to see what is in it.

Not for work: a frame may be one or two away from where it was asked for, and is decoded without
the filter that smooths blocks, so that a look costs a tenth of what reading the video does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.container
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from jaxtyping import Int64

from stores.errors import MediaError
from stores.media.frame import Frame, FrameMaker
from stores.media.read import read_frames
from stores.media.scanning import scan
from stores.media.source import demuxed, only, open_source, video_stream
from stores.media.stream_facts import ColorTags, video_facts

__all__ = ["glance"]

_NEAR = 0.4
"""A keyframe so near, as a share of the time between two frames, does as well."""

_DENSE = 8
"""With so many frames for each that is shown, those that no other needs are not decoded."""


@dataclass(frozen=True)
class _Index:
    """Presentation times of frames, in ticks: of all, and of those where decoding can start."""

    all: Int64[np.ndarray, " frame"]
    keys: Int64[np.ndarray, " keyframe"]


def glance(path: str | Path, count: int) -> Iterator[Frame]:
    """Decode `count` frames, or fewer where there are no more.

    Args:
        path: A local video or still image.
        count: 2 at least.

    Yields:
        Frames in presentation order, from near the first to near the last.

    Raises:
        MediaError: The file is missing or can't be read. Damage between the frames goes unseen.
    """
    path = Path(path)
    with open_source(path) as container:
        index = _index(container, path)
    if index is None:
        clip = scan(path)
        for row in _spread(len(clip), count):
            yield from read_frames(path, clip, row, row + 1)
        return
    maker: FrameMaker | None = None
    with open_source(path) as container:
        stream = video_stream(container, path)
        time_base = stream.time_base or Fraction(1, 1000)
        declared = ColorTags.declared(stream)
        for frame in _picked(container, stream, index, _wanted(index, count)):
            if maker is None:
                rate = stream.average_rate or Fraction(25)
                maker = FrameMaker(video_facts(frame, stream, time_base, rate, declared))
            pts = _time(frame)
            frame.time_base = time_base  # of a flushed one it is not known
            planar = maker.planar(frame)
            yield maker.make(planar, planar, index=int(np.searchsorted(index.all, pts)), pts=pts)
    if maker is None:
        raise MediaError(f"{path}: not one frame can be decoded")


def _index(container: av.container.InputContainer, path: Path) -> _Index | None:
    """Read all packets and decode none; None if frames can't be found by their times."""
    stream = video_stream(container, path)
    only(container, stream)
    times, keys = [], []
    for packet in demuxed(container, stream):
        if packet.stream.index != stream.index or not packet.size or packet.is_discard:
            continue
        if packet.pts is None:
            return None
        times.append(packet.pts)
        if packet.is_keyframe:
            keys.append(packet.pts)
    found = _Index(np.unique(np.asarray(times, np.int64)), np.unique(np.asarray(keys, np.int64)))
    sound = 1 < len(times) == len(found.all) and keys and found.keys[0] == found.all[0]
    return found if sound else None


def _spread(length: int, count: int) -> list[int]:
    rows: list[int] = np.unique(np.linspace(0, length - 1, min(count, length)).astype(int)).tolist()
    return rows


def _wanted(index: _Index, count: int) -> list[int]:
    """Times of the frames to show: of a keyframe, where one is near."""
    rows = _spread(len(index.all), count)
    near = _NEAR * (int(index.all[-1]) - int(index.all[0])) / max(1, len(rows) - 1)
    wanted = []
    for time in index.all[rows].tolist():
        key = int(index.keys[np.argmin(np.abs(index.keys - time))])
        wanted.append(key if abs(key - time) <= near else int(time))
    return wanted


def _picked(
    container: av.container.InputContainer, stream: VideoStream, index: _Index, wanted: list[int]
) -> Iterator[VideoFrame]:
    """One frame for each wanted time, in a single pass that jumps over what nobody needs."""
    only(container, stream)
    stream.codec_context.options = {**stream.codec_context.options, "skip_loop_filter": "all"}
    if len(index.all) > _DENSE * len(wanted):
        stream.codec_context.skip_frame = "NONREF"
    keys = set(index.keys.tolist())
    decoding: Iterator[VideoFrame] | None = None
    reached, last = 0, None
    for time in wanted:
        key = int(index.keys[np.searchsorted(index.keys, time, side="right") - 1])
        if time in keys:
            decoding = None
            if (frame := _keyframe(container, stream, key)) is not None:
                yield frame
            continue
        if decoding is None or reached < key:
            decoding, last = _from(container, stream, key), None
        for frame in decoding:
            last, reached = frame, _time(frame)
            if reached >= time:
                break
        if last is not None:  # the frames at the very end may be among those skipped
            yield last


def _keyframe(
    container: av.container.InputContainer, stream: VideoStream, key: int
) -> VideoFrame | None:
    """Decode one frame, which needs no other."""
    container.seek(key, stream=stream)
    for packet in demuxed(container, stream):
        if packet.stream.index == stream.index and packet.pts == key:
            return next(iter([*stream.decode(packet), *stream.decode(None)]), None)
    return None


def _from(
    container: av.container.InputContainer, stream: VideoStream, key: int
) -> Iterator[VideoFrame]:
    """Decode from a keyframe on to the end of the file."""
    container.seek(key, stream=stream)
    for packet in demuxed(container, stream):
        if packet.stream.index == stream.index:
            for frame in stream.decode(packet):
                if _time(frame) >= key:  # earlier ones lack what they are predicted from
                    yield frame


def _time(frame: VideoFrame) -> int:
    time = frame.pts if frame.pts is not None else frame.dts
    return -1 if time is None else int(time)
