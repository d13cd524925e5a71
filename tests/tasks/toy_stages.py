"""Small stages that the tests of the stage decorator call."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from stores.artifact import Artifact
from stores.schema import ArraySpec, Schema
from stores.source import Source
from tasks.stage import Blocks, Made, Plan, Shard, stage

ROWS_PER_SHARD = 16


class ToySettings(BaseModel):
    factor: float = 2.0


NUMBERS = Schema(
    "numbers",
    {
        "value": ArraySpec(("frame", "axis"), "float32", "px", chunk=4, shard=ROWS_PER_SHARD),
        "bytes": ArraySpec(("frame",), "uint8", ragged=True, chunk=4, shard=ROWS_PER_SHARD),
    },
    {"axis": 3},
)


def plan_numbers(rows: int, settings: ToySettings) -> Plan:
    return Plan(rows, attributes={"rows": rows})


@stage(NUMBERS, version=1, plan=plan_numbers)
def numbers(rows: int, settings: ToySettings, *, shards: Sequence[Shard]) -> Blocks:
    """Row numbers times a factor. Each computed shard leaves a line in TOY_LOG."""
    for shard in shards:
        time.sleep(float(os.environ.get("TOY_SECONDS", "0")))
        rows_here = np.arange(shard.start, shard.stop, dtype=np.float32)
        if log := os.environ.get("TOY_LOG"):
            with Path(log).open("a") as file:
                file.write(f"{shard.index}\n")
        yield {
            "value": np.repeat(rows_here[:, None], 3, axis=1) * np.float32(settings.factor),
            "bytes": np.full(shard.index + 1, shard.index, np.uint8),
        }


TOTAL = Schema("total", {"sum": ArraySpec(("one",), "float64")}, {})


@stage(TOTAL, version=1)
def total(numbers: Artifact, extra: Artifact | None = None) -> Made:
    """Sum of all values."""
    return Made({"sum": np.array([numbers.read("value").sum()], np.float64)}, {"note": "exact"})


@stage(Schema("copied", {}, {}), version=1)
def copied(source: Source, *, folder: Path) -> Made:
    """The source file again, as a plain file of the artifact."""
    (folder / "copy.bin").write_bytes(source.path.read_bytes())
    return Made()
