"""Results of an evaluation as Parquet tables, for other programs."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa

from flows.evaluation.item import Scored
from stores.dataset_index import write_table
from viewer.report.data import PooledScore

SCORES = pa.schema(
    [
        pa.field("protocol", pa.string()),
        pa.field("system", pa.string()),
        pa.field("item", pa.string()),
        pa.field("metric", pa.string()),
        pa.field("value", pa.float64(), metadata={"doc": "null where it could not be measured"}),
        pa.field("reason", pa.string(), metadata={"doc": "why not"}),
        pa.field("artifact", pa.string(), metadata={"doc": "kind/key: values of every frame"}),
    ]
)

POOLED = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("protocol", "system", "metric")),
        pa.field("value", pa.float64()),
        pa.field("items", pa.int64()),
        pa.field("reason", pa.string()),
    ]
)

ITEMS = pa.schema(
    [
        pa.field(name, pa.string())
        for name in ("protocol", "system", "item", "video", "speech", "result", "failure")
    ]
)


def write_scores(path: Path, rows: Iterable[Scored], family_of: dict[str, str]) -> None:
    """One row per system, item and metric.

    Args:
        family_of: Metric → family, whose artifact holds its values over time.
    """
    write_table(
        path,
        SCORES,
        [
            {
                "protocol": scored.protocol,
                "system": scored.system,
                "item": scored.item,
                "metric": metric,
                "value": value,
                "reason": scored.reasons.get(metric, ""),
                "artifact": "/".join(scored.artifacts[family_of[metric]]),
            }
            for scored in rows
            for metric, value in scored.values.items()
        ],
    )


def write_pooled(path: Path, rows: Sequence[tuple[str, PooledScore]]) -> None:
    """One row per protocol, system and metric of a whole set."""
    write_table(
        path, POOLED, [{"protocol": protocol, **score.__dict__} for protocol, score in rows]
    )


def write_items(path: Path, rows: Sequence[dict[str, str]]) -> None:
    """One row per system and item: what it was made of, and how it ended."""
    write_table(path, ITEMS, rows)
