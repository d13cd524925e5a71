"""All that `benchmarks.scale` measures, and the clips that the model makes of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.scale_model import (
    COMMAND,
    GETS,
    PUTS,
    SCHEDULER,
    SERVER,
    SHEETS,
    WORKERS,
    Clip,
    Outcome,
)
from benchmarks.scale_record import (
    DaskCost,
    Growth,
    RangeCost,
    Recorded,
    Requests,
    dask_cost,
    look_cost,
    object_requests,
    range_cost,
    recorded_dub,
    recorded_growth,
    recorded_preparation,
)
from benchmarks.scale_rows import PrefectCost, prefect_cost, sheet_cost
from benchmarks.sources import speech, talking_video
from stores.artifacts.store import Store
from tasks.engine.run import usable_processors

CLIP_SECONDS = 10
WORKERS_SIMULATED = (10, 100, 1000)

GETS_PER_SECOND, PUTS_PER_SECOND = 5500, 3500
"""What AWS promises for each prefix of an S3 bucket. One for the whole store is what a new bucket
has; keys are hashes below the name of their kind, so that S3 can split a store into many."""

SHEET_PROCESSORS = 8
"""Of the machine of each command: threads that decode do not hold Python's lock."""

POLLS_PER_SECOND = 2.0
"""How often a command that waits for a range looks at the workers."""

LOOKS_PER_RANGE = 3

BUSY = 0.6
"""Commands and prefixes are added until none is busier."""


@dataclass(frozen=True)
class Measured:
    """All figures.

    Attributes:
        seconds: Of the long clip.
        long: Its dub, with all processors.
        dub: Of a short clip, with one.
        preparation: Of a short clip, with one.
        store: Stages that do nothing, in this process.
        dask: The same on a cluster.
        prefect: Rows that do nothing.
        short_sheet: Seconds of wall, and of processors, that a contact sheet takes.
        long_sheet: The same of the long clip.
        growth: What grows with the rows that are done.
        requests: "dub", "prepare" → of an object store.
        looks: Workers → seconds that a look at them takes.
    """

    seconds: int
    long: Recorded
    dub: Recorded
    preparation: Recorded
    store: RangeCost
    dask: DaskCost
    prefect: PrefectCost
    short_sheet: tuple[float, float]
    long_sheet: tuple[float, float]
    growth: Growth
    requests: Mapping[str, Requests]
    looks: Mapping[int, float]


def measure(folder: Path, *, seconds: int) -> Measured:
    """Everything, one after the other."""
    long = talking_video(folder / "long.mp4", seconds=seconds, width=1280, height=720)
    short = talking_video(folder / "short.mp4", seconds=CLIP_SECONDS, width=1280, height=720)
    sounds = {n: speech(folder / f"{n}.wav", seconds=n) for n in (seconds, CLIP_SECONDS)}
    # First, because it also loads libraries and networks.
    growth = recorded_growth(short, sounds[CLIP_SECONDS], folder / "growth")
    return Measured(
        seconds=seconds,
        long=recorded_dub(long, sounds[seconds], folder / "long", workers=usable_processors()),
        dub=recorded_dub(short, sounds[CLIP_SECONDS], folder / "short", workers=1),
        preparation=recorded_preparation(short, folder / "preparation"),
        store=range_cost(Store(folder / "toys"), None, None, stages=60),
        dask=dask_cost(Store(folder / "toys-dask"), stages=60, tasks=3000),
        short_sheet=sheet_cost(short),
        long_sheet=sheet_cost(long),
        growth=growth,
        requests=object_requests(short, sounds[CLIP_SECONDS], folder / "objects"),
        looks={workers: look_cost(workers) for workers in WORKERS_SIMULATED},
        prefect=prefect_cost(short, sounds[CLIP_SECONDS], folder / "rows", rows=10),
    )


# ---- what it is for one clip


