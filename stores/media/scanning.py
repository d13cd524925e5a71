"""Decode every packet of a file once, refuse damage, and note what each frame is."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import av.container
import numpy as np
from av.audio.stream import AudioStream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from stores.errors import MediaError
from stores.media.clock import clock_zero, longest_step
from stores.media.fields import PROGRESSIVE, field_order
from stores.media.planes import plane_view
from stores.media.scenes import LOOKS_AHEAD, SceneCuts, Thumbnail, thumbnail
from stores.media.source import (
    MAX_SECONDS,
    check_size,
    check_structure,
    demuxed,
    limited_metadata,
    only,
    open_source,
    picture_streams,
    sound_streams,
    video_stream,
    whole_still,
)
from stores.media.stream_facts import ColorTags, audio_facts_of, video_facts
from stores.media.timecode import find_timecode
from stores.media.timeline import Timeline

STILL_RATE = Fraction(25)
_PROGRESS_FRAMES = 25
_SEEKABLE = {"mov", "mp4", "matroska", "webm"}  # frames are found again by their time
_COUNTED_FORMATS = {"mov", "mp4", "avi"}  # their headers say how many packets there are
_NO_PTS = np.iinfo(np.int64).min
_SAME_SHAPE = 0.02  # sizes of one video are rounded; more is another shape
_OPAQUE = 255
_DIRECT_LUMA = ("yuv", "nv", "gray", "p01")


def scan(
    path: str | Path,
    *,
    part: tuple[float, float] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Timeline:
    """Decode a video and give its timeline.

    Args:
        path: A local video or still image.
        part: From when on, and up to when, it is wanted [s of the file]; None: the whole. In .mp4,
            .mov, .mkv and .webm nothing else is decoded, so that damage elsewhere is not found.
        progress: Called now and then with the number of frames decoded so far.

    Returns:
        The timeline; a still image has one frame that lasts 1/25 s. The whole file's where no
        frame lies in the part, or where its frames can't be told apart by their times.

    Raises:
        MediaError: The file is missing, empty, cut short or damaged, has no picture, or holds a
            video of a single frame or without duration.
    """
    path = Path(path)
    if part is not None and (found_part := _PartScanner(path, part, progress).part()):
        return found_part
    found = Scanner(path, progress=progress).run()
    if not found.still and len(found) < 2:
        raise MediaError(
            f"{path}: a video of a single frame; give a longer one, or the frame as PNG or JPEG"
        )
    if part is None or found.still or not _told_apart(found.decoded_pts):
        return found
    start, stop = _rows(found, part)
    return found.cut(start, stop) if start < stop else found


def _told_apart(decoded_pts: NDArray[np.int64]) -> bool:
    """Whether every frame has a time of its own."""
    return decoded_pts[0] != _NO_PTS and bool((np.diff(decoded_pts) > 0).all())


def _rows(found: Timeline, part: tuple[float, float]) -> tuple[int, int]:
    """The frames that are shown from one second on and before another."""
    start, stop = np.searchsorted(found.pts, [round(t / found.time_base) for t in part])
    return int(start), int(stop)


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
        self._skipped = 0
        self._declared = ColorTags()
        self._sizes: set[tuple[int, int]] = set()
        self._scaled = self._transparent = False
        self._field_order = PROGRESSIVE

    def run(self) -> Timeline:
        """Decode all and give the timeline."""
        with open_source(self._path) as container:
            stream = video_stream(container, self._path)
            stream.thread_type = "AUTO"
            self._declared = ColorTags.declared(stream)
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
        for packet in demuxed(container, stream, skipped=self._note_skipped):
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

    def _note_skipped(self) -> None:
        self._skipped += 1

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
        size, whole = (frame.width, frame.height), (first.width, first.height)
        if (*size, frame.format.name) != (*whole, first.format.name):
            self._scaled = True
        if size not in self._sizes:
            self._sizes.add(size)
            check_size(*size, self._path)
            if abs(size[0] * whole[1] / (size[1] * whole[0]) - 1) > _SAME_SHAPE:
                raise MediaError(
                    f"{self._path}: the picture changes from {whole[0]}x{whole[1]} to "
                    f"{size[0]}x{size[1]} at frame {index}, which is another shape; convert the "
                    "video to one size first"
                )
        if self._field_order == PROGRESSIVE:
            self._field_order = field_order(frame)
        if not self._transparent and _may_be_transparent(frame):
            alpha = plane_view(frame.reformat(format="yuva444p"), 3)
            self._transparent = bool((alpha < _OPAQUE).any())
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
        # The fields of a frame may come in a packet each.
        if frames * (2 if self._field_order != PROGRESSIVE else 1) < self._shown:
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
            zero = round(clock_zero(self._path) / time_base)
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
        if self._field_order != PROGRESSIVE and self._scaled:
            raise MediaError(
                f"{self._path}: is interlaced and changes its size on the way; convert it to one "
                "size first"
            )
        # A neighbourly rate such as 30000/1001 instead of the quotient of two long numbers.
        if stream.average_rate and abs(float(stream.average_rate / rate) - 1) < 1e-3:
            rate = stream.average_rate
        return Timeline(
            pts=pts,
            decoded_pts=raw,
            keyframe=np.asarray(self._keyframe, dtype=np.bool_),
            scene_start=self._cuts.starts(),
            end_pts=end,
            video=replace(
                video_facts(
                    self._first,
                    stream,
                    time_base,
                    rate.limit_denominator(1_000_000),
                    self._declared,
                ),
                field_order=self._field_order,
                scaled=self._scaled,
            ),
            audio=audio_facts_of(audio) if audio is not None and not still else None,
            metadata=limited_metadata(dict(container.metadata)),
            timecode=find_timecode(container),
            still=still,
            notes=self._notes(container, stream, raw, still),
        )

    def _notes(
        self,
        container: av.container.InputContainer,
        stream: VideoStream,
        raw: NDArray[np.int64],
        still: bool,
    ) -> list[str]:
        """What was changed or left out in reading."""
        notes = []
        if len(self._sizes) > 1 and self._first is not None:
            first = (self._first.width, self._first.height)
            others = ", ".join(f"{w}x{h}" for w, h in sorted(self._sizes - {first}))
            notes.append(
                f"the picture changes its size on the way ({others} px): all frames were scaled "
                f"to the first size, {first[0]}x{first[1]} px"
            )
        if self._transparent:
            notes.append(
                "the picture is transparent in parts, which no output can be: the colours stored "
                "there show instead; lay it over a background first if that was not meant"
            )
        elif _alpha_beside(stream):
            notes.append(
                "the file keeps how transparent the picture is, which no output can: the colours "
                "stored there show; lay it over a background first if that was not meant"
            )
        if left_out := _left_out(container):
            notes.append(f"of what else the file holds, the output has not: {left_out}")
        if self._skipped:
            notes.append(
                f"the recording begins between two keyframes: {self._skipped} packets of pictures "
                "before the first that can be decoded were left out"
            )
        moved = 0 if still else int((np.diff(raw) <= 0).sum() + (raw == _NO_PTS).sum())
        if moved:
            notes.append(
                f"{moved} frames have no time of their own, or one that was already taken: they "
                "are shown between their neighbours"
            )
        return notes

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


class _PartScanner(Scanner):
    """Decodes a part of a file, from the keyframe before it on.

    What the rest of the file alone can tell (how many frames there are, whether times repeat) is
    not known then; wherever that matters, `part` gives None, and the whole has to be decoded.
    """

    def __init__(
        self, path: Path, part: tuple[float, float], progress: Callable[[int], None] | None
    ) -> None:
        super().__init__(path, progress=progress)
        self._wanted = part

    def part(self) -> Timeline | None:
        """The timeline of the part, or None."""
        with open_source(self._path) as container:
            stream = video_stream(container, self._path)
            time_base = stream.time_base
            if not _SEEKABLE & set(container.format.name.split(",")) or time_base is None:
                return None
            stream.thread_type = "AUTO"
            self._declared = ColorTags.declared(stream)
            check_structure(container, self._path)
            audio = next(iter(sound_streams(container)), None)
            zero = clock_zero(self._path)
            first, last = (round((seconds + zero) / time_base) for seconds in self._wanted)
            only(container, stream)
            container.seek(first, stream=stream)
            try:
                self._read(container, stream, last)
            except (MediaError, av.error.FFmpegError):
                return None  # the whole tells what is wrong
            raw = np.asarray(self._pts, np.int64)
            if len(raw) < 2 or raw[0] > first or not _told_apart(raw):
                return None
            found = self._timeline(container, stream, audio, still=False)
            begin = (stream.start_time or 0) * time_base - zero
        start, stop = _rows(found, self._wanted)
        if start == stop:
            return None
        label = float(found.pts[start] * found.time_base - begin)
        return found.cut(start, stop, since_label=label)

    def _read(self, container: av.container.InputContainer, stream: VideoStream, last: int) -> None:
        """Take frames up to the tick `last`, and a few more that tell a cut from a flash."""
        after = 0
        for packet in demuxed(container, stream):
            for frame in stream.decode(packet):
                if not self._pts and not frame.key_frame:
                    continue  # such lack what they are predicted from
                self._take(frame)
                after += self._pts[-1] >= last
                if after > LOOKS_AHEAD:
                    return


def _left_out(container: av.container.InputContainer) -> str:
    """What a file holds beside one picture and sound, in words."""
    counts = {
        "more picture track": len(picture_streams(container)) - 1,
        "subtitle track": len(container.streams.subtitles),
        "chapter": len(container.chapters()),
    }
    many = ((name if n == 1 else f"{name}s", n) for name, n in counts.items())
    return ", ".join(f"{count} {name}" for name, count in many if count > 0)


def _alpha_beside(stream: VideoStream) -> bool:
    """Whether WebM says that it has a second picture, of how opaque the first is."""
    # No frame shows it: findings/vp9_decoder_drops_alpha.sh.
    return any(n.lower() == "alpha_mode" and v == "1" for n, v in stream.metadata.items())


def _may_be_transparent(frame: VideoFrame) -> bool:
    layout = frame.format
    return layout.has_palette or any(component.is_alpha for component in layout.components)


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
