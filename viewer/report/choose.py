"""Which curves and which moments are worth a look."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from models.metrics.metric import Metric
from viewer.report.data import Curve, Pick

MOMENTS = 12
"""Shown at most."""
APART_SECONDS = 1.0
"""Between moments of one result."""


def moments_to_show(curves: Iterable[Curve], metrics: Sequence[Metric]) -> list[Pick]:
    """The worst frames, of every metric in turn.

    In each round the metrics take turns, the one whose worst frame lies farthest from its median
    first (in median deviations), and each gives its worst frame that is left. Moments of one
    result are APART_SECONDS apart, so that one bad second does not fill the page.

    Args:
        curves: Of all systems and clips.
        metrics: Those of the curves; metrics without a better way are passed over.
    """
    by_metric = _by_metric(curves)
    queues = [
        _worst_first(by_metric[metric.name], metric)
        for metric in metrics
        if metric.better != "none" and metric.name in by_metric
    ]
    chosen: list[Pick] = []
    while len(chosen) < MOMENTS and any(queues):
        for queue in sorted(queues, key=lambda queue: -queue[0][0] if queue else 0.0):
            while queue:
                _, pick = queue.pop(0)
                if not any(_near(pick, other) for other in chosen):
                    chosen.append(pick)
                    break
    return chosen[:MOMENTS]


def curves_to_show(
    curves: Iterable[Curve], metrics: Sequence[Metric], *, count: int = 6
) -> list[Curve]:
    """Curves of the clips that differ most.

    With several systems: clips and metrics where the systems' means lie farthest apart; with one:
    those that lie farthest on the bad side of the median clip. Distances are in standard
    deviations over all clips of the metric. At most two pictures for a metric or a clip.

    Args:
        curves: Of all systems and clips.
        metrics: Those of the curves; metrics without a better way are passed over.
        count: Pictures at most; each has the curves of all systems.
    """
    ranked = []
    by_metric = _by_metric(curves)
    for metric in metrics:
        if metric.better == "none":
            continue
        means: dict[str, list[float]] = {}
        for curve in by_metric.get(metric.name, ()):
            known = curve.values[np.isfinite(curve.values)].astype(np.float64)
            if len(known):
                badness = _badness(known.mean(keepdims=True), metric)
                means.setdefault(curve.item, []).append(float(badness[0]))
        everything = [value for values in means.values() for value in values]
        scale = float(np.std(everything)) if everything else 0.0
        middle = float(np.median(everything)) if everything else 0.0
        for item, values in means.items():
            apart = max(values) - min(values) if len(values) > 1 else values[0] - middle
            if scale > 0:
                ranked.append((apart / scale, metric.name, item))
    shown: list[Curve] = []
    used: Counter[str] = Counter()
    pictures = 0
    for _, name, item in sorted(ranked, key=lambda entry: -entry[0]):
        if pictures < count and used[f"metric {name}"] < 2 and used[f"clip {item}"] < 2:
            used.update((f"metric {name}", f"clip {item}"))
            pictures += 1
            shown += [curve for curve in by_metric[name] if curve.item == item]
    return shown


def _by_metric(curves: Iterable[Curve]) -> dict[str, list[Curve]]:
    by_metric: dict[str, list[Curve]] = {}
    for curve in curves:
        by_metric.setdefault(curve.metric, []).append(curve)
    return by_metric


def _badness(values: NDArray[np.float64], metric: Metric) -> NDArray[np.float64]:
    if metric.better == "zero":
        return np.abs(values)
    return -values if metric.better == "higher" else values


def _worst_first(curves: Sequence[Curve], metric: Metric) -> list[tuple[float, Pick]]:
    bad = [_badness(np.asarray(curve.values, np.float64), metric) for curve in curves]
    every = np.concatenate(bad)
    every = every[np.isfinite(every)]
    if not len(every) or every.max() == every.min():
        return []
    middle = np.median(every)
    spread = float(np.median(np.abs(every - middle))) or float(every.std())
    found = []
    for curve, badness in zip(curves, bad, strict=True):
        for frame in _peaks(badness, curve):
            pick = Pick(
                curve.system,
                curve.item,
                curve.metric,
                frame,
                float(curve.seconds[frame]),
                float(curve.values[frame]),
            )
            found.append((float((badness[frame] - middle) / spread), pick))
    return sorted(found, key=lambda entry: -entry[0])


def _peaks(badness: NDArray[np.float64], curve: Curve) -> Iterator[int]:
    left = np.where(np.isfinite(badness), badness, -np.inf)
    for _ in range(MOMENTS):
        frame = int(left.argmax()) if len(left) else 0
        if not len(left) or left[frame] == -np.inf:
            return
        yield frame
        left[np.abs(curve.seconds - curve.seconds[frame]) < APART_SECONDS] = -np.inf


def _near(pick: Pick, other: Pick) -> bool:
    same = (pick.system, pick.item) == (other.system, other.item)
    return same and abs(pick.second - other.second) < APART_SECONDS
