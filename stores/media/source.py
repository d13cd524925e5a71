"""Open untrusted media files: local, of a known format, within limits.

Only regular files are opened, by absolute path, with the `file` protocol and demuxers that read
nothing but the file itself (no playlists, no concatenation scripts, no image sequences).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import av
import av.container
import av.error
from av.audio.stream import AudioStream
from av.stream import Disposition
from av.video.stream import VideoStream

from stores.errors import MediaError, no_such_file
from stores.media.isomedia import find_cut
from stores.media.matroska import find_damage

MAX_SIDE_PX = 16384
MAX_PIXELS = 2**27
MAX_SECONDS = 24 * 3600
MAX_STREAMS = 64
MAX_METADATA_ENTRIES = 64
MAX_METADATA_CHARACTERS = 1000

_DEMUXERS = (
    "aac,ac3,aiff,amr,ape,apng,asf,av1,avi,caf,dv,eac3,flac,flv,gif,h264,hevc,ivf,m4v,matroska,mov,"
    "mp3,mp4,mpeg,mpegts,mpegtsraw,mpegvideo,mxf,nut,obu,ogg,rm,tta,vc1,w64,wav,webm,wv,"
    "yuv4mpegpipe,png_pipe,jpeg_pipe,webp_pipe,bmp_pipe"
)
"""Demuxers that read one self-contained file."""

_STREAMED_FORMATS = {"mpegts", "mpeg"}

_STILL_MAGIC: tuple[tuple[bytes, int, bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", 0, b"", "png_pipe"),
    (b"\xff\xd8\xff", 0, b"", "jpeg_pipe"),
    (b"RIFF", 8, b"WEBP", "webp_pipe"),
    (b"BM", 6, b"\0\0\0\0", "bmp_pipe"),
)
"""First bytes, offset and bytes of a second mark, demuxer."""

_CONTAINER_KEYS = {"major_brand", "minor_version", "compatible_brands", "encoder", "timecode"}
"""Tags that describe the file's wrapping, not the recording; the timecode is read apart."""

_STRICT = {
    # `explode` turns what a decoder would conceal into an error.
    "err_detect": "crccheck+bitstream+buffer+explode",
    "max_pixels": str(MAX_PIXELS),
}

Kind = Literal["video", "still", "audio"]


@dataclass(frozen=True)
class Probe:
    """What the header says a file is; nothing is decoded.

    Attributes:
        kind: `video`, `still` (one picture) or `audio` (sound only).
        width: px of the stored picture, before rotation; 0 without picture.
        height: px of the stored picture, before rotation; 0 without picture.
        seconds: length by the header; None where it says nothing.
        has_audio: whether there is a sound stream.
        format: name of the container format.
    """

    kind: Kind
    width: int
    height: int
    seconds: float | None
    has_audio: bool
    format: str


def still_demuxer(path: Path) -> str | None:
    """Name the demuxer of a still image by its first bytes; None for anything else."""
    with path.open("rb") as file:
        head = file.read(16)
    for magic, offset, second, demuxer in _STILL_MAGIC:
        if head.startswith(magic) and head[offset : offset + len(second)] == second:
            return demuxer
    return None


def whole_still(path: Path) -> bool:
    """Whether a still image has its end; decoders fill what a cut JPEG lacks with grey."""
    data = path.read_bytes() if path.stat().st_size <= 4 * MAX_PIXELS else b""
    if not data.startswith(b"\xff\xd8\xff"):
        return True
    return data.rfind(b"\xff\xd9") > data.find(b"\xff\xda") > 0


def check_file(path: Path) -> None:
    """Refuse what can't be a media file.

    Raises:
        MediaError: The path is missing, not a regular file, unreadable or empty.
    """
    try:
        if not path.exists():
            raise MediaError(no_such_file(path))
        if not path.is_file():
            raise MediaError(f"{path}: not a regular file; give the path of a media file")
        if path.stat().st_size == 0:
            raise MediaError(f"{path}: the file is empty (0 bytes); export or copy it again")
        with path.open("rb") as file:
            file.read(1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MediaError(
            f"{path}: can't be read ({reason}); check the path and its permissions"
        ) from error


@contextmanager
def media_errors(path: Path) -> Iterator[None]:
    """Turn whatever PyAV raises inside into a one-line `MediaError` about `path`."""
    try:
        yield
    except (MediaError, MemoryError):
        raise
    except av.error.FFmpegError as error:
        reason = (error.strerror or type(error).__name__).strip().rstrip(".")
        raise MediaError(
            f"{path}: damaged or not readable media ({reason}); "
            "try playing it, and export or copy it again"
        ) from error


@contextmanager
def open_source(path: Path, *, strict: bool = True) -> Iterator[av.container.InputContainer]:
    """Open a local media file for reading.

    Args:
        path: The file.
        strict: Whether decoders raise on damage instead of concealing it.

    Yields:
        The open container.

    Raises:
        MediaError: Missing, empty, not media, or beyond the limits.
    """
    check_file(path)
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": _DEMUXERS,
        "max_streams": str(MAX_STREAMS),
        **(_STRICT if strict else {"max_pixels": str(MAX_PIXELS)}),
    }
    try:
        container = av.open(
            str(path.absolute()),
            "r",
            format=still_demuxer(path),
            options=options,
            metadata_errors="replace",
        )
    except (av.error.FFmpegError, ValueError, RuntimeError) as error:
        raise MediaError(
            f"{path}: not a media file that can be read (damaged, cut short, or of another kind); "
            "try playing it, and export or copy it again as MP4, MOV, MKV or WebM"
        ) from error
    with media_errors(path), container:
        yield container


