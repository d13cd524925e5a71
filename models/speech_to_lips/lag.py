"""Lag of the picture behind the sound, from predicted and observed mouth opening."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from models.arrays import TickValues

Curve = Float64[np.ndarray, "17"]  # correlation at each lag from -MAX_LAG_TICKS to MAX_LAG_TICKS

MAX_LAG_TICKS = 8
"""Lags up to 0.32 s are looked for, more is another take."""
MIN_TICKS = 50
"""Two seconds: less is too short to tell one lag from another."""
MIN_CORRELATION = 0.3
"""Sound and picture that agree less than this do not belong together, as far as we can tell."""


@dataclass(frozen=True)
class Lag:
    """Result of `find_lag`.

    Attributes:
        ticks: how much later the picture is than the sound, in ticks of 1/25 s, to a fraction.
        correlation: of predicted and observed opening at that lag, -1..1.
        at_zero: the same at no lag.
        reliable: the lag is clearly better than none, or none is best; and both agree at all.
    """

    ticks: float
    correlation: float
    at_zero: float
    reliable: bool


def lag_curve(predicted: TickValues, observed: TickValues, seen: TickValues) -> Curve:
    """Correlation at each lag from -MAX_LAG_TICKS to MAX_LAG_TICKS; -1 where it can't be told.

    Args:
        predicted: mouth opening from the sound [face heights].
        observed: mouth opening in the picture [face heights].
        seen: 1 where the picture shows the face, else 0.
    """
    curve = np.full(2 * MAX_LAG_TICKS + 1, -1.0)
    n = len(predicted)
    for row, lag in enumerate(range(-MAX_LAG_TICKS, MAX_LAG_TICKS + 1)):
        tick = np.arange(max(0, -lag), min(n, n - lag))
        tick = tick[seen[tick + lag] > 0]
        if len(tick) < 12:
            continue
        a, b = predicted[tick].astype(np.float64), observed[tick + lag].astype(np.float64)
        a, b = a - a.mean(), b - b.mean()
        energy = np.sqrt((a @ a) * (b @ b))
        # Under 0.1 % of face height nothing moves, and noise would correlate with noise.
        if energy > len(tick) * 1e-6:
            curve[row] = (a @ b) / energy
    return curve


def find_lag(predicted: TickValues, observed: TickValues, *, seen: TickValues) -> Lag:
    """The lag at which predicted and observed opening agree best; see `lag_curve`."""
    curve = lag_curve(predicted, observed, seen)
    best, at_zero = int(curve.argmax()), float(curve[MAX_LAG_TICKS])
    ticks = peak(curve)
    ticks_seen = float((seen > 0).sum())
    # A syllable lasts about 6 ticks: so many of them are one independent observation.
    uncertain = (1 - curve[best] ** 2) / np.sqrt(max(ticks_seen / 6, 1))
    clear = curve[best] - at_zero > max(0.08, uncertain) or abs(ticks) < 1.5
    inside = 0 < best < 2 * MAX_LAG_TICKS
    agrees = curve[best] >= MIN_CORRELATION and ticks_seen >= MIN_TICKS
    return Lag(ticks, float(curve[best]), at_zero, bool(clear and inside and agrees))


def peak(curve: Curve) -> float:
    """Lag of a curve's highest point, to a fraction of a tick."""
    best = int(curve.argmax())
    return best - MAX_LAG_TICKS + between(curve, best)


def between(curve: Float64[np.ndarray, " lag"], best: int) -> float:
    """Where between ticks the peak at `best` lies: the top of a parabola through three points.

    From -0.5 to 0.5; 0 at the ends of the curve, beside what is not finite, and on a plain.
    """
    if not 0 < best < len(curve) - 1:
        return 0.0
    before, top, after = curve[best - 1 : best + 2]
    bend = before - 2 * top + after
    return float(0.5 * (before - after) / bend) if np.isfinite(bend) and bend else 0.0


def shifted(
    values: Float32[np.ndarray, " tick *rest"], ticks: float
) -> Float32[np.ndarray, " tick *rest"]:
    """The values of `ticks` later at each tick, which takes a lag out; the ends are held."""
    n = len(values)
    at = np.clip(np.arange(n) + ticks, 0, n - 1)
    low = np.minimum(at.astype(np.int64), max(n - 2, 0))
    part = (at - low).astype(np.float32).reshape(-1, *[1] * (values.ndim - 1))
    high = np.minimum(low + 1, n - 1)
    return np.asarray(values[low] * (1 - part) + values[high] * part, np.float32)
