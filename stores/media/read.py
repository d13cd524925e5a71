"""Read ranges of frames by number, each checked against the timeline."""

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import islice, tee
from pathlib import Path

import av
import av.container
import numpy as np
from av.video.frame import VideoFrame
from jaxtyping import Int64

from stores.errors import MediaError
from stores.media.facts import VideoFacts
from stores.media.fields import deinterlaced
from stores.media.frame import Frame, FrameMaker
from stores.media.source import demuxed, media_errors, only, open_source, video_stream
from stores.media.timeline import Timeline

__all__ = [
    "Frame",
    "FrameReader",
    "OpenVideo",
    "made_frames",
    "read_frames",
]

_MAX_DECODER_THREADS = 8  # each holds a frame
_KEPT_IN_MEMORY, _KEPT_ON_DISK = 128 * 2**20, 8 * 2**30  # bytes of frames to be read backwards
_ATTEMPTS = 3  # keyframes further and further back, the last of them the first frame
MARKS_UNUSED = {"h264"}
"""Codecs whose packets say exactly whether any other picture is predicted from theirs."""

_Open = Callable[[int | None], AbstractContextManager[av.container.InputContainer]]
"""Opens the file to be read from the keyframe at a tick on; None: from its beginning."""


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

    def stored(first: int, last: int) -> Iterator[VideoFrame]:
        return _checked(path, timeline, first, last, lambda _: open_source(path))

    yield from made_frames(stored, timeline.video, timeline.pts, start, stop)


class FrameReader:
    """Reads ranges of a scanned file; where one begins at the end of the last, decoding goes on.

    To begin anywhere, all has to be decoded from the keyframe before on: in a range of 64 frames
    that is twice as much as the range itself. For one thread at a time.
    """

    def __init__(self, path: str | Path, timeline: Timeline) -> None:
        self._path, self._timeline = Path(path), timeline
        self._frames: Iterator[Frame] = iter(())
        self._at = -1
        self._kept: _Kept | None = None

    def read(self, start: int, stop: int) -> Iterator[Frame]:
        """As `read_frames`; ends what was given before."""
        if start != self._at:
            self._frames = read_frames(self._path, self._timeline, start, len(self._timeline))
            self._at = start
        while self._at < stop:
            frame = next(self._frames)
            self._at += 1
            yield frame

    def read_back(self, start: int, stop: int) -> Iterator[Frame]:
        """Decode the frames [start, stop) from the last to the first; each group of pictures once.

        Raises:
            MediaError: as `read_frames`.
        """
        for row in range(stop - 1, start - 1, -1):
            if self._kept is None or row not in self._kept.rows:
                self._kept = None  # frees its room first
                self._kept = _Kept(self._path, self._timeline, row)
            yield self._kept.frame(row)


