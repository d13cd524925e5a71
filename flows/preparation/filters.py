"""Thresholds on stored scores: cheap, so that they can be moved as often as one likes."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from flows.preparation.settings import Filters

LAG_IS_SURE = 0.5
"""Lags less likely to be right than this drop nothing."""


class FilterCount(BaseModel):
    """What one filter did.

    Attributes:
        name: Of the filter.
        threshold: As set; None for those that have none.
        drops: Rows that do not pass it.
        alone: Rows that would be kept without it.
        left: Rows that pass it and all filters before it.
    """

    name: str
    threshold: float | None
    drops: int
    alone: int
    left: int


def apply_filters(rows: Sequence[dict[str, Any]], filters: Filters) -> list[FilterCount]:
    """Set `kept` and `dropped_by` of each row; count what each filter drops."""
    barred = sorted({row["barred"] for row in rows if row.get("barred")})
    for row in rows:
        row["dropped_by"] = _failed(row, filters)
        row["kept"] = not row["dropped_by"]
    thresholds = {name: value for name, value in filters if value is not None}
    counts = []
    left = list(rows)
    for name in [*barred, *thresholds]:
        left = [row for row in left if name not in row["dropped_by"]]
        counts.append(
            FilterCount(
                name=name,
                threshold=thresholds.get(name),
                drops=sum(name in row["dropped_by"] for row in rows),
                alone=sum(row["dropped_by"] == [name] for row in rows),
                left=len(left),
            )
        )
    return counts


def _failed(row: dict[str, Any], filters: Filters) -> list[str]:
    """Names of the filters that a row does not pass."""
    if row.get("barred"):
        return [row["barred"]]
    failed = []
    for name, threshold in filters:
        value = _value(row, name)
        if threshold is None or value is None:
            continue
        if value > threshold if name.startswith("max_") else value < threshold:
            failed.append(name)
    return failed


def _value(row: dict[str, Any], name: str) -> float | None:
    """The score that a filter looks at: `min_face_px` at `face_px`."""
    value: float | None = row[name.partition("_")[2]]
    if value is None or name != "max_lag_seconds":
        return value
    return abs(value) if (row["lag_confidence"] or 0.0) >= LAG_IS_SURE else None
