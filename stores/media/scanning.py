"""Decode every packet of a file once, refuse damage, and note what each frame is."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import av.container
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.buffer import Buffer
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from stores.errors import MediaError
from stores.media.clock import clock_zero, longest_step
from stores.media.facts import AudioFacts, VideoFacts, frame_format
from stores.media.planes import plane_view
from stores.media.scenes import SceneCuts, Thumbnail, thumbnail
from stores.media.source import (
    MAX_SECONDS,
    check_structure,
    demuxed,
    limited_metadata,
    open_source,
    sound_streams,
    video_stream,
    whole_still,
)
from stores.media.timeline import Timeline

STILL_RATE = Fraction(25)
_PROGRESS_FRAMES = 25
_COUNTED_FORMATS = {"mov", "mp4", "avi"}  # their headers say how many packets there are
_NO_PTS = np.iinfo(np.int64).min
_DIRECT_LUMA = ("yuv", "nv", "gray", "p01")


def scan(path: str | Path, *, progress: Callable[[int], None] | None = None) -> Timeline:
    """Decode a whole video and give its timeline.

    Args:
        path: A local video or still image.
        progress: Called now and then with the number of frames decoded so far.

    Returns:
        The timeline; a still image has one frame that lasts 1/25 s.

    Raises:
        MediaError: The file is missing, empty, cut short or damaged, has no picture, or holds a
            video of a single frame or without duration.
    """
    path = Path(path)
    found = Scanner(path, progress=progress).run()
    if not found.still and len(found) < 2:
        raise MediaError(
            f"{path}: a video of a single frame; give a longer one, or the frame as PNG or JPEG"
        )
    return found


class Scanner:
    """One pass over a file; `run` gives the timeline."""

    def __init__(self, path: Path, *, progress: Callable[[int], None] | None = None) -> None:
        self._path = path
        self._progress = progress
        self._pts: list[int] = []
        self._keyframe: list[bool] = []
        self._cuts = SceneCuts()
        self._first: VideoFrame | None = None
        self._last_duration = 0
        self._packets: dict[int, int] = {}
        self._shown = 0

    def run(self) -> Timeline:
        """Decode all and give the timeline."""
        with open_source(self._path) as container:
            stream = video_stream(container, self._path)
            stream.thread_type = "AUTO"
            check_structure(container, self._path)
            audio = next(iter(sound_streams(container)), None)
            self._decode(container, stream, audio)
            still = container.format.name.endswith("_pipe") or (
                container.format.name == "gif" and len(self._pts) == 1
            )
            if still and not whole_still(self._path):
                raise self._cut_short("not all of its picture")
            self._check_counts(container, stream)
            return self._timeline(container, stream, audio, still)

    def _decode(
        self,
        container: av.container.InputContainer,
        stream: VideoStream,
        audio: AudioStream | None,
    ) -> None:
        for other in container.streams:
            if other.index not in (stream.index, audio.index if audio else -1):
                other.discard = av.stream.Discard.all
        for packet in demuxed(container, stream):
            index = packet.stream.index  # the packets that flush know only their stream
            if packet.size:
                self._packets[index] = self._packets.get(index, 0) + 1
            if packet.is_corrupt:
                raise self._damage(f"packet {self._packets.get(index, 0)} is marked as such")
            if index == stream.index:
                self._shown += bool(packet.size and not packet.is_discard)
                try:
                    frames = stream.decode(packet)
                except av.error.FFmpegError as error:
                    raise self._damage(
                        f"frame {len(self._pts)} or soon after can't be decoded"
                    ) from error
                for frame in frames:
                    self._take(frame)
            elif audio is not None and index == audio.index:
                try:
                    audio.decode(packet)
                except av.error.FFmpegError as error:
                    number = self._packets.get(index, 0)
                    raise self._damage(f"packet {number} of its sound can't be decoded") from error

    def _damage(self, where: str) -> MediaError:
        return MediaError(f"{self._path}: damaged ({where}); export or copy the file again")

    def _take(self, frame: VideoFrame) -> None:
        """Note one decoded frame, in presentation order."""
        index = len(self._pts)
        if frame.is_corrupt:
            raise self._damage(f"frame {index} can't be decoded")
        first = self._first
        if first is None:
            self._first = first = frame
        elif (frame.width, frame.height, frame.format.name) != (
            first.width,
            first.height,
            first.format.name,
        ):
            raise MediaError(
                f"{self._path}: the picture changes from {first.width}x{first.height} "
                f"{first.format.name} to {frame.width}x{frame.height} {frame.format.name} at frame "
                f"{index}; convert the video to one size first"
            )
        pts = frame.pts if frame.pts is not None else frame.dts
        self._pts.append(_NO_PTS if pts is None else pts)
        self._keyframe.append(bool(frame.key_frame))
        self._last_duration = frame.duration
        self._cuts.push(_frame_thumbnail(frame))
        if self._progress and index % _PROGRESS_FRAMES == _PROGRESS_FRAMES - 1:
            self._progress(index + 1)

    def _check_counts(self, container: av.container.InputContainer, stream: VideoStream) -> None:
        """Compare what the header promises, what was read, and what was decoded."""
        frames = len(self._pts)
        if not frames or self._first is None:
            raise MediaError(
                f"{self._path}: not one frame can be decoded; the file is cut short or damaged, "
                "export or copy it again"
            )
        read = self._packets.get(stream.index, 0)
        counted = _COUNTED_FORMATS & set(container.format.name.split(","))
        if counted and stream.frames > read:
            raise self._cut_short(f"{read} of {stream.frames} frames")
        for other in container.streams:
            if len(other.index_entries) and counted:
                last = other.index_entries[-1]
                if last.pos + last.size > self._path.stat().st_size:
                    raise self._cut_short(f"not all of its {other.type}")
        if frames < self._shown:
            raise self._damage(f"{self._shown - frames} of {self._shown} frames can't be decoded")
        # Formats without counts: the header's length against what came.
        promised = container.duration / av.time_base if container.duration else 0.0
        known = [pts for pts in (self._pts[0], self._pts[-1]) if pts != _NO_PTS]
        if stream.time_base is not None and len(known) == 2:
            seconds = float((known[1] - known[0]) * stream.time_base)
            is_bound = not container.streams.audio and not (counted and self._all_listed(stream))
            if is_bound and promised > seconds + 2 + 0.02 * promised and frames > 1:
                raise self._cut_short(f"{seconds:.1f} of {promised:.1f} seconds")
        said = _seconds_tag(stream)
        if said is not None and len(known) == 2 and stream.time_base is not None:
            seconds = float(known[1] * stream.time_base)
            if said - seconds > 0.25 + 3 * seconds / frames:
                raise self._cut_short(f"{seconds:.1f} of {said:.1f} seconds")
        if self._progress:
            self._progress(frames)

    def _cut_short(self, what: str) -> MediaError:
        return MediaError(f"{self._path}: cut short, it holds {what}; copy or download it again")

    def _timeline(
        self,
        container: av.container.InputContainer,
        stream: VideoStream,
        audio: AudioStream | None,
        still: bool,
    ) -> Timeline:
        assert self._first is not None
        frames = len(self._pts)
        time_base = stream.time_base or Fraction(1, 1000)
        if still:
            time_base = 1 / STILL_RATE
            raw = np.zeros(1, dtype=np.int64)
            pts, end = raw, 1
        else:
            raw = np.asarray(self._pts, dtype=np.int64)
            zero = round(clock_zero(container) / time_base)
            nominal = max(1, self._nominal_ticks(stream, time_base))
            pts = _increasing(raw, nominal, self._path)
            _check_steps(pts, round(longest_step(container) / time_base), self._path)
            end = int(pts[-1]) + self._last_ticks(stream, pts, nominal) - zero
            pts = pts - zero
        seconds = float((end - int(pts[0])) * time_base)
        if seconds > MAX_SECONDS:
            raise MediaError(
                f"{self._path}: {seconds / 3600:.0f} hours long, more than the limit of "
                f"{MAX_SECONDS // 3600}; cut it first"
            )
        rate = Fraction(frames) / ((end - int(pts[0])) * time_base)
        # A neighbourly rate such as 30000/1001 instead of the quotient of two long numbers.
        if stream.average_rate and abs(float(stream.average_rate / rate) - 1) < 1e-3:
            rate = stream.average_rate
        return Timeline(
            pts=pts,
            decoded_pts=raw,
            keyframe=np.asarray(self._keyframe, dtype=np.bool_),
            scene_start=self._cuts.starts(),
            end_pts=end,
            video=video_facts(self._first, stream, time_base, rate.limit_denominator(1_000_000)),
            audio=audio_facts_of(audio) if audio is not None and not still else None,
            metadata=limited_metadata(dict(container.metadata)),
            still=still,
        )

    def _nominal_ticks(self, stream: VideoStream, time_base: Fraction) -> int:
        rate = stream.average_rate or stream.guessed_rate
        return round(1 / (rate * time_base)) if rate else 1

    def _all_listed(self, stream: VideoStream) -> bool:
        return 0 < stream.frames == self._packets.get(stream.index, 0)

    def _last_ticks(self, stream: VideoStream, pts: NDArray[np.int64], nominal: int) -> int:
        """Length of the last frame: by the stream's end, by the frame, or as long as usual."""
        usual = int(np.median(np.diff(pts))) if len(pts) > 1 else nominal
        if stream.start_time is not None and stream.duration:
            ticks = stream.start_time + stream.duration - int(pts[-1])
            # The header only decides what the frames leave open, and only if it makes sense. Where
            # it lists every frame, a last one that is held for long is meant.
            if 0 < ticks <= 4 * max(usual, nominal) or (ticks > 0 and self._all_listed(stream)):
                return ticks
        return self._last_duration if self._last_duration > 0 else usual


