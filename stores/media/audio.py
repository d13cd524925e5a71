"""Sound as blocks of float samples, aligned with the picture.

Sample 0 of a file is what a player plays first (`clock_zero`): what an encoder put before it is
cut, and every later one is where the container's clock has it (`sound_clock`).
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from jaxtyping import Float32

from stores.errors import MediaError
from stores.media.alike import alike
from stores.media.facts import AudioFacts
from stores.media.sound_clock import on_clock
from stores.media.sound_headers import counts_mp3_frames, is_tag, wav_share
from stores.media.source import check_structure, only, open_source
from stores.media.stream_facts import audio_facts_of, layout_name
from stores.media.tracks import sound_stream

Block = Float32[np.ndarray, "_sample _channel"]
"""A piece of sound, full scale -1..1."""

BLOCK_SAMPLES = 1 << 14
_QUIET, _CANCELLED = 0.01, 0.1
"""Where the mean of two channels is quieter than this (RMS), and by this factor quieter than half
their difference, one is the other inverted."""
_MONO_WEIGHTS = {6: (1.0, 1.0, 2.0, 0.0, 0.5, 0.5), 8: (1.0, 1.0, 2.0, 0.0, 0.5, 0.5, 0.5, 0.5)}
"""Shares of the channels of 5.1 and 7.1 (left, right, centre, deep effects, the others)."""
_LOUDEST = 1e6
"""Larger values than this are damage, and no encoder takes them; loud ones are clipped."""
_STATED_LENGTHS = {
    *("mov", "mp4", "matroska", "webm", "avi", "wav", "w64"),
    *("aiff", "caf", "flac", "ape", "tta", "wv"),
}
"""Formats whose headers say how long the sound is."""
_SHORT_SHARE, _SHORT_SECONDS = 0.02, 0.5  # missing at the end: more than this is a cut file


def audio_facts(path: str | Path, *, track: int | None = None) -> AudioFacts:
    """Read the facts of a sound stream.

    Args:
        path: A local file with sound.
        track: Number of the sound track, from 1; None is the default one, else the first.

    Raises:
        MediaError: There is no sound in it, or it can't be opened.
    """
    path = Path(path)
    with open_source(path) as container:
        return audio_facts_of(_audio_stream(container, path, track))


def audio_blocks(
    path: str | Path,
    *,
    rate: int | None = None,
    mono: bool = False,
    start: float = 0.0,
    stop: float | None = None,
    track: int | None = None,
    notes: list[str] | None = None,
) -> Iterator[Block]:
    """Decode a file's sound block by block, in bounded memory.

    Args:
        path: A local file with sound, with or without pictures.
        rate: Hz to resample to; None keeps the file's own.
        mono: Whether to mix all channels to one.
        start: Seconds, from what is played first on, at which to begin.
        stop: Seconds at which to end; None reads to the end of the sound.
        track: Number of the sound track, from 1; None is the default one, else the first.
        notes: To which is added what was skipped or changed in reading.

    Yields:
        Blocks of at most `BLOCK_SAMPLES`, none of them empty.

    Raises:
        MediaError: No sound in it, damaged, cut short, or empty.
    """
    path = Path(path)
    with open_source(path) as container:
        check_structure(container, path)
        stream = _audio_stream(container, path, track)
        only(container, stream)
        out_rate = rate or int(stream.codec_context.sample_rate)
        first = round(start * out_rate)
        last = None if stop is None else round(stop * out_rate)
        position = 0
        for block in _checked(_placed(container, stream, path, out_rate, mono, notes), path):
            begin = min(max(first - position, 0), len(block))
            end = len(block) if last is None else min(max(last - position, 0), len(block))
            position += len(block)
            for piece in range(begin, end, BLOCK_SAMPLES):
                yield block[piece : min(end, piece + BLOCK_SAMPLES)]
            if last is not None and position >= last:
                return
        if position == 0:
            raise MediaError(f"{path}: its sound is empty; give a file with speech")
        _check_length(container, stream, position / out_rate, path)


def decode_audio(
    path: str | Path,
    *,
    rate: int | None = None,
    mono: bool = False,
    start: float = 0.0,
    stop: float | None = None,
    track: int | None = None,
    notes: list[str] | None = None,
) -> Block:
    """Decode a file's sound into one array, -1..1; see `audio_blocks`.

    Stereo whose channels cancel each other out, since one lead was inverted, is mixed down to
    their difference.

    Raises:
        MediaError: No sound in it, damaged, cut short, or nothing between `start` and `stop`.
    """
    part: dict[str, Any] = {"rate": rate, "start": start, "stop": stop, "track": track}
    mixed_down = _joined(audio_blocks(path, mono=mono, notes=notes, **part))
    if mixed_down is None:
        raise MediaError(
            f"{path}: no sound from {start:g} s"
            + ("" if stop is None else f" to {stop:g} s")
            + "; choose a range within its length"
        )
    if mono and _level(mixed_down) <= _QUIET and audio_facts(path, track=track).channels == 2:
        both = _joined(audio_blocks(path, **part))
        assert both is not None
        half: Block = (both[:, :1] - both[:, 1:]) / 2
        if _level(mixed_down) < _CANCELLED * _level(half):
            return half
    return mixed_down


def _joined(blocks: Iterable[Block]) -> Block | None:
    """One block; None of none. Hours of sound lie in memory once, not in pieces as well."""
    grown, channels = bytearray(), 0
    for block in blocks:
        grown += block.tobytes()
        channels = block.shape[1]
    return np.frombuffer(grown, np.float32).reshape(-1, channels) if grown else None


def _level(samples: Block) -> float:
    """Root mean square; sums in double precision without a copy of the samples."""
    total = np.einsum("ij,ij->", samples, samples, dtype=np.float64)
    return float(np.sqrt(total / samples.size))


def exact_length(blocks: Iterable[Block], samples: int, *, channels: int) -> Iterator[Block]:
    """Trim sound, or pad it with silence, to exactly `samples` samples."""
    left = samples
    for block in blocks:
        if left <= 0:
            return
        yield block[:left]
        left -= len(block)
    while left > 0:
        yield np.zeros((min(left, BLOCK_SAMPLES), channels), np.float32)
        left -= BLOCK_SAMPLES


def mixed(blocks: Iterable[Block], background: Iterable[Block], *, gain: float) -> Iterator[Block]:
    """Add a background to sound of the same rate; it never outlasts the sound.

    Args:
        blocks: The sound; its length and channels are kept.
        background: Of one channel, of as many, or averaged to one.
        gain: factor on the background (0.5 is -6 dB).
    """
    rest = np.zeros((0, 1), np.float32)
    source = iter(background)
    for block in blocks:
        parts, have = [rest], len(rest)
        while have < len(block):
            more = next(source, None)
            if more is None:
                break
            more = _as_channels(more, block.shape[1])
            parts.append(more)
            have += len(more)
        joined = np.concatenate([_as_channels(part, block.shape[1]) for part in parts])
        mixture = block.astype(np.float32, copy=True)
        length = min(len(joined), len(block))
        mixture[:length] += np.float32(gain) * joined[:length]
        rest = joined[length:]
        yield mixture


def _as_channels(block: Block, channels: int) -> Block:
    if block.shape[1] == channels:
        return block
    if block.shape[1] > 1:
        block = block.mean(axis=1, keepdims=True, dtype=np.float32)
    return np.repeat(block, channels, axis=1)


def _audio_stream(
    container: av.container.InputContainer, path: Path, track: int | None
) -> AudioStream:
    stream = sound_stream(container, path, track)
    if stream.codec_context.sample_rate <= 0 or stream.codec_context.layout.nb_channels <= 0:
        raise MediaError(f"{path}: its sound has no sample rate; the file is damaged")
    return stream


def _placed(
    container: av.container.InputContainer,
    stream: AudioStream,
    path: Path,
    rate: int,
    mono: bool,
    notes: list[str] | None,
) -> Iterator[Block]:
    """Decode, put each sample at its time, and resample the whole to `rate`."""
    source_rate = int(stream.codec_context.sample_rate)
    channels = int(stream.codec_context.layout.nb_channels)
    resampler = AudioResampler(format="flt", layout=layout_name(stream.codec_context), rate=rate)
    given = taken = 0  # samples out and in
    frames = alike(_frames(container, stream, path, notes), source_rate, notes)
    for frame in on_clock(frames, container, stream, path):
        taken += frame.samples
        for out in resampler.resample(frame):
            block = _samples(out, channels, mono)
            given += len(block)
            yield block
    missing = round(taken * rate / source_rate) - given
    for out in resampler.resample(None):
        block = _samples(out, channels, mono)[: max(missing, 0)]
        missing -= len(block)
        yield block
    if missing > 0:
        yield np.zeros((missing, 1 if mono else channels), np.float32)


def _frames(
    container: av.container.InputContainer,
    stream: AudioStream,
    path: Path,
    notes: list[str] | None,
) -> Iterator[AudioFrame]:
    # The last packet of a WAV whose length is stated wrong, or not at all, is marked as damaged.
    marks = container.format.name != "wav"
    skipped = 0
    for number, packet in enumerate(container.demux(stream)):
        try:
            frames = stream.decode(packet)
        except av.error.FFmpegError as error:
            if packet.size and is_tag(bytes(packet)):
                skipped += packet.size
                continue
            raise MediaError(
                f"{path}: damaged (its sound, packet {number}, can't be decoded); export or copy "
                "the file again"
            ) from error
        if (packet.is_corrupt and marks) or any(frame.is_corrupt for frame in frames):
            raise MediaError(
                f"{path}: damaged (its sound, packet {number}); export or copy the file again"
            )
        if packet.size and not frames and is_tag(bytes(packet)):
            skipped += packet.size
        yield from frames
    if skipped and notes is not None:
        notes.append(f"{skipped} bytes of tags between the sound were skipped")


def _samples(frame: AudioFrame, channels: int, mono: bool) -> Block:
    samples = np.asarray(frame.to_ndarray(), dtype=np.float32).reshape(-1, channels)
    if not mono or channels == 1:
        return samples
    # In surround sound speech comes from the centre; the deep effects channel says nothing.
    weights = np.array(_MONO_WEIGHTS.get(channels, (1.0,) * channels), np.float32)
    with np.errstate(invalid="ignore"):  # `_checked` refuses values that are no numbers
        mean: Block = samples @ (weights / weights.sum())
    return mean[:, None]


def _checked(blocks: Iterable[Block], path: Path) -> Iterator[Block]:
    for block in blocks:
        if not (np.abs(block) < _LOUDEST).all():
            raise MediaError(
                f"{path}: its sound holds values that are no numbers, or far beyond full scale; "
                "export it again as WAV"
            )
        if len(block):
            yield block


def _check_length(
    container: av.container.InputContainer, stream: AudioStream, seconds: float, path: Path
) -> None:
    """Compare what was decoded with what the header promises, where it is no estimate."""
    if not stream.duration or stream.time_base is None or not _states_length(container, path):
        return
    promised = float(stream.duration * stream.time_base)
    if container.format.name == "wav":  # to libraries, a cut one is as long as the file
        promised = seconds / wav_share(path)
    if promised - seconds > _SHORT_SECONDS + _SHORT_SHARE * promised:
        raise MediaError(
            f"{path}: cut short, its sound holds {seconds:.1f} of {promised:.1f} seconds; copy or "
            "download it again"
        )


def _states_length(container: av.container.InputContainer, path: Path) -> bool:
    """Whether the header says how long the sound is; what others give is an estimate."""
    names = set(container.format.name.split(","))
    if "mp3" in names:
        return counts_mp3_frames(path)
    return bool(_STATED_LENGTHS & names)
