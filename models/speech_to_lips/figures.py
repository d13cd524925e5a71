"""Figures of how good predicted motion is on clips, with their protocol.

Errors are 2D (x, y), the mean over the 40 lip points, in % of face height. `held` is the clip's
median mouth kept still (it knows the clip), `random` the mouth of another moment of the clip.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from models.arrays import Mouth, TickMouths, TickValues
from models.faces.mesh.indices import JAW
from models.speech_to_lips.neutral import CLOSED_OPENING, opening

_Array = NDArray[np.float32]

MIN_TICKS = 20
"""Clips with fewer seen ticks give no figures."""
MIN_OPENING_SPREAD = 0.004
"""Mouths that move less than this (standard deviation, face heights) have no correlation."""


@dataclass(frozen=True)
class Figures:
    """Figures of one clip.

    Attributes:
        correlation: of predicted and true mouth opening, -1..1.
        spread: standard deviation of the predicted opening over that of the true one.
        error: of predicted lip points.
        error_centred: the same after moving the prediction's median mouth onto the clip's.
        held: of the clip's median mouth, held still.
        closed: of the neutral mouth, held still.
        random: of the mouth of a random other moment.
        mean_opening: of the prediction's opening beyond neutral over that of the clip.
        closure: the prediction's opening beyond neutral while the true mouth is closed, over
            that in the rest of the clip; NaN where it never closes or never opens.
    """

    correlation: float
    spread: float
    error: float
    error_centred: float
    held: float
    closed: float
    random: float
    mean_opening: float
    closure: float


def clip_figures(
    predicted: Float32[np.ndarray, "predicted_tick 57 3"],
    truth: TickMouths,
    *,
    neutral: Mouth,
    seen: TickValues,
) -> Figures | None:
    """Compare predicted and true motion; None where there is nothing to compare.

    Args:
        predicted: displacement from neutral, canonical [face heights].
        truth: the same, observed.
        neutral: canonical.
        seen: 1 where truth was seen.
    """
    n = min(len(predicted), len(truth))
    use = seen[:n] > 0
    if use.sum() < MIN_TICKS:
        return None
    p, t = predicted[:n][use], truth[:n][use]
    opened, true_opened = opening(neutral + p), opening(neutral + t)
    if true_opened.std() < MIN_OPENING_SPREAD:
        return None
    closed = opening(neutral[None])[0]
    middle = np.median(t, 0)
    other = np.random.default_rng(0).permutation(len(t))
    alike = opened.std() < 1e-6
    shut = true_opened - closed < CLOSED_OPENING
    return Figures(
        correlation=0.0 if alike else float(np.corrcoef(opened, true_opened)[0, 1]),
        spread=float(opened.std() / true_opened.std()),
        error=_error(p, t),
        error_centred=_error(p - np.median(p, 0) + middle, t),
        held=_error(np.broadcast_to(middle, t.shape), t),
        closed=_error(np.zeros_like(t), t),
        random=_error(t[other], t),
        mean_opening=float((opened.mean() - closed) / max(true_opened.mean() - closed, 1e-3)),
        closure=_closure(opened - closed, shut),
    )


def _closure(opened: _Array, shut: NDArray[np.bool_]) -> float:
    rest = float(opened[~shut].mean()) if not shut.all() else 0.0
    return float(opened[shut].mean()) / rest if shut.any() and rest > 1e-3 else float("nan")


def _error(predicted: _Array, truth: _Array) -> float:
    off = (predicted - truth)[:, len(JAW) :, :2]
    return float(np.linalg.norm(off, axis=-1).mean() * 100)


@dataclass(frozen=True)
class Interval:
    """A mean over clips and its 95 % interval, persons drawn anew (bootstrap)."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f})"


def summarise(clips: Sequence[Figures], persons: Sequence[str]) -> dict[str, Interval]:
    """Mean of each figure over clips, by name.

    Args:
        clips: figures of each clip.
        persons: of each clip; the bootstrap draws persons, because their clips are alike.
    """
    rng = np.random.default_rng(0)
    names = sorted(set(persons))
    rows = {name: [i for i, p in enumerate(persons) if p == name] for name in names}
    draws = [
        np.concatenate([rows[names[k]] for k in rng.integers(len(names), size=len(names))])
        for _ in range(2000)
    ]
    summary = {}
    for field in fields(Figures):
        values = np.array([getattr(clip, field.name) for clip in clips])
        means = [_mean(values[draw]) for draw in draws]
        low, high = np.nanquantile(means, [0.025, 0.975]) if np.isfinite(means).any() else means[:2]
        summary[field.name] = Interval(_mean(values), float(low), float(high))
    return summary


def _mean(values: NDArray[np.float64]) -> float:
    """Mean of the values that are numbers; NaN when none is."""
    numbers = values[np.isfinite(values)]
    return float(numbers.mean()) if len(numbers) else float("nan")