def _seconds_tag(stream: VideoStream) -> float | None:
    """Read the end of a stream that Matroska writers leave as a tag, in seconds."""
    try:
        hours, minutes, seconds = stream.metadata.get("DURATION", "").split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    except ValueError:
        return None


def _increasing(raw: NDArray[np.int64], nominal: int, path: Path) -> NDArray[np.int64]:
    """Fill times that the file lacks and part those it repeats.

    Args:
        raw: (frame,), ticks, `_NO_PTS` where there is none.
        nominal: usual ticks from frame to frame.
        path: for the message.

    Raises:
        MediaError: Times run back by more than a frame or are missing throughout.
    """
    pts = raw.copy()
    latest = _NO_PTS
    for index in range(len(pts)):
        before = int(pts[index - 1]) if index else -nominal
        if pts[index] == _NO_PTS:
            pts[index] = before + nominal
            continue
        latest = max(latest, int(raw[index]))
        if index and pts[index] <= before:
            if latest - pts[index] > nominal:
                raise MediaError(
                    f"{path}: times run backwards at frame {index}; the file was joined or cut "
                    "badly, re-encode it first"
                )
            pts[index] = before + 1
    return pts


def _check_steps(pts: NDArray[np.int64], longest: int, path: Path) -> None:
    """Refuse times that jump ahead by more than `longest` ticks."""
    jumps = np.flatnonzero(np.diff(pts) > longest)
    if len(jumps):
        raise MediaError(
            f"{path}: times jump ahead after frame {jumps[0]}; the file was joined or cut badly, "
            "re-encode it first"
        )


