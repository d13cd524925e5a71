"""Means with bootstrap intervals. Seeded: the same figures always give the same interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 4000
FEWEST = 3
"""Below so many values an interval would claim more than is known."""

_BLOCK = 1 << 20
_SEED = 20261


@dataclass(frozen=True)
class Interval:
    """A mean with its bootstrap interval of 95 %; both bounds None below three values."""

    mean: float
    low: float | None
    high: float | None
    n: int


def mean_interval(values: Sequence[float] | NDArray[np.float64]) -> Interval:
    """The mean, and the 2.5th to 97.5th percentile of means of values drawn with replacement.

    Raises:
        ValueError: there are no values, or some are not finite.
    """
    drawn_from = np.asarray(values, np.float64)
    if not len(drawn_from) or not np.isfinite(drawn_from).all():
        raise ValueError("a mean needs at least one value, and all finite")
    count = len(drawn_from)
    mean = float(drawn_from.mean())
    if count < FEWEST:
        return Interval(mean, None, None, count)
    random = np.random.default_rng(_SEED)
    at_once = max(1, _BLOCK // count)
    means = [
        drawn_from[random.integers(0, count, (min(at_once, RESAMPLES - done), count))].mean(axis=1)
        for done in range(0, RESAMPLES, at_once)
    ]
    low, high = np.percentile(np.concatenate(means), (2.5, 97.5))
    return Interval(mean, float(low), float(high), count)


def crossed_interval(
    values: Sequence[float], raters: Sequence[str], items: Sequence[str]
) -> Interval:
    """The mean of ratings, with an interval for other raters and other clips alike.

    Ratings of one person resemble each other, and so do ratings of one clip. Raters and clips are
    therefore drawn independently, with replacement, and a rating counts as often as its rater
    times its clip was drawn (Owen 2007, the pigeonhole bootstrap; it errs towards wide).

    Raises:
        ValueError: there are no values.
    """
    answers = np.asarray(values, np.float64)
    if not len(answers):
        raise ValueError("a mean needs at least one value")
    mean = float(answers.mean())
    if len(answers) < FEWEST:
        return Interval(mean, None, None, len(answers))
    random = np.random.default_rng(_SEED)
    weights = _draws(raters, random) * _draws(items, random)
    totals = weights.sum(axis=1)
    means = (weights @ answers)[totals > 0] / totals[totals > 0]
    low, high = np.percentile(means, (2.5, 97.5))
    return Interval(mean, float(low), float(high), len(answers))


def _draws(names: Sequence[str], random: np.random.Generator) -> NDArray[np.float64]:
    """How often the name of each value was drawn: (resample, value)."""
    different, rows = np.unique(np.asarray(names), return_inverse=True)
    count = len(different)
    drawn = random.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    return drawn[:, rows].astype(np.float64)
