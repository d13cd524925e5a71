"""Write compressed segments and sound to a file, whole or not at all."""

import math
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.container
import numpy as np
from av.audio.stream import AudioStream
from av.packet import PacketSideData, packet_sidedata_type_from_literal
from av.video.stream import VideoStream
from jaxtyping import Int64
from numpy.typing import NDArray

from stores.errors import SettingsError, StoreFull
from stores.media.audio import Block
from stores.media.encode import (
    REORDER_FRAMES,
    Segment,
    codec_of,
    encoder_context,
    encoder_name,
)
from stores.media.facts import VideoFacts
from stores.media.settings import EncodeSettings, MuxSettings
from stores.places import check_new_file
from stores.whole_files import replacing

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""Container format of each file suffix that can be written."""

_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
_ENCODERS = {
    "aac": ("aac", "fltp"),
    "flac": ("flac", "s32"),
    "alac": ("alac", "s32p"),
    "pcm": ("pcm_s24le", "s32"),
}
_HOLDS = {
    "mp4": ("aac", "flac", "alac"),
    "mov": ("aac", "alac", "pcm"),
    "matroska": ("aac", "flac", "alac", "pcm"),
}
_COMMON_TAGS = {
    *("title", "artist", "album_artist", "composer", "album", "date", "comment", "genre"),
    *("copyright", "grouping", "lyrics", "description", "synopsis", "show", "episode_id"),
    *("network", "keywords", "track", "disc", "creation_time", "timecode"),
}
_FRAME_SAMPLES = 4096
_MAX_TIMESCALE = 2**31 - 1


@dataclass(frozen=True)
class Sound:
    """Sound to be written, from time 0 of the output on.

    Attributes:
        blocks: pieces of sound, one after the other, -1..1.
        rate: Hz.
        layout: channel layout such as `mono` or `stereo`.
        language: ISO 639 code, or empty.
    """

    blocks: Iterable[Block]
    rate: int
    layout: str
    language: str = ""


def container_format(path: str | Path) -> str:
    """Name the container format of an output file by its suffix.

    Raises:
        SettingsError: The suffix is none that can be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in CONTAINERS:
        raise SettingsError(
            f"{path}: can't write {suffix or 'a file without suffix'}; name the output "
            f"{', '.join(sorted(CONTAINERS))}"
        )
    return CONTAINERS[suffix]


def check_output(path: str | Path, settings: MuxSettings, *, rate: int | None) -> None:
    """Refuse early what `mux` could not write.

    Args:
        path: The output file.
        settings: How sound is compressed.
        rate: Hz of the sound, None without.

    Raises:
        SettingsError: Suffix, codec or rate don't go together, or nothing can be written there.
    """
    path = Path(path)
    name = container_format(path)
    check_new_file(path)
    codec = settings.audio_codec
    if rate is not None and codec not in _HOLDS[name]:
        raise SettingsError(
            f"{path}: {path.suffix} can't hold {codec} sound; choose {', '.join(_HOLDS[name])}"
        )
    if rate is not None and codec == "aac" and rate not in _AAC_RATES:
        lossless = next(other for other in _HOLDS[name] if other != "aac")
        raise SettingsError(
            f"{path}: aac can't hold sound of {rate} Hz; choose {lossless}, or resample to 48000 Hz"
        )


def mux(
    path: str | Path,
    segments: Iterable[Segment],
    *,
    video: VideoFacts,
    pts: Int64[np.ndarray, " frame"],
    end_pts: int,
    encode: EncodeSettings,
    settings: MuxSettings | None = None,
    sound: Sound | None = None,
    metadata: dict[str, str] | None = None,
) -> None:
    """Join segments and sound to a file. It appears when it is complete, or not at all.

    Args:
        path: The output; its suffix names the container, see `CONTAINERS`.
        segments: In the order in which they are shown.
        video: Facts that the segments were encoded with.
        pts: ticks of `video`'s time base at which each frame is shown, increasing.
        end_pts: ticks at which the last frame ends.
        encode: Settings that the segments were encoded with.
        settings: How sound is compressed.
        sound: Sound from time 0 on, or None.
        metadata: Tags of the container, such as `title`.

    Raises:
        SettingsError: The container can't hold this.
        StoreFull: No space is left where the output goes.
    """
    path = Path(path)
    settings = settings or MuxSettings()
    check_output(path, settings, rate=sound.rate if sound else None)
    with _disk_errors(path), replacing(path) as beside:
        writer = _Writer(beside, container_format(path), video, encode, metadata or {})
        writer.write(segments, pts, end_pts, sound, settings)


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno == 28:
            raise StoreFull(
                f"{path}: no space left to write it; free some and run again"
            ) from error
        raise SettingsError(f"{path}: can't be written ({reason}); check the folder") from error