def _frame_thumbnail(frame: VideoFrame) -> Thumbnail:
    """Shrink a decoded frame's luma."""
    if not frame.format.name.startswith(_DIRECT_LUMA) or frame.format.is_big_endian:
        frame = frame.reformat(width=128, height=72, format="gray")
    depth = frame.format.components[0].bits
    if frame.planes[0].line_size < 0:
        frame = frame.reformat(width=128, height=72, format="gray")
    luma = plane_view(frame, 0)
    if frame.format.name.startswith("p01"):
        return thumbnail(luma, 16)
    return thumbnail(luma, depth)


def orientation(frame: VideoFrame) -> tuple[bool, bool, bool]:
    """How a picture is to be turned: (transposed, flipped_x, flipped_y), in that order.

    Angles other than quarter turns are taken as none, as players do.
    """
    a, b, c, d = _display_matrix(frame)
    if a and d and not b and not c:
        return False, a < 0, d < 0
    if b and c and not a and not d:
        return True, c < 0, b < 0
    return False, False, False


def _display_matrix(frame: VideoFrame) -> tuple[int, int, int, int]:
    """The linear part of the display matrix, row by row; (1, 0, 0, 1) for none."""
    try:
        side_data = cast(Mapping[SideDataType, Buffer], frame.side_data)
    except ValueError:  # a sort that PyAV has no name for, such as EXIF; it then gives none at all
        turn = np.deg2rad(frame.rotation)  # counter-clockwise; mirrors can't be told from it
        cosine, sine = round(float(np.cos(turn))), round(float(np.sin(turn)))
        return cosine, -sine, sine, cosine
    data = bytes(side_data.get(SideDataType.DISPLAYMATRIX, b""))
    if len(data) < 36:
        return 1, 0, 0, 1
    matrix = np.frombuffer(data, dtype=np.int32)[:9].reshape(3, 3)
    a, b, c, d = (round(int(v) / 65536) for v in matrix[:2, :2].ravel())
    return a, b, c, d