def overhead(found: Measured) -> dict[str, float]:
    """Seconds of wall of the long clip's dub that are none of its computation."""
    stages = len(found.long.stages)
    further = found.long.ranges - stages
    store, dask = found.store, found.dask.cost
    return {
        "store": stages * store.stage + further * store.further,
        "Dask": stages * (dask.stage - store.stage) + further * (dask.further - store.further),
        "row": found.prefect.plain.wall,
        "Prefect": found.prefect.prefect.wall - found.prefect.plain.wall,
    }


def clip_of(
    found: Measured,
    workload: str,
    *,
    workers: int,
    commands: int = 1,
    prefixes: int = 1,
) -> Clip:
    """What the model needs to know.

    Args:
        found: Figures.
        workload: "dub" or "prepare".
        workers: At which a command looks.
        commands: Each on a machine of its own.
        prefixes: Into which the object store has split what it holds.
    """
    dubbing = workload == "dub"
    recorded = found.dub if dubbing else found.preparation
    stages = tuple((ranges, seconds / ranges) for _, ranges, seconds in recorded.stages)
    requests = found.requests[workload]
    # A range waits for another one before it, and is looked after all the time.
    waiting = 2 * sum(ranges * seconds for ranges, seconds in stages) / recorded.ranges
    looks = (LOOKS_PER_RANGE + POLLS_PER_SECOND * waiting) * found.looks[workers]
    per_range = {
        COMMAND: found.dask.cost.processor["command"] + looks,
        SCHEDULER: found.dask.cost.processor["scheduler"],
        GETS: requests.gets / recorded.ranges / GETS_PER_SECOND / prefixes,
        PUTS: requests.puts / recorded.ranges / PUTS_PER_SECOND / prefixes,
    }
    per_clip = {}
    if dubbing:
        # Each command draws those of its own rows.
        sheets = found.short_sheet[1] / SHEET_PROCESSORS / commands
        row = found.prefect.prefect
        per_clip = {COMMAND: row.command, SERVER: row.server, SHEETS: sheets}
    return Clip(stages, per_range, per_clip)


def enough(found: Measured, workload: str, workers: int) -> tuple[int, int]:
    """So many commands, and so many prefixes of an object store, that none holds workers up."""
    clip = clip_of(found, workload, workers=workers)

    def needed(*parts: str) -> int:
        share = workers / clip.worker_seconds * max(map(clip.demand, parts))
        return max(1, math.ceil(share / BUSY))

    return needed(COMMAND, SHEETS), needed(GETS, PUTS)


@dataclass(frozen=True)
class Batch:
    """One that is simulated.

    Attributes:
        workload: "dub" or "prepare".
        workers: Of the cluster.
        commands: Among which clips are shared out.
        prefixes: Of the object store.
    """

    workload: str
    workers: int
    commands: int
    prefixes: int

    def clip(self, found: Measured) -> Clip:
        """Each of its clips."""
        return clip_of(
            found,
            self.workload,
            workers=self.workers,
            commands=self.commands,
            prefixes=self.prefixes,
        )

    def row(self, found: Measured, outcome: Outcome) -> list[str]:
        """Of the table."""
        from distributed.scheduler import heartbeat_interval

        rate, requests = outcome.rate, found.requests[self.workload]
        messages = rate * self.clip(found).ranges * found.dask.messages
        beats = self.workers / heartbeat_interval(self.workers)
        asked = rate * found.prefect.prefect.requests if self.workload == "dub" else 0.0
        others = {part: share for part, share in outcome.busy.items() if part != WORKERS}
        fullest = max(others, key=lambda part: others[part])
        return [
            self.workload,
            f"{self.workers:,}",
            str(self.commands),
            str(self.prefixes),
            f"{outcome.seconds / 3600:.1f}",
            f"{outcome.busy[WORKERS]:.0%}",
            f"{messages + beats:.0f}",
            f"{asked:.1f}",
            f"{rate * requests.gets:.0f}",
            f"{rate * requests.puts:.0f}",
            f"{fullest} {others[fullest]:.0%}",
        ]
