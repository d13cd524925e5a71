"""Whether lips close where speech needs them closed: on /p/, /b/ and /m/."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from models.arrays import FrameValues, Seconds

CLOSED = 0.2
"""Opening up to here is closed: 0 is the person's closed level, 1 the open one."""
AROUND_S = 0.04
"""So much before and after a phone counts as part of it: alignments are not exact [s]."""
CLOSED_QUANTILE, OPEN_QUANTILE = 0.02, 0.95
_SHIFTS = 9
_NEAREST_SHIFT_S = 0.4


@dataclass(frozen=True)
class Phone:
    """A sound that needs closed lips, from `start` to `stop` [s]."""

    start: float
    stop: float


def levels(opening: FrameValues) -> tuple[float, float]:
    """The person's closed and open level, from openings of frames with a face."""
    low, high = np.quantile(opening, [CLOSED_QUANTILE, OPEN_QUANTILE])
    return float(low), float(high)


def closures(
    opening: FrameValues, seconds: Seconds, phones: list[Phone]
) -> Float32[np.ndarray, " phone"]:
    """The least opening within each phone; NaN where no frame with a face falls into it.

    Args:
        opening: between the closed (0) and the open level (1); NaN without a face.
        seconds: presentation times, ascending.
        phones: On the same clock.
    """
    least = np.full(len(phones), np.nan, np.float32)
    for row, phone in enumerate(phones):
        first, last = np.searchsorted(seconds, [phone.start - AROUND_S, phone.stop + AROUND_S])
        seen = opening[first:last]
        if np.isfinite(seen).any():
            least[row] = np.nanmin(seen)
    return least


def closures_by_chance(
    opening: FrameValues, seconds: Seconds, phones: list[Phone]
) -> Float32[np.ndarray, " moved"]:
    """`closures` by chance: all phones moved by each of nine shifts, around the clip's end."""
    begin, end = float(seconds[0]), float(seconds[-1])
    length = end - begin
    found = []
    for shift in np.linspace(_NEAREST_SHIFT_S, max(length - _NEAREST_SHIFT_S, 0), _SHIFTS):
        starts = [begin + (phone.start + shift - begin) % max(length, 1e-9) for phone in phones]
        moved = [Phone(s, s + p.stop - p.start) for s, p in zip(starts, phones, strict=True)]
        found.append(closures(opening, seconds, moved))
    return np.concatenate(found)
