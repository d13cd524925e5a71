"""Small stages that the tests of the stage decorator call."""

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.artifacts.source import Source
from stores.errors import MediaError
from tasks.engine.arguments import Bundle
from tasks.engine.run import current_devices
from tasks.engine.stage import Blocks, Made, Plan, Shard, stage

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
        time.sleep(_seconds())
        rows_here = np.arange(shard.start, shard.stop, dtype=np.float32)
        _leave_a_line(shard)
        yield {
            "value": np.repeat(rows_here[:, None], 3, axis=1) * np.float32(settings.factor),
            "bytes": np.full(shard.index + 1, shard.index, np.uint8),
        }


def _seconds() -> float:
    """How long a shard takes."""
    if file := os.environ.get("TOY_SECONDS_FILE"):
        return float(Path(file).read_text())
    return float(os.environ.get("TOY_SECONDS", "0"))


def _leave_a_line(shard: Shard) -> None:
    if log := os.environ.get("TOY_LOG"):
        process = f" {os.getpid()}" if os.environ.get("TOY_PROCESS") else ""
        with Path(log).open("a") as file:
            file.write(f"{shard.index}{process}\n")


TOTAL = Schema("total", {"sum": ArraySpec(("one",), "float64")}, {})


@stage(TOTAL, version=1)
def total(numbers: Artifact, extra: Artifact | None = None) -> Made:
    """Sum of all values."""
    return Made({"sum": np.array([numbers.read("value").sum()], np.float64)}, {"note": "exact"})


@dataclass(frozen=True)
class Pair(Bundle):
    """Two artifacts that travel together."""

    numbers: Artifact
    extra: Artifact


@stage(TOTAL, version=1)
def total_of_pair(pair: Pair, *, factor: float) -> Made:
    """Sum of all values of both, times a factor."""
    values = [each.read("value").sum() for each in (pair.numbers, pair.extra)]
    return Made({"sum": np.array([factor * sum(values)], np.float64)})


@stage(Schema("copied", {}, {}), version=1)
def copied(source: Source, *, folder: Path) -> Made:
    """The source file again, as a plain file of the artifact."""
    (folder / "copy.bin").write_bytes(source.path.read_bytes())
    return Made()


SIZES = Schema("first_bytes", {"byte": ArraySpec(("frame",), "uint8", shard=ROWS_PER_SHARD)}, {})


@stage(SIZES, version=1, plan=lambda source, rows: Plan(rows))
def first_bytes(source: Source, *, rows: int, shards: Sequence[Shard]) -> Blocks:
    """The first byte of the source file in each row, read anew for each shard."""
    for shard in shards:
        _leave_a_line(shard)
        byte = source.path.read_bytes()[0]
        yield {"byte": np.full(shard.stop - shard.start, byte, np.uint8)}


NETWORK = Schema("network", {"batch": ArraySpec(("frame",), "int32", shard=ROWS_PER_SHARD)}, {})


@stage(NETWORK, version=1, plan=lambda rows: Plan(rows), network=True)
def network(rows: int, *, shards: Sequence[Shard]) -> Blocks:
    """The batch size of the run's devices, in each row."""
    for shard in shards:
        _leave_a_line(shard)
        yield {"batch": np.full(shard.stop - shard.start, current_devices().batch, np.int32)}


@stage(Schema("failing", {}, {}), version=1)
def failing(how: str) -> Made:
    """Never ends well."""
    if how == "media":
        raise MediaError("frame 7 of talk.mp4 is damaged")
    raise ZeroDivisionError(how)


@stage(Schema("fatal", {}, {}), version=1)
def fatal(number: int) -> Made:
    """Kills its process."""
    os.kill(os.getpid(), signal.SIGKILL)
    return Made()
