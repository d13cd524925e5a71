"""What Prefect, Dask and the store cost, and how many workers they can feed.

    python -m benchmarks.scale [--quick] [--json FILE]

First measures, on this machine: real dubs and preparations, stages and rows that do nothing, and
how many requests and messages each makes. Nothing else should run meanwhile; 10 min on 2
processors. Then simulates batches of 100,000 clips of 10 s on 10, 100 and 1,000 workers like the
one that was measured. `--quick` dubs 20 s instead of 60 s, and simulates 20,000 clips.
"""

import argparse
import dataclasses
import json
import math
import multiprocessing
import os
import tempfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from flows.environment import give_memory_back, quiet_and_private

quiet_and_private()
give_memory_back()

from benchmarks.scale_model import (  # noqa: E402  (the environment comes first)
    COMMAND,
    GETS,
    PUTS,
    SCHEDULER,
    SERVER,
    SHEETS,
    WORKERS,
    Clip,
    Outcome,
    simulate,
)
from benchmarks.scale_record import (  # noqa: E402
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
from benchmarks.scale_rows import PrefectCost, prefect_cost, sheet_cost  # noqa: E402
from benchmarks.sources import speech, talking_video  # noqa: E402
from stores.store import Store  # noqa: E402
from tasks.run import usable_processors  # noqa: E402

CLIPS, CLIP_SECONDS = 100_000, 10
WORKERS_SIMULATED = (10, 100, 1000)

GETS_PER_SECOND, PUTS_PER_SECOND = 5500, 3500
"""What AWS promises for each prefix of an S3 bucket. All kinds of artifacts counted as one prefix
is the worst case: keys are hashes, so that S3 can split a store into many."""

SHEET_PROCESSORS = 8
"""Of the machine of each command: threads that decode do not hold Python's lock."""

POLLS_PER_SECOND = 2.0
"""How often a command that waits for a range looks at the workers."""

LOOKS_PER_RANGE = 3

BUSY = 0.6
"""Commands are added until none is busier."""


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
        short_sheet: Seconds of a contact sheet.
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
    short_sheet: float
    long_sheet: float
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
        "Prefect": prefect_row(found),
        "contact sheet": found.long_sheet,
    }


def prefect_row(found: Measured) -> float:
    """Seconds of wall that the task run of a row takes, its contact sheet aside."""
    return max(0.0, found.prefect.prefect.wall - found.prefect.plain.wall - found.short_sheet)