def video_facts(
    frame: VideoFrame, stream: VideoStream, time_base: Fraction, rate: Fraction
) -> VideoFacts:
    """Gather the facts of a stream, those of the decoded frame before those of the header."""
    transposed, flipped_x, flipped_y = orientation(frame)
    width, height = (frame.height, frame.width) if transposed else (frame.width, frame.height)
    aspect = stream.sample_aspect_ratio or Fraction(1)
    if transposed:
        aspect = 1 / aspect
    name = frame.format.name
    full = name.startswith("yuvj") or frame.color_range == 2
    target = frame_format(name, width, height, transposed=transposed)
    matrix, color_range = int(frame.colorspace), 2 if full else int(frame.color_range)
    if av.VideoFormat(name).is_rgb or frame.format.has_palette:
        matrix, color_range = 1, 1
    return VideoFacts(
        time_base_num=time_base.numerator,
        time_base_den=time_base.denominator,
        width=width,
        height=height,
        transposed=transposed,
        flipped_x=flipped_x,
        flipped_y=flipped_y,
        sample_aspect_num=aspect.numerator,
        sample_aspect_den=aspect.denominator,
        pix_fmt=name,
        frame_format=target,
        bit_depth=max(component.bits for component in frame.format.components),
        color_range=color_range,
        color_primaries=int(frame.color_primaries),
        color_transfer=int(frame.color_trc),
        color_matrix=matrix,
        codec=stream.codec_context.codec.name,
        rate_num=rate.numerator,
        rate_den=rate.denominator,
        interlaced=bool(frame.interlaced_frame),
        language=stream.metadata.get("language", "")[:16].replace("und", ""),
    )


def audio_facts_of(stream: AudioStream) -> AudioFacts:
    """Gather a sound stream's facts from its header."""
    context = stream.codec_context
    seconds = (
        float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
    )
    return AudioFacts(
        codec=context.codec.name if context is not None else "unknown",
        rate=int(context.sample_rate) if context is not None else 0,
        channels=int(context.layout.nb_channels) if context is not None else 0,
        layout=layout_name(context) if context is not None else "",
        seconds=seconds,
        language=stream.metadata.get("language", "")[:16].replace("und", ""),
    )


def layout_name(context: AudioCodecContext) -> str:
    """Name a channel layout; the usual one of so many channels where the file names none."""
    layout = context.layout
    usual = dict(enumerate(("mono", "stereo", "3.0", "4.0", "5.0", "5.1", "6.1", "7.1"), start=1))
    unnamed = layout.name.endswith("channels")
    return usual.get(layout.nb_channels, layout.name) if unnamed else layout.name
