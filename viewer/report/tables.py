"""The figures of a report's tables, computed once for the page and for the text."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from models.metrics.metric import Metric
from viewer.intervals import Interval, mean_interval
from viewer.report.data import SKIPPED, Part, Report


@dataclass(frozen=True)
class Cell:
    """A metric of a system over all clips of a part.

    Attributes:
        system: Its name.
        mean: None where no clip has a value. A pooled figure has no interval.
        missing: Clips without a value, or without a result.
        skipped: Clips that are no clips for it, being too short; they are not among the missing.
        reasons: Why, with how many clips each, most frequent first.
        best: No other system's mean is better, there is another one, and it is missing for no clip.
        fewer: Measured on fewer clips than another system: the means are not of the same clips.
    """

    system: str
    mean: Interval | None
    missing: int
    reasons: tuple[tuple[str, int], ...]
    skipped: int = 0
    best: bool = False
    fewer: bool = False


@dataclass(frozen=True)
class MetricTable:
    """A metric for all systems; `how` says how to get it where it is not available."""

    metric: Metric
    cells: tuple[Cell, ...]
    pooled: bool = False
    how: str | None = None


@dataclass(frozen=True)
class Duel:
    """Two systems by one metric, over the clips that both have a value for.

    Attributes:
        metric: The metric.
        first: Name of a system.
        second: Name of the other.
        difference: First less second; of magnitudes where nearest to zero is best.
        wins: Clips on which the first is better, neither, the second; None if no way is better.
        better: Name of the better system, where the interval leaves no doubt; else "".
    """

    metric: Metric
    first: str
    second: str
    difference: Interval
    wins: tuple[int, int, int] | None
    better: str


def metric_tables(report: Report, part: Part) -> list[MetricTable]:
    """A table for each metric that was tried in a part or that is not available."""
    missing = {name: lack.how for lack in report.unavailable for name in lack.metrics}
    values = _values(part)
    tables = []
    for metric in report.metrics:
        if any(score.metric == metric.name for score in part.pooled):
            cells = _pooled_cells(report, part, metric)
            tables.append(MetricTable(metric, _marked(cells, metric, {}), pooled=True))
        elif any(score.metric == metric.name for score in part.scores):
            cells = [_cell(part, system.name, metric.name) for system in report.systems]
            by_system = {
                system: list(found.values())
                for (system, name), found in values.items()
                if name == metric.name
            }
            tables.append(MetricTable(metric, _marked(cells, metric, by_system)))
        elif metric.name in missing:
            tables.append(MetricTable(metric, (), how=missing[metric.name]))
    return tables


def untried(report: Report, tables: Sequence[MetricTable]) -> list[Metric]:
    """Metrics that are available, but not meant for a part."""
    shown = {table.metric.name for table in tables}
    return [metric for metric in report.metrics if metric.name not in shown]


def duels(report: Report, part: Part) -> list[Duel]:
    """Every system against every other, by every metric of single clips."""
    values = _values(part)
    found = []
    for first, second in combinations([system.name for system in report.systems], 2):
        for metric in report.metrics:
            ours, theirs = values.get((first, metric.name)), values.get((second, metric.name))
            if ours and theirs and (both := sorted(ours.keys() & theirs.keys())):
                pairs = np.array([(ours[item], theirs[item]) for item in both])
                found.append(_duel(metric, first, second, pairs))
    return found


def _duel(metric: Metric, first: str, second: str, pairs: NDArray[np.float64]) -> Duel:
    if metric.better == "zero":
        pairs = np.abs(pairs)
    differences = pairs[:, 0] - pairs[:, 1]
    interval = mean_interval(differences)
    if metric.better == "none":
        return Duel(metric, first, second, interval, None, "")
    gain = differences if metric.better == "higher" else -differences
    wins = (int((gain > 0).sum()), int((gain == 0).sum()), int((gain < 0).sum()))
    better = ""
    if interval.low is not None and interval.high is not None:
        above, below = interval.low > 0, interval.high < 0
        if above or below:
            better = first if above == (metric.better == "higher") else second
    return Duel(metric, first, second, interval, wins, better)


def _values(part: Part) -> Mapping[tuple[str, str], dict[str, float]]:
    values: dict[tuple[str, str], dict[str, float]] = {}
    for score in part.scores:
        if score.value is not None and np.isfinite(score.value):
            values.setdefault((score.system, score.metric), {})[score.item] = score.value
    return values


def _cell(part: Part, system: str, metric: str) -> Cell:
    rows = [row for row in part.scores if row.system == system and row.metric == metric]
    values = [row.value for row in rows if row.value is not None and np.isfinite(row.value)]
    seen = {row.item for row in rows}
    reasons = Counter(
        row.reason or ("no reason given" if row.value is None else f"the value is {row.value}")
        for row in rows
        if row.value is None or not np.isfinite(row.value)
    )
    reasons.update(
        failure.reason if failure.skipped else f"no result: {failure.reason}"
        for failure in part.failures
        if failure.system == system and failure.item not in seen
    )
    mean = mean_interval(values) if values else None
    skipped = sum(times for reason, times in reasons.items() if reason.startswith(SKIPPED))
    told = tuple(reasons.most_common())
    return Cell(system, mean, reasons.total() - skipped, told, skipped)


def _pooled_cells(report: Report, part: Part, metric: Metric) -> list[Cell]:
    rows = {row.system: row for row in part.pooled if row.metric == metric.name}
    cells = []
    for system in report.systems:
        row = rows.get(system.name)
        failed = [f for f in part.failures if f.system == system.name and not f.skipped]
        if row is None:
            cells.append(Cell(system.name, None, 0, ()))
        elif row.value is None:
            reason = row.reason or "no reason given"
            cells.append(Cell(system.name, None, row.items, ((reason, max(row.items, 1)),)))
        else:
            mean = Interval(row.value, None, None, row.items)
            cells.append(Cell(system.name, mean, len(failed), ()))
    return cells


def _marked(
    cells: list[Cell], metric: Metric, values: Mapping[str, Sequence[float]]
) -> tuple[Cell, ...]:
    most = max((cell.mean.n for cell in cells if cell.mean is not None), default=0)
    merit = {
        cell.system: _merit(values.get(cell.system, [cell.mean.mean]), metric)
        for cell in cells
        if cell.mean is not None
    }
    top = max(merit.values()) if len(merit) > 1 and metric.better != "none" else None
    return tuple(
        replace(
            cell,
            best=top is not None and merit.get(cell.system) == top and not cell.missing,
            fewer=cell.mean is not None and cell.mean.n < most,
        )
        for cell in cells
    )


def _merit(values: Sequence[float], metric: Metric) -> float:
    if metric.better == "zero":  # drift to both sides is no less drift
        return -float(np.abs(values).mean())
    return float(np.mean(values)) * (1 if metric.better == "higher" else -1)