class _Kept:
    """Frames from a keyframe up to one that is asked for, decoded and laid aside.

    In memory as long as they are few, then in a temporary file of up to 8 GiB, or half of what is
    free there; the group's beginning is left out if it is longer still.
    """

    def __init__(self, path: Path, timeline: Timeline, last: int) -> None:
        keys, video = np.flatnonzero(timeline.keyframe[: last + 1]), timeline.video
        deep = 2 if video.frame_format.endswith("le") else 1
        largest = 3 * video.width * video.height * deep * (2 if video.interlaced else 1)
        room = min(_KEPT_ON_DISK, shutil.disk_usage(tempfile.gettempdir()).free // 2)
        most = max(_KEPT_IN_MEMORY, room) // largest
        first = max(int(keys[-1]) if len(keys) else 0, last + 1 - max(1, most))
        self.rows = range(first, last + 1)
        self._pts = timeline.pts
        file = tempfile.SpooledTemporaryFile(max_size=_KEPT_IN_MEMORY)  # noqa: SIM115
        weakref.finalize(self, file.close)
        self._file = file
        for frame in read_frames(path, timeline, first, last + 1):
            self._file.write(frame.samples())
        self._last, self._bytes = frame, self._file.tell() // len(self.rows)

    def frame(self, row: int) -> Frame:
        """One of them."""
        self._file.seek((row - self.rows.start) * self._bytes)
        samples = self._file.read(self._bytes)
        return self._last.refilled(samples, index=row, pts=int(self._pts[row]))


class OpenVideo:
    """A scanned file that stays open, to be read from anywhere on; for one thread at a time."""

    def __init__(self, path: Path, timeline: Timeline) -> None:
        self._path, self._timeline = path, timeline
        self._files = ExitStack()
        self._container: av.container.InputContainer | None = None

    def frames(self, start: int) -> Iterator[Frame]:
        """As `read_frames` up to the end; ends what was given before.

        Raises:
            MediaError: as `read_frames`.
        """
        clip = self._timeline

        def stored(first: int, last: int) -> Iterator[VideoFrame]:
            return _checked(self._path, clip, first, last, self._open, skipping=True)

        return made_frames(stored, clip.video, clip.pts, start, len(clip))

    def close(self) -> None:
        """Close the file; it is opened again when frames are asked for."""
        self._files.close()
        self._container = None

    @contextmanager
    def _open(self, keyframe: int | None) -> Iterator[av.container.InputContainer]:
        # Not every file can be wound back to its start.
        if keyframe is None or self._container is None:
            self.close()
            self._container = self._files.enter_context(open_source(self._path))
        with media_errors(self._path):
            yield self._container


def made_frames(
    stored: Callable[[int, int], Iterator[VideoFrame]],
    video: VideoFacts,
    pts: Int64[np.ndarray, " frame"],
    start: int,
    stop: int,
) -> Iterator[Frame]:
    """Make upright frames of those that a decoder gives.

    Args:
        stored: Decodes the frames [first, last).
        video: What they are.
        pts: ticks of all frames.
        start: First frame.
        stop: One past the last frame.
    """
    if start == stop:
        return
    maker = FrameMaker(video)
    # To make a progressive picture of an interlaced frame, its neighbours are looked at.
    beside = int(video.interlaced)
    first, last = max(0, start - beside), min(stop + beside, len(pts))
    planar = (maker.planar(each) for each in stored(first, last))
    index = first
    for native, progressive in _in_pairs(planar) if beside else ((each, each) for each in planar):
        if index == stop:
            return
        if index >= start:
            yield maker.make(native, progressive, index=index, pts=int(pts[index]))
        index += 1


def _in_pairs(frames: Iterator[VideoFrame]) -> Iterator[tuple[VideoFrame, VideoFrame]]:
    """Each frame, and the progressive picture of it."""
    ones, others = tee(frames)
    return zip(ones, deinterlaced(others), strict=True)


def _checked(
    path: Path, timeline: Timeline, first: int, last: int, opened: _Open, *, skipping: bool = False
) -> Iterator[VideoFrame]:
    """Decode the frames [first, last), each checked against the timeline.

    Args:
        skipping: Let the decoder leave out what lies before the first and isn't needed for it.
    """
    index = first
    for decoded in _decoded(path, timeline, first, opened, skipping=skipping):
        _check_frame(decoded, timeline, index, path)
        yield decoded
        index += 1
        if index == last:
            return
    raise MediaError(
        f"{path}: ends at frame {index} of {len(timeline)}; it changed or was cut short since it "
        "was scanned, run again"
    )


def _decoded(
    path: Path, timeline: Timeline, start: int, opened: _Open, *, skipping: bool
) -> Iterator[VideoFrame]:
    """Decode from frame `start` on to the end of the file."""
    keyframes = np.flatnonzero(timeline.keyframe[: start + 1])[::-1]
    # Frames that share a time can't be told apart after a seek.
    seekable = len(timeline) > 1 and bool(np.all(np.diff(timeline.decoded_pts) > 0))
    video = timeline.video
    skipping &= seekable and video.codec in MARKS_UNUSED and not video.interlaced
    keys = keyframes[: _ATTEMPTS - 1] if seekable else keyframes[:0]
    part = timeline.part
    origins: list[int | None] = [int(timeline.decoded_pts[key]) for key in keys if key or part]
    origins += [part.keyframe] if part and part.keyframe is not None else []
    attempts = [(origin, skipping) for origin in origins]
    attempts += [(None, True)] * skipping + [(None, False)]
    for origin, skip in attempts:
        with opened(origin) as container:
            needed = int(timeline.decoded_pts[start]) if skip else None
            frames = _from_keyframe(container, timeline, origin, path, needed)
            try:
                if origin is None and not skip and part is None:
                    first = next(islice(frames, start, None))
                else:
                    first = _advance(frames, timeline, start, whole=origin is None)
            except (_Missed, StopIteration, av.error.InvalidDataError):
                continue
            yield first
            yield from frames
            return
    raise MediaError(
        f"{path}: frame {start} is not where it was; the file changed since it was scanned, "
        "run again"
    )


def _from_keyframe(
    container: av.container.InputContainer,
    timeline: Timeline,
    keyframe: int | None,
    path: Path,
    needed: int | None,
) -> Iterator[VideoFrame]:
    """Decode from the keyframe at a tick on, or from the beginning.

    Args:
        needed: Of what is shown before this tick, only what it takes; None: all.
    """
    stream = video_stream(container, path)
    if not timeline.still and stream.time_base != timeline.time_base:
        raise MediaError(
            f"{path}: counts time in {stream.time_base} s, not {timeline.time_base} s; the file "
            "changed since it was scanned, run again"
        )
    context = stream.codec_context
    if not context.is_open:
        stream.thread_type = "AUTO"
        context.thread_count = min(os.cpu_count() or 1, _MAX_DECODER_THREADS)
    only(container, stream)
    if keyframe is not None:
        container.seek(keyframe, stream=stream)
    for packet in demuxed(container, stream):
        if packet.stream.index == stream.index:
            if needed is not None:
                skip = packet.pts is not None and packet.pts < needed
                context.skip_frame = "NONREF" if skip else "DEFAULT"
            yield from stream.decode(packet)


def _advance(
    frames: Iterator[VideoFrame], timeline: Timeline, start: int, *, whole: bool
) -> VideoFrame:
    """Skip to frame `start` by its time.

    Args:
        whole: The frames are the file's from its beginning on.
    """
    wanted = int(timeline.decoded_pts[start])
    key_seen = whole
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
