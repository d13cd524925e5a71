"""Read ranges of frames by number, each checked against the timeline."""

import os
from collections.abc import Iterator
from itertools import tee
from pathlib import Path

import av
import av.container
import numpy as np
from av.video.frame import VideoFrame

from stores.errors import MediaError
from stores.media.fields import deinterlaced
from stores.media.frame import Frame, FrameMaker
from stores.media.source import demuxed, only, open_source, video_stream
from stores.media.timeline import Timeline

__all__ = ["Frame", "read_frames", "read_frames_reversed"]

_MAX_DECODER_THREADS = 8  # each holds a frame
_REVERSED_BYTES = 128 * 2**20
_ATTEMPTS = 3  # keyframes further and further back, the last of them the first frame


class _Missed(Exception):
    """The decoder did not reach the wanted frame from where it started."""


def read_frames(path: str | Path, timeline: Timeline, start: int, stop: int) -> Iterator[Frame]:
    """Decode the frames [start, stop) of a scanned file.

    Args:
        path: The file that `timeline` was scanned from.
        timeline: Its timeline.
        start: First frame.
        stop: One past the last frame.

    Yields:
        The frames in presentation order, each independent of the decoder.

    Raises:
        MediaError: The file is damaged or no longer the one that was scanned.
    """
    path = Path(path)
    if not 0 <= start <= stop <= len(timeline):
        raise ValueError(f"frames {start}..{stop} are not within the {len(timeline)} of {path}")
    if start == stop:
        return
    maker = FrameMaker(timeline.video)
    # To make a progressive picture of an interlaced frame, its neighbours are looked at.
    beside = int(timeline.video.interlaced)
    first, last = max(0, start - beside), min(stop + beside, len(timeline))
    stored = (maker.planar(each) for each in _checked(path, timeline, first, last))
    index = first
    for native, progressive in _in_pairs(stored) if beside else ((each, each) for each in stored):
        if index == stop:
            return
        if index >= start:
            yield maker.make(native, progressive, index=index, pts=int(timeline.pts[index]))
        index += 1


def _in_pairs(frames: Iterator[VideoFrame]) -> Iterator[tuple[VideoFrame, VideoFrame]]:
    """Each frame, and the progressive picture of it."""
    ones, others = tee(frames)
    return zip(ones, deinterlaced(others), strict=True)


def _checked(path: Path, timeline: Timeline, first: int, last: int) -> Iterator[VideoFrame]:
    """Decode the frames [first, last), each checked against the timeline."""
    index = first
    for decoded in _decoded(path, timeline, first):
        _check_frame(decoded, timeline, index, path)
        yield decoded
        index += 1
        if index == last:
            return
    raise MediaError(
        f"{path}: ends at frame {index} of {len(timeline)}; it changed or was cut short since it "
        "was scanned, run again"
    )


def read_frames_reversed(
    path: str | Path, timeline: Timeline, start: int, stop: int
) -> Iterator[Frame]:
    """Decode the frames [start, stop) of a scanned file from the last to the first.

    Reads forward in pieces that fit in 128 MiB, so that memory does not grow with the range.

    Raises:
        MediaError: The file is damaged or no longer the one that was scanned.
    """
    video = timeline.video
    frame_bytes = 3 * video.width * video.height * (2 if video.frame_format.endswith("le") else 1)
    piece = max(4, _REVERSED_BYTES // frame_bytes)
    for end in range(stop, start, -piece):
        yield from reversed(list(read_frames(path, timeline, max(start, end - piece), end)))


def _decoded(path: Path, timeline: Timeline, start: int) -> Iterator[VideoFrame]:
    """Decode from frame `start` on to the end of the file."""
    keyframes = np.flatnonzero(timeline.keyframe[: start + 1])[::-1]
    # Frames that share a time can't be told apart after a seek.
    seekable = len(timeline) > 1 and bool(np.all(np.diff(timeline.decoded_pts) > 0))
    origins = [int(key) for key in keyframes[: _ATTEMPTS - 1] if key > 0] if seekable else []
    for origin in [*origins, 0]:
        with open_source(path) as container:
            frames = _from_keyframe(container, timeline, origin, path)
            try:
                first = _advance(frames, timeline, start, counted=origin == 0)
            except (_Missed, av.error.InvalidDataError):
                continue
            yield first
            yield from frames
            return
    raise MediaError(
        f"{path}: frame {start} is not where it was; the file changed since it was scanned, "
        "run again"
    )


def _from_keyframe(
    container: av.container.InputContainer, timeline: Timeline, key: int, path: Path
) -> Iterator[VideoFrame]:
    stream = video_stream(container, path)
    if not timeline.still and stream.time_base != timeline.time_base:
        raise MediaError(
            f"{path}: counts time in {stream.time_base} s, not {timeline.time_base} s; the file "
            "changed since it was scanned, run again"
        )
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = min(os.cpu_count() or 1, _MAX_DECODER_THREADS)
    only(container, stream)
    if key > 0:
        container.seek(int(timeline.decoded_pts[key]), stream=stream)
    for packet in demuxed(container, stream):
        if packet.stream.index == stream.index:
            yield from stream.decode(packet)


def _advance(
    frames: Iterator[VideoFrame], timeline: Timeline, start: int, *, counted: bool
) -> VideoFrame:
    """Skip to frame `start`; from the file's beginning by counting, else by time."""
    if counted:
        for index, frame in enumerate(frames):
            if index == start:
                return frame
        raise _Missed
    wanted = int(timeline.decoded_pts[start])
    key_seen = False
    for frame in frames:
        pts = frame.pts if frame.pts is not None else frame.dts
        if pts is None or pts > wanted:
            raise _Missed
        key_seen |= bool(frame.key_frame)
        if pts == wanted:
            if not key_seen:
                # Frames that lead a keyframe in time lack what they are predicted from.
                raise _Missed
            return frame
    raise _Missed


def _check_frame(decoded: VideoFrame, timeline: Timeline, index: int, path: Path) -> None:
    if decoded.is_corrupt:
        raise MediaError(f"{path}: frame {index} is damaged; export or copy the file again")
    video = timeline.video
    stored, found = video.stored_size, (decoded.width, decoded.height, decoded.format.name)
    if found != (*stored, video.pix_fmt) and not video.scaled:
        raise MediaError(
            f"{path}: frame {index} is {found[0]}x{found[1]} {found[2]}, not "
            f"{stored[0]}x{stored[1]} {video.pix_fmt}; the file changed since it was scanned, "
            "run again"
        )
    pts = decoded.pts if decoded.pts is not None else decoded.dts
    expected = int(timeline.decoded_pts[index])
    known = pts is not None and expected >= 0
    if known and not timeline.still and pts != expected:
        raise MediaError(
            f"{path}: frame {index} is shown at tick {pts}, not {expected}; the file changed since "
            "it was scanned, run again"
        )
