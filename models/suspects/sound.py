"""Whether the mouth moves when the sound asks for it."""

import numpy as np
from jaxtyping import Float32

from models.arrays import Seconds
from models.metrics.agreement import MIN_TICKS, TICKS_PER_SECOND, agree
from models.suspects.suspect import Suspect, weight

LAG_SECONDS = 0.06
"""Sound and picture may be so far apart."""
CONFIDENCE = 0.6
"""A lag counts with such a chance to be right."""
WINDOW_SECONDS = 6.0
_STRIDE_SECONDS = 3.0


def out_of_step(
    expected: Float32[np.ndarray, "expected_tick component"],
    motion: Float32[np.ndarray, "seen_tick component"],
    seen: Float32[np.ndarray, " seen_tick"],
    seconds: Seconds,
) -> list[Suspect]:
    """Parts in which picture and sound are apart; one, where all of them are.

    Args:
        expected: motion that the sound asks for, 25 times a second.
        motion: that is seen.
        seen: 1 where a face is.
        seconds: when each row is shown.
    """
    ticks = min(len(expected), len(motion), len(seen))
    length = round(WINDOW_SECONDS * TICKS_PER_SECOND)
    stride = round(_STRIDE_SECONDS * TICKS_PER_SECOND)
    parts: list[tuple[int, int, float, float]] = []
    for start in range(0, max(1, ticks - length + stride), stride):
        stop = min(start + length, ticks)
        if stop - start < MIN_TICKS:
            continue
        try:
            found = agree(expected[start:stop], motion[start:stop], seen=seen[start:stop])
        except ValueError:
            continue
        if found.moves and found.confidence > CONFIDENCE and abs(found.lag_seconds) > LAG_SECONDS:
            parts.append((start, stop, found.lag_seconds, found.confidence))
    return [_suspect(part, seconds) for part in _joined(parts)]


def _joined(parts: list[tuple[int, int, float, float]]) -> list[tuple[int, int, float, float]]:
    """Parts that overlap and lag alike as one, with the surest lag."""
    whole: list[tuple[int, int, float, float]] = []
    for part in parts:
        last = whole[-1] if whole else None
        if last and part[0] <= last[1] and (part[2] > 0) == (last[2] > 0):
            surest = max(last, part, key=lambda each: each[3])
            whole[-1] = (last[0], part[1], surest[2], surest[3])
        else:
            whole.append(part)
    return whole


def _suspect(part: tuple[int, int, float, float], seconds: Seconds) -> Suspect:
    first, last, lag, confidence = part
    begin, end = first / TICKS_PER_SECOND, last / TICKS_PER_SECOND
    start, stop = (int(row) for row in np.searchsorted(seconds, [begin, end]))
    late = "picture" if lag > 0 else "sound"
    reason = (
        f"the {late} is {1000 * abs(lag):.0f} ms late from {begin:.2f} to {end:.2f} s "
        f"({100 * confidence:.0f} % sure)"
    )
    return Suspect("sound", start, max(stop, start + 1), weight(abs(lag) / LAG_SECONDS), reason)