def clip_of(
    found: Measured, workload: str, *, workers: int, commands: int = 1, growing: bool = True
) -> Clip:
    """What the model needs to know.

    Args:
        found: Figures.
        workload: "dub" or "prepare".
        workers: At which a command looks.
        commands: Each on a machine of its own.
        growing: Whether rows cost more, the more are done.
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
        GETS: requests.gets / recorded.ranges / GETS_PER_SECOND,
        PUTS: requests.puts / recorded.ranges / PUTS_PER_SECOND,
    }
    per_clip = {}
    if dubbing:
        # Each command shows its own rows.
        sheets = found.short_sheet / SHEET_PROCESSORS / commands
        row = max(found.prefect.plain.command, found.prefect.prefect.command - found.short_sheet)
        per_clip = {COMMAND: row, SERVER: found.prefect.prefect.server, SHEETS: sheets}
    growth = found.growth.seconds(len(stages)) if dubbing and growing else 0.0
    return Clip(stages, per_range, per_clip, growth)


def enough_commands(found: Measured, workload: str, workers: int) -> int:
    """So many that none holds the workers up."""
    clip = clip_of(found, workload, workers=workers)
    rate = workers / clip.worker_seconds
    return max(1, math.ceil(rate * max(clip.demand(COMMAND), clip.demand(SHEETS)) / BUSY))


# ---- tables


def table(head: str, rows: list[list[str]]) -> None:
    """Markdown; all columns but the first are numbers."""
    columns = head.split("|")
    print(f"\n| {' | '.join(columns)} |\n|---|{'---:|' * (len(columns) - 1)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def print_costs(found: Measured) -> None:
    """What each part costs for a range and a row, and the sum for the long clip."""
    store, dask, prefect = found.store, found.dask.cost, found.prefect

    def ms(*seconds: float | None) -> list[str]:
        return ["" if each is None else f"{1000 * each:.1f}" for each in seconds]

    mine = store.processor["command"]
    spent = (dask.processor[name] for name in ("command", "scheduler", "workers"))
    row = prefect.prefect
    plain = prefect.plain
    table(
        "[ms]|wall|command|scheduler|workers|server",
        [
            ["stage with one range: store", *ms(store.stage, mine, None, None, None)],
            ["the same on Dask", *ms(dask.stage, *spent, None)],
            ["each further range: store", *ms(store.further, None, None, None, None)],
            ["the same on Dask", *ms(dask.further, None, None, None, None)],
            ["row", *ms(plain.wall, plain.command, None, None, None)],
            [
                "the same as a Prefect task run",
                *ms(
                    prefect_row(found) + plain.wall,
                    max(0.0, row.command - found.short_sheet),
                    *(None, None),
                    row.server,
                ),
            ],
            [
                f"contact sheet of {CLIP_SECONDS} s",
                *ms(found.short_sheet, found.short_sheet, *(None,) * 3),
            ],
        ],
    )
    parts = overhead(found)
    wall = found.long.wall
    rows = [
        [name, f"{seconds:.2f}", f"{seconds / wall:.2%}"]
        for name, seconds in parts.items()
        if name != "contact sheet"
    ]
    whole = sum(parts.values())
    bare = whole - parts["contact sheet"]
    table(
        f"dub of {found.seconds} s: {len(found.long.stages)} stages, {found.long.ranges} ranges, "
        f"{wall:.1f} s|seconds|share",
        [
            *rows,
            ["sum", f"{bare:.2f}", f"{bare / wall:.2%}"],
            ["contact sheet", f"{parts['contact sheet']:.2f}", f"{whole / wall:.2%} with it"],
            [
                "writing its arrays (part of the dub)",
                f"{found.long.writing:.2f}",
                f"{found.long.writing / wall:.2%}",
            ],
        ],
    )
    verdict = "at most" if bare / wall <= 0.05 else "MORE THAN"
    print(f"\nPrefect, Dask and the store take {verdict} 5 % of the wall time.")


def print_limits(found: Measured) -> None:
    """Per clip, and where each part is full."""
    both = {name: clip_of(found, name, workers=10) for name in ("dub", "prepare")}
    asked = found.requests
    dask, prefect = found.dask, found.prefect
    rows = [
        ["ranges = scheduler tasks", *(str(clip.ranges) for clip in both.values())],
        ["worker seconds", *(f"{clip.worker_seconds:.1f}" for clip in both.values())],
        ["scheduler messages", *(f"{clip.ranges * dask.messages:.0f}" for clip in both.values())],
        ["Prefect runs", f"{prefect.prefect.runs:.0f}", "0"],
        ["Prefect requests, events", _and(prefect.prefect.requests, prefect.prefect.events), "0"],
        ["object store GET", *(str(asked[name].gets) for name in both)],
        ["object store PUT, DELETE", *(str(asked[name].puts) for name in both)],
    ]
    table(f"for a clip of {CLIP_SECONDS} s|dub|prepare", rows)
    of = {
        COMMAND: "one command, one processor",
        SHEETS: f"contact sheets, {SHEET_PROCESSORS} processors",
        SCHEDULER: f"scheduler, {1 / dask.cost.processor['scheduler']:.0f} ranges/s",
        SERVER: f"server, {1 / prefect.prefect.server:.0f} rows/s",
        GETS: f"one S3 prefix, {GETS_PER_SECOND} GET/s",
        PUTS: f"one S3 prefix, {PUTS_PER_SECOND} PUT/s",
    }
    rows = [
        [text, *(_count(clip.full_at(part)) for clip in both.values())] for part, text in of.items()
    ]
    table("full at so many workers|dub|prepare", rows)
    growth = found.growth
    print(
        f"\nScheduler: {dask.tasks_per_second:.0f} empty tasks/s with 2 workers here, "
        f"{dask.messages_per_second:.0f} messages/s with a processor; {dask.messages:.1f} messages "
        f"and {dask.tasks:.2f} tasks for each range. Server: {prefect.requests_per_second:.0f} "
        f"requests/s with a processor; a batch asks {prefect.batch:.0f} times besides its rows.\n"
        f"Each row writes the catalog {growth.catalogs:.1f} times "
        f"({1000 * growth.per_artifact:.2f} ms an artifact of the store) and the report "
        f"{growth.reports:.1f} times ({1e6 * growth.per_row:.0f} µs a row)."
    )


def print_simulation(found: Measured, clips: int) -> None:
    """Batches of so many clips."""
    grows = found.growth.seconds(len(found.dub.stages)) * clips > 0.001
    batches = [
        Batch(workload, growing, workers, commands)
        for workload, growing in [("dub", True)] * grows + [("dub", False), ("prepare", False)]
        for workers in WORKERS_SIMULATED
        for commands in sorted({1, enough_commands(found, workload, workers)})
    ]
    with ProcessPoolExecutor(usable_processors(), multiprocessing.get_context("spawn")) as pool:
        running = [
            pool.submit(
                simulate,
                each.clip(found),
                clips=clips,
                workers=each.workers,
                commands=each.commands,
            )
            for each in batches
        ]
        rows = [each.row(found, one.result()) for each, one in zip(batches, running, strict=True)]
    table(
        f"{clips:,} clips of {CLIP_SECONDS} s|workers|commands|hours|workers busy|"
        "scheduler messages/s|server requests/s|store GET/s|store PUT/s|fullest besides",
        rows,
    )


@dataclass(frozen=True)
class Batch:
    """One that is simulated.

    Attributes:
        workload: "dub" or "prepare".
        growing: Whether rows cost more, the more are done.
        workers: Of the cluster.
        commands: Among which clips are shared out.
    """

    workload: str
    growing: bool
    workers: int
    commands: int

    def clip(self, found: Measured) -> Clip:
        """Each of its clips."""
        return clip_of(
            found,
            self.workload,
            workers=self.workers,
            commands=self.commands,
            growing=self.growing,
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
            f"{self.workload}, catalog and report in each row" if self.growing else self.workload,
            f"{self.workers:,}",
            str(self.commands),
            f"{outcome.seconds / 3600:.1f}",
            f"{outcome.busy[WORKERS]:.0%}",
            f"{messages + beats:.0f}",
            f"{asked:.1f}",
            f"{rate * requests.gets:.0f}",
            f"{rate * requests.puts:.0f}",
            f"{fullest} {others[fullest]:.0%}",
        ]


def _and(first: float, second: float) -> str:
    return f"{first:.0f}, {second:.0f}"


def _count(workers: float) -> str:
    return "never" if math.isinf(workers) else f"{workers:,.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="20 s and 20,000 clips")
    parser.add_argument("--json", type=Path, help="write all figures to this file as well")
    arguments = parser.parse_args()
    if os.environ.get("PREFECT_API_URL"):
        raise SystemExit("PREFECT_API_URL is set: this starts a server of its own")
    with tempfile.TemporaryDirectory(prefix="dubflow-bench-") as name:
        found = measure(Path(name), seconds=20 if arguments.quick else 60)
    assert found.dask.tasks <= 1, "more than one scheduler task for a range"
    if arguments.json:
        arguments.json.write_text(json.dumps(dataclasses.asdict(found), indent=1))
    print_costs(found)
    print_limits(found)
    print_simulation(found, CLIPS // 5 if arguments.quick else CLIPS)


if __name__ == "__main__":
    main()
