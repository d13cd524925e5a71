"""Sound whose rate or channels change on the way, as one."""

from collections.abc import Iterable, Iterator

from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler


def alike(frames: Iterable[AudioFrame], rate: int, notes: list[str] | None) -> Iterator[AudioFrame]:
    """Bring frames to one rate, and to the channels and sample format of the first.

    Args:
        frames: As decoded.
        rate: Hz.
        notes: To which is added that anything was changed.
    """
    wanted: tuple[int, str, str] | None = None
    given: tuple[int, str, str] | None = None
    resampler: AudioResampler | None = None
    others: set[str] = set()
    for frame in frames:
        kind = (frame.sample_rate, frame.layout.name, frame.format.name)
        wanted = wanted or (rate, *kind[1:])
        if resampler is not None and kind != given:
            yield from resampler.resample(None)
            resampler = None
        if kind == wanted:
            yield frame
            continue
        if resampler is None:
            resampler = AudioResampler(format=wanted[2], layout=wanted[1], rate=rate)
        given = kind
        others.add(f"{kind[0]} Hz {kind[1]}")
        yield from resampler.resample(frame)
    if resampler is not None:
        yield from resampler.resample(None)
    if others and wanted is not None and notes is not None:
        notes.append(
            f"the sound changes on the way ({', '.join(sorted(others))}): all of it was brought "
            f"to {rate} Hz {wanted[1]}"
        )
