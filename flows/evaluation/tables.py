"""Results of an evaluation as Parquet tables, for other programs."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from flows.evaluation.item import Scored
from flows.evaluation.protocols import Item
from stores.dataset_index import write_table
from tasks.metrics.family import Family
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


def write_scores(path: Path, rows: Iterable[Scored], families: Mapping[str, Family]) -> None:
    """One row per system, item and metric.

    Args:
        families: That were computed, by name; a family's artifact holds its metrics over time.
    """
    family_of = {metric.name: name for name in families for metric in families[name].metrics}
    write_table(
        path,
        SCORES,
        (
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
        ),
    )


def write_pooled(path: Path, rows: Sequence[tuple[str, PooledScore]]) -> None:
    """One row per protocol, system and metric of a whole set."""
    write_table(path, POOLED, ({"protocol": name, **score.__dict__} for name, score in rows))


def write_items(path: Path, rows: Iterable[Scored], items: Mapping[str, Sequence[Item]]) -> None:
    """One row per system and item: what it was made of, and how it ended.

    Args:
        items: Protocol → its items.
    """
    files = {(name, item.name): item for name, found in items.items() for item in found}
    made_of = ((one, files[one.protocol, one.item]) for one in rows)
    names = ("protocol", "system", "item", "result", "failure")
    write_table(
        path,
        ITEMS,
        (
            {name: getattr(one, name) for name in names}
            | {"video": str(item.video), "speech": str(item.speech)}
            for one, item in made_of
        ),
    )
