"""What Prefect, Dask and the store cost, and how many workers they can feed.

    python -m benchmarks.scale [--quick]

First measures, on this machine: real dubs and preparations, stages and rows that do nothing, and
how many requests and messages each makes. Nothing else should run meanwhile; 10 min on 2
processors. Then reckons batches of 100,000 clips of 10 s on 10, 100 and 1,000 workers like the one
that was measured: many clips are under way, so that the fullest part sets the pace. `--quick` dubs
20 s instead of 60 s.
"""

import argparse
import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flows.runtime.environment import give_memory_back, quiet_and_private

if TYPE_CHECKING:
    from benchmarks.scale_measures import Measured

CLIPS = 100_000
WORKERS = (10, 100, 1000)
WORKLOADS = ("dub", "prepare")

COMMAND, SHEETS, SCHEDULER, SERVER = "command", "contact sheets", "scheduler", "server"
GETS, PUTS = "GET", "PUT"

GETS_PER_SECOND, PUTS_PER_SECOND = 5500, 3500
"""What AWS promises for each prefix of an S3 bucket. One for the whole store is what a new bucket
has; keys are hashes below the name of their kind, so that S3 can split a store into many."""
SHEET_PROCESSORS = 8
"""Of the machine of each command: threads that decode do not hold Python's lock."""
BUSY = 0.6
"""Commands and prefixes are added until none is busier."""
MOST_OVERHEAD = 0.05


@dataclass(frozen=True)
class Clip:
    """What one clip asks of everybody, each of which has one processor.

    Attributes:
        worker_seconds: Of all its ranges.
        demand: Part → its seconds for the clip; COMMAND and SHEETS for one command, GETS and PUTS
            for one prefix of the object store.
    """

    worker_seconds: float
    demand: Mapping[str, float]

    def full_at(self, part: str) -> float:
        """How many workers keep this part busy all the time; more are of no use."""
        demand = self.demand.get(part, 0.0)
        return self.worker_seconds / demand if demand else math.inf

    def shared(self, commands: int, prefixes: int) -> "Clip":
        """The same where clips are shared out among commands, and keys among prefixes."""
        ways = {COMMAND: commands, SHEETS: commands, GETS: prefixes, PUTS: prefixes}
        shared = {part: seconds / ways.get(part, 1) for part, seconds in self.demand.items()}
        return Clip(self.worker_seconds, shared)

    def enough(self, workers: int) -> tuple[int, int]:
        """So many commands, and so many prefixes, that none of them holds workers up."""

        def needed(*parts: str) -> int:
            share = max(workers / self.full_at(part) for part in parts)
            return max(1, math.ceil(share / BUSY))

        return needed(COMMAND, SHEETS), needed(GETS, PUTS)

    def rate(self, workers: int) -> float:
        """Clips a second, with many under way: as many as the fullest part takes."""
        return 1 / max(self.worker_seconds / workers, 0.0, *self.demand.values())


def clip_of(found: "Measured", workload: str) -> Clip:
    """What a clip asks for, as measured."""
    ranges, requests = found.short[workload].ranges, found.requests[workload]
    demand = {
        COMMAND: ranges * found.dask.processor["command"],
        SCHEDULER: ranges * found.dask.processor["scheduler"],
        GETS: requests.gets / GETS_PER_SECOND,
        PUTS: requests.puts / PUTS_PER_SECOND,
    }
    if workload == "dub":
        demand[COMMAND] += found.prefect_row.command
        demand[SERVER] = found.prefect_row.server
        demand[SHEETS] = found.sheets[0][1] / SHEET_PROCESSORS
    return Clip(found.short[workload].worker_seconds, demand)


