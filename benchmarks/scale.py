"""What Prefect, Dask and the store cost, and how many workers they can feed.

    python -m benchmarks.scale [--quick]

First measures, on this machine: real dubs and preparations, stages and rows that do nothing, and
how many requests each makes of an object store. Nothing else should run meanwhile; 10 min on 2
processors. Then reckons batches of 100,000 clips of 10 s on 10, 100 and 1,000 workers like the one
that was measured: many clips are under way, so that the fullest part sets the pace. `--quick` dubs
20 s instead of 60 s.
"""

import math
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.command import command_parser, table
from flows.runtime.environment import quiet_and_private
from tasks.engine.memory import give_memory_back

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
    short, dask, row = found.short[workload], found.dask, found.prefect
    demand = {
        COMMAND: short["ranges"] * dask["command"],
        SCHEDULER: short["ranges"] * dask["scheduler"],
        GETS: short["gets"] / GETS_PER_SECOND,
        PUTS: short["puts"] / PUTS_PER_SECOND,
    }
    if workload == "dub":
        demand[COMMAND] += row["command"]
        demand |= {SERVER: row["server"], SHEETS: found.sheets[0]["command"] / SHEET_PROCESSORS}
    return Clip(short["worker"], demand)


def print_costs(found: "Measured") -> None:
    """What each part costs for a range and a row."""
    costs = {
        "stage with one range: store": found.store,
        "the same on Dask": found.dask,
        "each further range: store": {"wall": found.store["further"]},
        "each further range: Dask": {"wall": found.dask["further"]},
        "row": found.row,
        "the same as a Prefect task run": found.prefect,
        "drawing the contact sheet of a short clip": found.sheets[0],
    }
    whose = ("wall", "command", "scheduler", "workers", "server")
    table(
        ["[ms]", *whose],
        (
            [name, *(f"{1000 * cost[one]:.1f}" if one in cost else "" for one in whose)]
            for name, cost in costs.items()
        ),
    )


def print_share(found: "Measured") -> None:
    """How much of the long clip's dub is none of its computation."""
    store, dask, long = found.store, found.dask, found.long

    def seconds(whose: Callable[[str], float]) -> float:
        further = long["ranges"] - long["stages"]
        return long["stages"] * whose("wall") + further * whose("further")

    parts = {
        "store": seconds(lambda of: store[of]),
        "Dask": seconds(lambda of: dask[of] - store[of]),
        "row": found.row["wall"],
        "Prefect": found.prefect["wall"] - found.row["wall"],
    }
    whole = sum(parts.values())
    parts["sum"] = whole
    parts["besides: drawing a contact sheet for the run's page"] = found.sheets[1]["wall"]
    of = "dub of {} s: {stages:.0f} stages, {ranges:.0f} ranges, {wall:.1f} s"
    table(
        [of.format(found.seconds, **long), "seconds", "share"],
        ([name, f"{s:.2f}", f"{s / long['wall']:.2%}"] for name, s in parts.items()),
    )
    verdict = "at most" if whole / long["wall"] <= MOST_OVERHEAD else "MORE THAN"
    print(f"\nPrefect, Dask and the store take {verdict} {MOST_OVERHEAD:.0%} of the wall time.")


def print_limits(found: "Measured") -> None:
    """Per clip, and where each part is full."""
    row, short = found.prefect, [found.short[name] for name in WORKLOADS]
    asked = {
        "ranges = scheduler tasks": [f"{clip['ranges']:.0f}" for clip in short],
        "worker seconds": [f"{clip['worker']:.1f}" for clip in short],
        "Prefect runs": [f"{row['runs']:.0f}", "0"],
        "object store GET": [str(clip["gets"]) for clip in short],
        "object store PUT, DELETE": [str(clip["puts"]) for clip in short],
    }
    table(["for a short clip", *WORKLOADS], ([name, *cells] for name, cells in asked.items()))
    names = {
        COMMAND: "one command, one processor",
        SHEETS: f"contact sheets, {SHEET_PROCESSORS} processors",
        SCHEDULER: f"scheduler, {1 / found.dask['scheduler']:.0f} ranges/s",
        SERVER: f"server, {1 / row['server']:.0f} rows/s",
        GETS: f"one S3 prefix, {GETS_PER_SECOND} GET/s",
        PUTS: f"one S3 prefix, {PUTS_PER_SECOND} PUT/s",
    }
    full = {part: [clip_of(found, name).full_at(part) for name in WORKLOADS] for part in names}
    table(
        ["full at so many workers", *WORKLOADS],
        (
            [name, *("never" if math.isinf(n) else f"{n:,.0f}" for n in full[part])]
            for part, name in names.items()
        ),
    )


def print_batches(found: "Measured") -> None:
    """Batches of CLIPS clips."""
    columns = ("workers", "commands", "prefixes", "hours", "workers busy", "fullest besides")
    rows = []
    for workload, workers in product(WORKLOADS, WORKERS):
        whole = clip_of(found, workload)
        for commands, prefixes in sorted({(1, 1), whole.enough(workers)}):
            clip = whole.shared(commands, prefixes)
            rate = clip.rate(workers)
            fullest = max(clip.demand, key=lambda part: clip.demand[part])
            busy = f"{rate * clip.worker_seconds / workers:.0%}"
            told = f"{fullest} {rate * clip.demand[fullest]:.0%}"
            hours = f"{CLIPS / rate / 3600:.1f}"
            rows.append([workload, f"{workers:,}", commands, prefixes, hours, busy, told])
    table([f"{CLIPS:,} clips", *columns], rows)


def main() -> None:
    arguments = command_parser(__doc__)
    arguments.add_argument("--quick", action="store_true", help="dub 20 s")
    quick = arguments.parse_args().quick
    if os.environ.get("PREFECT_API_URL"):
        raise SystemExit("PREFECT_API_URL is set: this starts a server of its own")
    quiet_and_private()
    give_memory_back()
    from benchmarks.scale_measures import measure  # loads what reads the environment

    with tempfile.TemporaryDirectory(prefix="dubflow-bench-") as name:
        found = measure(Path(name), seconds=20 if quick else 60)
    for show in (print_costs, print_share, print_limits, print_batches):
        show(found)


if __name__ == "__main__":
    main()