def check_structure(container: av.container.InputContainer, path: Path) -> None:
    """Refuse damage that a demuxer passes over, whatever is read of the file.

    Raises:
        MediaError: Parts of an MP4, MOV, Matroska or WebM file are missing or broken.
    """
    names = container.format.name.split(",")
    damage = None
    if "matroska" in names:
        damage = find_damage(path)
    elif "mp4" in names:
        damage = find_cut(path)
    if damage:
        raise MediaError(f"{path}: damaged ({damage}); export or copy the file again")


def video_stream(container: av.container.InputContainer, path: Path) -> VideoStream:
    """Pick the moving-picture stream of an open file.

    Raises:
        MediaError: There is none, its codec is unknown, or its size is beyond the limits.
    """
    candidates = picture_streams(container)
    if not candidates:
        what = "it holds only sound" if container.streams.audio else "there is no picture in it"
        raise MediaError(f"{path}: not a video, {what}; give a video or a still image")
    usable = [stream for stream in candidates if stream.codec_context is not None]
    if not usable:
        raise MediaError(
            f"{path}: no decoder for its picture stream; convert it to H.264 or HEVC first"
        )
    stream = max(
        usable,
        key=lambda s: (bool(s.disposition & Disposition.default), s.width * s.height, -s.index),
    )
    check_size(stream.width, stream.height, path)
    return stream


def picture_streams(container: av.container.InputContainer) -> list[VideoStream]:
    """Streams of moving or still pictures; covers of sound files are none."""
    return [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]


def sound_streams(container: av.container.InputContainer) -> list[AudioStream]:
    """Sound streams that can be decoded, those that the file marks as default first."""
    known = [stream for stream in container.streams.audio if stream.codec_context is not None]
    return sorted(known, key=lambda s: not s.disposition & Disposition.default)


def check_size(width: int, height: int, path: Path) -> None:
    """Refuse pictures without area or beyond the limits, sizes in px."""
    if width <= 0 or height <= 0:
        raise MediaError(f"{path}: its picture has no size; the file is damaged, export it again")
    if max(width, height) > MAX_SIDE_PX or width * height > MAX_PIXELS:
        raise MediaError(
            f"{path}: {width}x{height} px is larger than the limit of {MAX_SIDE_PX} px a side; "
            "scale it down first"
        )


def only(container: av.container.InputContainer, stream: av.stream.Stream) -> None:
    """Let the demuxer skip every stream but one."""
    for other in container.streams:
        other.discard = (
            av.stream.Discard.default if other.index == stream.index else av.stream.Discard.all
        )


def demuxed(
    container: av.container.InputContainer,
    stream: VideoStream,
    *,
    skipped: Callable[[], None] = lambda: None,
) -> Iterator["av.Packet[Any]"]:
    """Read packets, without those pictures that a recording has before its first keyframe.

    Broadcasts are recorded from anywhere on, and what comes before a keyframe can't be decoded.

    Args:
        container: An open file.
        stream: Of its pictures.
        skipped: Called for each packet that is left out.
    """
    waiting = bool(_STREAMED_FORMATS & set(container.format.name.split(",")))
    for packet in container.demux():
        if waiting and packet.size and packet.stream.index == stream.index:
            if not packet.is_keyframe:
                skipped()
                continue
            waiting = False
        yield packet


def limited_metadata(metadata: dict[str, str]) -> dict[str, str]:
    """Keep the container's tags within a sane number and length of entries."""
    kept = {k: value for k, value in metadata.items() if k.lower() not in _CONTAINER_KEYS}
    entries = sorted(kept.items())[:MAX_METADATA_ENTRIES]
    return {
        key[:MAX_METADATA_CHARACTERS]: value[:MAX_METADATA_CHARACTERS].replace("\0", "")
        for key, value in entries
    }


def probe(path: str | Path) -> Probe:
    """Look at a file's header, to refuse early what can't be used.

    Raises:
        MediaError: Missing, empty, not media, or beyond the limits.
    """
    path = Path(path)
    with open_source(path) as container:
        seconds = container.duration / av.time_base if container.duration else None
        if seconds is not None and seconds > MAX_SECONDS:
            raise MediaError(
                f"{path}: {seconds / 3600:.0f} hours long, more than the limit of "
                f"{MAX_SECONDS // 3600}; cut it first"
            )
        has_audio = bool(container.streams.audio)
        name = container.format.name
        if not picture_streams(container):
            if not has_audio:
                raise MediaError(f"{path}: neither picture nor sound in it; give another file")
            return Probe("audio", 0, 0, seconds, has_audio, name)
        stream = video_stream(container, path)
        kind: Kind = "still" if name.endswith("_pipe") else "video"
        return Probe(kind, stream.width, stream.height, seconds, has_audio, name)