class _Writer:
    """One output file being written."""

    def __init__(
        self,
        path: Path,
        name: str,
        video: VideoFacts,
        encode: EncodeSettings,
        metadata: dict[str, str],
    ) -> None:
        self._path = path
        self._name = name
        self._video = video
        self._encode = encode
        self._metadata = metadata

    def write(
        self,
        segments: Iterable[Segment],
        pts: Int64[np.ndarray, " frame"],
        end_pts: int,
        sound: Sound | None,
        settings: MuxSettings,
    ) -> None:
        """Write all packets, pictures and sound in order of time."""
        with av.open(
            str(self._path), "w", format=self._name, options=self._options(sound)
        ) as container:
            container.metadata.update(self._metadata)
            stream = self._add_video(container)
            voice = _SoundTrack(container, sound, settings) if sound else None
            total = 0
            for segment in segments:
                if total + len(segment) > len(pts):
                    raise ValueError(f"the segments hold more frames than the {len(pts)} times")
                if total == 0:
                    _open_with(stream, segment.extradata)
                elif segment.extradata != stream.codec_context.extradata:
                    raise ValueError("the segments were encoded with different settings")
                self._write_segment(container, stream, segment, pts, end_pts, total, voice)
                total += len(segment)
            if total != len(pts):
                raise ValueError(
                    f"the segments hold {total} frames, but there are {len(pts)} times"
                )
            if voice:
                voice.write_up_to(math.inf)

    def _options(self, sound: Sound | None) -> dict[str, str]:
        if self._name == "matroska":
            return {}
        # Edit lists count in the movie's timescale: a multiple of both clocks makes them exact.
        scale = math.lcm(self._video.time_base_den, sound.rate if sound else 1)
        if scale > _MAX_TIMESCALE:
            scale = self._video.time_base_den
        # Only the other kind of tag list takes any key, but fewer players show it.
        any_key = set(self._metadata) - _COMMON_TAGS
        return {
            "movflags": "+faststart" + ("+use_metadata_tags" if any_key else ""),
            "movie_timescale": str(scale),
            "video_track_timescale": str(self._video.time_base_den),
        }

    def _add_video(self, container: av.container.OutputContainer) -> VideoStream:
        stream: Any = container.add_stream(
            encoder_name(self._video, self._encode), self._video.rate
        )
        encoder_context(stream.codec_context, self._video, self._encode)
        if codec_of(self._video, self._encode) == "hevc" and self._name in ("mp4", "mov"):
            stream.codec_context.codec_tag = "hvc1"
        stream.time_base = Fraction(1, self._video.time_base_den)
        if self._video.language:
            stream.metadata["language"] = self._video.language
        return stream  # type: ignore[no-any-return]

    def _write_segment(
        self,
        container: av.container.OutputContainer,
        stream: VideoStream,
        segment: Segment,
        pts: Int64[np.ndarray, " frame"],
        end_pts: int,
        base: int,
        voice: "_SoundTrack | None",
    ) -> None:
        """Write the packets of the frames from `base` on."""
        ticks = self._video.time_base_num
        payload = segment.payload.tobytes()
        begin = 0
        for place, (size, order) in enumerate(zip(segment.size, segment.order, strict=True)):
            packet: Any = av.Packet(payload[begin : begin + int(size)])
            begin += int(size)
            shown = base + int(order)
            after = int(pts[shown + 1]) if shown + 1 < len(pts) else end_pts
            packet.stream = stream
            packet.time_base = Fraction(1, self._video.time_base_den)
            packet.pts = int(pts[shown]) * ticks
            packet.dts = _decoding_tick(pts, base + place) * ticks
            packet.duration = (after - int(pts[shown])) * ticks
            if self._name != "matroska" and base + place == len(pts) - 1:
                # Lengths of samples count from one decoding time to the next, and this one's to the
                # track's end.
                packet.duration = (end_pts - int(pts[-1])) * ticks
            packet.is_keyframe = bool(segment.keyframe[place])
            if voice:
                voice.write_up_to(float(packet.dts * packet.time_base))
            container.mux(packet)


