"""Put decoded sound on its container's clock: silence in gaps, drift resampled, the end as stated.

Sound whose samples run ahead of their times, or behind, is sped up or slowed down until each is
heard when the container says. Sound that is in step passes untouched.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.container
import av.error
import av.filter
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from numpy.typing import NDArray

from stores.errors import MediaError
from stores.media.clock import clock_zero, longest_silence
from stores.media.source import MAX_SECONDS

_PIECE_SAMPLES = 1 << 14
_EXACT = 0.001, 0.002
_ROUNDED = 0.005, 0.05
_ROUGH = 0.03, 0.1
"""Deviation that is no drift and jump that is a gap [s]: where times are counted in samples; where
they are rounded, mostly to ms; and where demuxers work them out from chunks or pages of frames."""
_COUNTED = float(MAX_SECONDS), float(MAX_SECONDS)
_COUNTED_FORMATS = {"aac", "ac3", "aiff", "amr", "ape", "caf", "eac3", "flac", "mp3", "tta"}
_COUNTED_FORMATS |= {"w64", "wav", "wv"}
"""Formats without times: demuxers count packets, tags among them, so the samples are the clock."""
_ROUGH_FORMATS = {"avi", "asf", "mpeg", "ogg", "rm"}
_SOFT_COMPENSATION = 0.1
"""Share by which sound is sped up or slowed down at most."""
_HARD_SECONDS = 0.1
"""What runs away by more, in spite of that, is cut or filled."""
_LABEL = 10
"""aresample closes a deviation within about a second of the rate that frames are labelled with; at
a tenth of theirs, within a tenth of a second. Its option for that has no effect
(findings/aresample_comp_duration_changes_no_pace.sh)."""


def on_clock(
    frames: Iterable[AudioFrame],
    container: av.container.InputContainer,
    stream: AudioStream,
    path: Path,
) -> Iterator[AudioFrame]:
    """Turn decoded frames into frames that follow each other without a gap from sample 0 on.

    Args:
        frames: As decoded from `stream`, of its rate and all of the same channels and format.
        container: The open file.
        stream: The sound stream.
        path: Of the file.

    Raises:
        MediaError: The sound has a gap of hours.
    """
    rate = int(stream.codec_context.sample_rate)
    drift, gap = _tolerances(container, stream)
    steps = round(drift * rate), round(gap * rate)
    return _in_step(_timed(frames, container, stream, path, *steps), rate, drift)


def _tolerances(container: av.container.InputContainer, stream: AudioStream) -> tuple[float, float]:
    names = set(container.format.name.split(","))
    if _COUNTED_FORMATS & names:
        return _COUNTED
    if _ROUGH_FORMATS & names:
        return _ROUGH
    counted = stream.time_base == Fraction(1, stream.codec_context.sample_rate)
    return _EXACT if _is_mp4(container) and counted else _ROUNDED


def _timed(
    frames: Iterable[AudioFrame],
    container: av.container.InputContainer,
    stream: AudioStream,
    path: Path,
    drift: int,
    gap: int,
) -> Iterator[AudioFrame]:
    """Fill gaps and cut overlaps; each frame's `pts` is its time [samples]."""
    rate = int(stream.codec_context.sample_rate)
    zero = clock_zero(path)
    stop = _end_sample(container, stream, rate, zero)
    end = given = 0  # where the frame before ends by its time, and by the samples so far
    for frame in frames:
        begin = end
        if frame.pts is not None and frame.time_base is not None:
            begin = round((frame.pts * frame.time_base - zero) * rate)
        # Counted by samples where both agree: what rounding leaves must not add up.
        away = 0
        if not given or abs(begin - end) > max(gap, _SOFT_COMPENSATION * frame.samples):
            away = begin - (given if abs(end - given) <= drift else end)
        if away > longest_silence(container) * rate:
            raise MediaError(
                f"{path}: a gap of {away / rate:.0f} seconds in its sound; the file is damaged or "
                "was joined badly, re-encode it first"
            )
        first = max(0, -away)
        last = frame.samples
        if stop is not None:
            last = min(last, stop - (given if abs(begin - given) <= drift else begin))
        if first >= last:
            continue
        for at in range(begin - max(0, away), begin, _PIECE_SAMPLES):
            yield _silence(frame, at, min(_PIECE_SAMPLES, begin - at))
        yield _part(frame, begin, first, last)
        given += max(0, away) + last - first
        end = begin + last


def _in_step(frames: Iterable[AudioFrame], rate: int, drift: float) -> Iterator[AudioFrame]:
    """Resample where samples and times deviate by more than `drift` [s]."""
    graph, label = av.filter.Graph(), rate // _LABEL
    sink = None
    for frame in frames:
        if sink is None:
            begin = graph.add_abuffer(
                format=frame.format.name,
                sample_rate=label,
                layout=frame.layout.name,
                time_base=Fraction(1, label),
            )
            follow = graph.add(
                "aresample",
                f"min_comp={_LABEL * drift}:min_hard_comp={_LABEL * _HARD_SECONDS}:"
                f"max_soft_comp={_SOFT_COMPENSATION}:first_pts=0",
            )
            sink = graph.add("abuffersink")
            graph.link_nodes(begin, follow, sink).configure()
        frame.sample_rate, frame.time_base = label, Fraction(1, label)
        begin.push(frame)
        yield from _pulled(sink, rate)
    if sink is not None:
        begin.push(None)
        yield from _pulled(sink, rate)


def _pulled(sink: Any, rate: int) -> Iterator[AudioFrame]:
    while True:
        try:
            frame = sink.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        frame.sample_rate, frame.pts = rate, None
        yield frame


def _part(frame: AudioFrame, pts: int, first: int, last: int) -> AudioFrame:
    """Cut the samples [first, last) out of a frame that begins at `pts`."""
    if first > 0 or last < frame.samples:
        step = 1 if frame.format.is_planar else frame.layout.nb_channels
        frame = _like(frame, frame.to_ndarray()[:, first * step : last * step])
    frame.pts = pts + first
    return frame


def _silence(frame: AudioFrame, pts: int, samples: int) -> AudioFrame:
    """Make silence in the format of a frame."""
    array = frame.to_ndarray()
    step = 1 if frame.format.is_planar else frame.layout.nb_channels
    level = 128 if frame.format.name.startswith("u8") else 0
    made = _like(frame, np.full((array.shape[0], samples * step), level, array.dtype))
    made.pts = pts
    return made


def _like(frame: AudioFrame, array: NDArray[Any]) -> AudioFrame:
    made = AudioFrame.from_ndarray(
        np.ascontiguousarray(array), format=frame.format.name, layout=frame.layout.name
    )
    made.sample_rate = frame.sample_rate
    return made


def _is_mp4(container: av.container.InputContainer) -> bool:
    return "mp4" in container.format.name.split(",")


def _end_sample(
    container: av.container.InputContainer, stream: AudioStream, rate: int, zero: Fraction
) -> int | None:
    """Give the sample at which an MP4's edit list ends the sound; decoders leave the padding on."""
    if not _is_mp4(container) or not stream.duration or stream.time_base is None:
        return None
    end = max(0, stream.start_time or 0) + stream.duration
    return round((end * stream.time_base - zero) * rate)