def table(head: str, rows: list[list[str]]) -> None:
    """Markdown; all columns but the first are numbers."""
    columns = head.split("|")
    print(f"\n| {' | '.join(columns)} |\n|---|{'---:|' * (len(columns) - 1)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def print_costs(found: "Measured") -> None:
    """What each part costs for a range and a row."""
    store, dask, row = found.store, found.dask, found.prefect_row

    def line(name: str, *seconds: float | None) -> list[str]:
        cells = ["" if each is None else f"{1000 * each:.1f}" for each in seconds]
        return [name, *cells, *[""] * (5 - len(cells))]

    spent = [dask.processor[name] for name in ("command", "scheduler", "workers")]
    table(
        "[ms]|wall|command|scheduler|workers|server",
        [
            line("stage with one range: store", store.stage, store.processor["command"]),
            line("the same on Dask", dask.stage, *spent),
            line("each further range: store", store.further),
            line("the same on Dask", dask.further),
            line("row", found.row.wall, found.row.command),
            line("the same as a Prefect task run", row.wall, row.command, None, None, row.server),
            line("drawing the contact sheet of a short clip", *found.sheets[0]),
        ],
    )


def print_share(found: "Measured") -> None:
    """How much of the long clip's dub is none of its computation."""
    store, dask, long = found.store, found.dask, found.long
    further = long.ranges - long.stages
    parts = {
        "store": long.stages * store.stage + further * store.further,
        "Dask": long.stages * (dask.stage - store.stage) + further * (dask.further - store.further),
        "row": found.row.wall,
        "Prefect": found.prefect_row.wall - found.row.wall,
    }
    whole = sum(parts.values())
    parts["sum"] = whole
    parts["besides: drawing a contact sheet for the run's page"] = found.sheets[1][0]
    parts["part of the dub: writing its arrays"] = long.writing
    table(
        f"dub of {found.seconds} s: {long.stages} stages, {long.ranges} ranges, "
        f"{long.wall:.1f} s|seconds|share",
        [[name, f"{spent:.2f}", f"{spent / long.wall:.2%}"] for name, spent in parts.items()],
    )
    verdict = "at most" if whole / long.wall <= MOST_OVERHEAD else "MORE THAN"
    print(f"\nPrefect, Dask and the store take {verdict} {MOST_OVERHEAD:.0%} of the wall time.")


def print_limits(found: "Measured") -> None:
    """Per clip, and where each part is full."""
    clips = {name: clip_of(found, name) for name in WORKLOADS}
    short, asked, row = found.short, found.requests, found.prefect_row
    messages = {name: found.dask.messages * short[name].ranges for name in WORKLOADS}
    table(
        "for a short clip|dub|prepare",
        [
            ["ranges = scheduler tasks", *(str(short[name].ranges) for name in WORKLOADS)],
            ["worker seconds", *(f"{short[name].worker_seconds:.1f}" for name in WORKLOADS)],
            ["scheduler messages", *(f"{messages[name]:.0f}" for name in WORKLOADS)],
            ["Prefect runs", f"{row.runs:.0f}", "0"],
            ["Prefect requests, events", f"{row.requests:.0f}, {row.events:.0f}", "0"],
            ["object store GET", *(str(asked[name].gets) for name in WORKLOADS)],
            ["object store PUT, DELETE", *(str(asked[name].puts) for name in WORKLOADS)],
        ],
    )
    names = {
        COMMAND: "one command, one processor",
        SHEETS: f"contact sheets, {SHEET_PROCESSORS} processors",
        SCHEDULER: f"scheduler, {1 / found.dask.processor['scheduler']:.0f} ranges/s",
        SERVER: f"server, {1 / row.server:.0f} rows/s",
        GETS: f"one S3 prefix, {GETS_PER_SECOND} GET/s",
        PUTS: f"one S3 prefix, {PUTS_PER_SECOND} PUT/s",
    }
    full = {part: [clip.full_at(part) for clip in clips.values()] for part in names}
    table(
        "full at so many workers|dub|prepare",
        [
            [name, *("never" if math.isinf(n) else f"{n:,.0f}" for n in full[part])]
            for part, name in names.items()
        ],
    )


def print_batches(found: "Measured") -> None:
    """Batches of CLIPS clips."""
    table(
        f"{CLIPS:,} clips|workers|commands|prefixes|hours|workers busy|scheduler messages/s|"
        "server requests/s|store GET/s|store PUT/s|fullest besides",
        [
            batch_row(found, workload, workers, *parts)
            for workload in WORKLOADS
            for workers in WORKERS
            for parts in sorted({(1, 1), clip_of(found, workload).enough(workers)})
        ],
    )


def batch_row(
    found: "Measured", workload: str, workers: int, commands: int, prefixes: int
) -> list[str]:
    """One row of that table."""
    from distributed.scheduler import heartbeat_interval

    clip, requests = clip_of(found, workload).shared(commands, prefixes), found.requests[workload]
    rate = clip.rate(workers)
    messages = rate * found.short[workload].ranges * found.dask.messages
    beats = workers / heartbeat_interval(workers)
    asked = rate * found.prefect_row.requests if workload == "dub" else 0.0
    fullest = max(clip.demand, key=lambda part: clip.demand[part])
    return [
        workload,
        f"{workers:,}",
        str(commands),
        str(prefixes),
        f"{CLIPS / rate / 3600:.1f}",
        f"{rate * clip.worker_seconds / workers:.0%}",
        f"{messages + beats:.0f}",
        f"{asked:.1f}",
        f"{rate * requests.gets:.0f}",
        f"{rate * requests.puts:.0f}",
        f"{fullest} {rate * clip.demand[fullest]:.0%}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="dub 20 s")
    arguments = parser.parse_args()
    if os.environ.get("PREFECT_API_URL"):
        raise SystemExit("PREFECT_API_URL is set: this starts a server of its own")
    quiet_and_private()
    give_memory_back()
    from benchmarks.scale_measures import measure  # loads what reads the environment

    with tempfile.TemporaryDirectory(prefix="dubflow-bench-") as name:
        found = measure(Path(name), seconds=20 if arguments.quick else 60)
    print_costs(found)
    print_share(found)
    print_limits(found)
    print_batches(found)


if __name__ == "__main__":
    main()