def _decoding_tick(pts: NDArray[np.int64], place: int) -> int:
    """Give the decoding time of the packet at `place`: so many frames ahead of showing.

    The first lies as long before the first time as the last lies before the last one, so that both
    take as long from beginning to end.
    """
    ahead = min(REORDER_FRAMES, len(pts) - 1)
    if place >= ahead:
        return int(pts[place - ahead])
    lead = int(pts[-1] - pts[-1 - ahead])
    return int(pts[0]) - lead + lead * place // ahead


def _open_with(stream: VideoStream, extradata: bytes) -> None:
    """Open the stream's encoder, which only describes the stream, with the segments' headers."""
    context = stream.codec_context
    context.open()
    if context.extradata != extradata:
        context.extradata = extradata


class _SoundTrack:
    """Sound being encoded alongside the pictures."""

    def __init__(
        self, container: av.container.OutputContainer, sound: Sound, settings: MuxSettings
    ) -> None:
        codec, self._format = _ENCODERS[settings.audio_codec]
        self._container = container
        self._sound = sound
        self._blocks: Iterator[Block] | None = iter(sound.blocks)
        self._written = 0
        self._encoded = 0
        self._priming = 0
        self._is_aac = settings.audio_codec == "aac"
        self._held: Any = None
        stream: Any = container.add_stream(codec, rate=sound.rate)
        stream.codec_context.layout = sound.layout
        stream.codec_context.format = self._format
        stream.codec_context.time_base = Fraction(1, sound.rate)
        stream.time_base = Fraction(1, sound.rate)
        channels = stream.codec_context.layout.nb_channels
        if settings.audio_codec == "aac":
            stream.codec_context.bit_rate = settings.audio_kbps_per_channel * 1000 * channels
        if sound.language:
            stream.metadata["language"] = sound.language
        self._channels = channels
        self._stream: AudioStream = stream

    def write_up_to(self, seconds: float) -> None:
        """Encode and write sound until `seconds` are covered; infinity ends the track."""
        while self._blocks is not None and self._written < seconds * self._sound.rate:
            block = next(self._blocks, None)
            if block is None:
                self._write(self._stream.encode(None))
                self._end()
                return
            for begin in range(0, len(block), _FRAME_SAMPLES):
                self._write(self._stream.encode(self._frame(block[begin : begin + _FRAME_SAMPLES])))

    def _write(self, packets: list[Any]) -> None:
        """Write packets, the last of them only once there is another."""
        for packet in packets:
            if self._held is not None:
                self._container.mux(self._held)
            elif packet.pts is not None:
                self._priming = max(0, -packet.pts)
            self._held = packet
            self._encoded += self._stream.codec_context.frame_size

    def _end(self) -> None:
        """Write the last packet, marked with how much of it is padding."""
        self._blocks = None
        if self._held is None:
            return
        padding = self._encoded - self._priming - self._written
        if padding > 0 and self._is_aac:
            # MP4 says it in the edit list; Matroska takes it from here.
            kind = packet_sidedata_type_from_literal("skip_samples")
            note = PacketSideData(kind, 10)  # type: ignore[call-arg]  # its stub has no __init__
            note.update(struct.pack("<IIBB", 0, padding, 0, 0))
            note.to_packet(self._held)
        self._container.mux(self._held)
        self._held = None

    def _frame(self, samples: Block) -> av.AudioFrame:
        packed = np.ascontiguousarray(samples, dtype=np.float32)
        if packed.ndim != 2 or packed.shape[1] != self._channels:
            raise ValueError(
                f"sound blocks are (sample, {self._channels}) for {self._sound.layout}, got "
                f"{packed.shape}"
            )
        if self._format == "fltp":
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(packed.T), format="fltp", layout=self._sound.layout
            )
        else:
            # 24 bits, in the upper bytes; more would be noise and FLAC holds no more.
            steps = np.clip(np.rint(packed.astype(np.float64) * 2**23), -(2**23), 2**23 - 1)
            whole = (steps.astype(np.int64) * 256).astype(np.int32)
            planar = self._format == "s32p"
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(whole.T) if planar else whole.reshape(1, -1),
                format=self._format,
                layout=self._sound.layout,
            )
        frame.sample_rate = self._sound.rate
        frame.pts = self._written
        frame.time_base = Fraction(1, self._sound.rate)
        self._written += len(packed)
        return frame
