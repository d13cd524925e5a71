"""Audio-visual sync without outside weights: does the mouth move with the speech, and at what lag.

The motion that a model expects from the speech and the motion seen, both (tick, component) at one
clock, are differenced in time and correlated over all components at once, at every lag. Velocities
rather than positions: smiles and slow drifts of a pose say nothing about speech, and a position
correlates with itself over too many ticks to tell one lag from the next.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64
from numpy.typing import NDArray

from models.arrays import Components
from models.speech_to_lips.lag import between

_Wide = NDArray[np.float64]

TICKS_PER_SECOND = 25
MAX_LAG_TICKS = 20
"""Lags up to 0.8 s are looked for."""
MIN_TICKS = 50
"""Two seconds: less is too short to tell one lag from another."""
MIN_OVERLAP_TICKS = 25
"""Lags at which sound and picture share less are not judged."""
COMPONENTS = 8
"""Of the basis of motion, most energy first: what comes after is noise."""
NOISE = 0.005
"""Root mean square change of motion from tick to tick that counts as none [face heights, as
COMPONENTS have it]; talking mouths have 0.03 to 0.1. Every motion is taken to hold so much noise,
so that one that hardly moves agrees with nothing."""
PEAK_TICKS = 3
"""Width of a peak to either side: outside of it lies what chance gives."""
CONFIDENCE = (2.24, 0.70, -7.51)
"""Logistic regression of `right within one tick` on correlation times the root of the ticks, on the
lead over the next peak in standard deviations of the rest, and on 1. From 277 pieces of 2 to 6 s of
29 training clips, by a model that had not seen their persons, and the same with the speech of
someone else, where no lag is right. With clips held out it said 0.04, 0.19, 0.38, 0.62, 0.81, 0.98
and was right in 0.03, 0.15, 0.38, 0.52, 0.84, 0.97."""


@dataclass(frozen=True)
class Agreement:
    """Result of `agree`.

    Attributes:
        lag_ticks: how much later the picture is than the sound, to a fraction of a tick.
        correlation: of expected and seen velocity at the best whole lag, -1..1.
        in_step: the same at no lag.
        confidence: chance that the lag is right within one tick, 0..1, from the height of the peak
            and its lead over all others; see CONFIDENCE.
        moves: the mouth moves by more than noise; if not, there is no lag to believe.
        curve: correlation at each lag from -20 to 20 ticks; NaN where too little overlaps.
    """

    lag_ticks: float
    correlation: float
    in_step: float
    confidence: float
    moves: bool
    curve: Float64[np.ndarray, "41"]

    @property
    def lag_seconds(self) -> float:
        """The lag [s]."""
        return self.lag_ticks / TICKS_PER_SECOND


def agree(
    expected: Float32[np.ndarray, "expected_tick component"],
    seen_motion: Components,
    *,
    seen: Float32[np.ndarray, " seen_tick"],
) -> Agreement:
    """Compare expected and seen motion, over the ticks that all three arguments have.

    Args:
        expected: displacement that the speech asks for [face heights, on an orthonormal basis of
            all points].
        seen_motion: the same, seen. A constant offset does not count.
        seen: 1 where the picture shows the face, else 0.

    Raises:
        ValueError: too little to tell: the message says what, in words for a report.
    """
    ticks = min(len(expected), len(seen_motion), len(seen))
    if expected.ndim != 2 or expected.shape[1:] != seen_motion.shape[1:]:
        raise ValueError(
            f"motion is (tick, component), expected {expected.shape}, seen {seen_motion.shape}"
        )
    use = (seen[1:ticks] > 0) & (seen[: ticks - 1] > 0)
    if use.sum() < MIN_TICKS:
        raise ValueError(f"a face is seen for less than {MIN_TICKS / TICKS_PER_SECOND:g} s")
    asked, moved = (_velocity(m[:ticks, :COMPONENTS]) for m in (expected, seen_motion))
    if _strength(asked) < NOISE:
        raise ValueError("there is no speech that asks for motion")
    curve, overlap = _curve(asked, moved, use)
    # The same correlation is less likely by chance the more ticks it comes from.
    score = np.where(overlap >= MIN_OVERLAP_TICKS, curve * np.sqrt(overlap), -np.inf)
    best = int(score.argmax())
    return Agreement(
        lag_ticks=best - MAX_LAG_TICKS + between(score, best),
        correlation=float(curve[best]),
        in_step=float(curve[MAX_LAG_TICKS]),
        confidence=_confidence(score, best),
        moves=_strength(moved[use]) > NOISE,
        curve=curve,
    )


def _velocity(motion: NDArray[np.float32]) -> _Wide:
    """(tick, component) → (tick - 1, component)."""
    return np.diff(motion.astype(np.float64), axis=0)


def _strength(moved: _Wide) -> float:
    """Root mean square size of velocities (tick, component)."""
    return float(np.sqrt(np.square(moved).sum(1).mean()))


def _curve(expected: _Wide, observed: _Wide, use: NDArray[np.bool_]) -> tuple[_Wide, _Wide]:
    """Correlation and number of ticks at each lag; velocities have no mean worth taking off."""
    curve = np.full(2 * MAX_LAG_TICKS + 1, np.nan)
    overlap = np.zeros(len(curve))
    total = len(expected)
    for row, lag in enumerate(range(-MAX_LAG_TICKS, MAX_LAG_TICKS + 1)):
        tick = np.arange(max(0, -lag), min(total, total - lag))
        tick = tick[use[tick + lag]]
        overlap[row] = len(tick)
        if len(tick) < MIN_OVERLAP_TICKS:
            continue
        a, b = expected[tick], observed[tick + lag]
        least = len(tick) * NOISE**2
        energy = np.sqrt((np.square(a).sum() + least) * (np.square(b).sum() + least))
        curve[row] = (a * b).sum() / energy
    return curve, overlap


def _confidence(score: _Wide, best: int) -> float:
    """Chance that the peak is the right one."""
    away = np.abs(np.arange(len(score)) - best) > PEAK_TICKS
    rest = score[away & np.isfinite(score)]
    spread = float(rest.std()) if len(rest) else 0.0
    lead = float(score[best] - rest.max()) / spread if spread > 0 else 0.0
    per_height, per_lead, offset = CONFIDENCE
    return float(1 / (1 + np.exp(-(per_height * score[best] + per_lead * lead + offset))))
