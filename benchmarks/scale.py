"""What Prefect, Dask and the store cost, and how many workers they can feed.

    python -m benchmarks.scale [--quick] [--json FILE] [--figures FILE]

First measures, on this machine: real dubs and preparations, stages and rows that do nothing, and
how many requests and messages each makes. Nothing else should run meanwhile; 10 min on 2
processors. Then simulates batches of 100,000 clips of 10 s on 10, 100 and 1,000 workers like the
one that was measured. `--quick` dubs 20 s instead of 60 s, and simulates 20,000 clips.
"""

import argparse
import math
import multiprocessing
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from pydantic import TypeAdapter

from flows.runtime.environment import give_memory_back, quiet_and_private

quiet_and_private()
give_memory_back()

from benchmarks.scale_figures import (  # noqa: E402  (the environment comes first)
    CLIP_SECONDS,
    GETS_PER_SECOND,
    PUTS_PER_SECOND,
    SHEET_PROCESSORS,
    WORKERS_SIMULATED,
    Batch,
    Measured,
    clip_of,
    enough,
    measure,
    overhead,
)
from benchmarks.scale_model import (  # noqa: E402
    COMMAND,
    GETS,
    PUTS,
    SCHEDULER,
    SERVER,
    SHEETS,
    simulate,
)
from tasks.engine.run import usable_processors  # noqa: E402

CLIPS = 100_000
SPREAD = 0.5
"""Real clips differ: they take half as long up to half as long again."""

MOST_OVERHEAD = 0.05


def table(head: str, rows: list[list[str]]) -> None:
    """Markdown; all columns but the first are numbers."""
    columns = head.split("|")
    print(f"\n| {' | '.join(columns)} |\n|---|{'---:|' * (len(columns) - 1)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def print_costs(found: Measured) -> None:
    """What each part costs for a range and a row."""
    store, dask = found.store, found.dask.cost
    plain, row, sheet = found.prefect.plain, found.prefect.prefect, found.short_sheet

    def line(name: str, *seconds: float) -> list[str]:
        cells = [_ms(each) for each in seconds]
        return [name, *cells, *[""] * (5 - len(cells))]

    spent = [dask.processor[name] for name in ("command", "scheduler", "workers")]
    table(
        "[ms]|wall|command|scheduler|workers|server",
        [
            line("stage with one range: store", store.stage, store.processor["command"]),
            line("the same on Dask", dask.stage, *spent),
            line("each further range: store", store.further),
            line("the same on Dask", dask.further),
            line("row", plain.wall, plain.command),
            [*line("the same as a Prefect task run", row.wall, row.command)[:-1], _ms(row.server)],
            line(f"drawing the contact sheet of {CLIP_SECONDS} s", *sheet),
        ],
    )


def print_share(found: Measured) -> None:
    """The sum for the long clip."""
    parts, wall = overhead(found), found.long.wall
    whole = sum(parts.values())
    sheet = found.long_sheet[0]

    def line(name: str, seconds: float) -> list[str]:
        return [name, f"{seconds:.2f}", f"{seconds / wall:.2%}"]

    table(
        f"dub of {found.seconds} s: {len(found.long.stages)} stages, {found.long.ranges} ranges, "
        f"{wall:.1f} s|seconds|share",
        [
            *(line(name, seconds) for name, seconds in parts.items()),
            line("sum", whole),
            line("besides: drawing a contact sheet for the run's page", sheet),
            line("part of the dub: writing its arrays", found.long.writing),
        ],
    )
    verdict = "at most" if whole / wall <= MOST_OVERHEAD else "MORE THAN"
    print(f"\nPrefect, Dask and the store take {verdict} {MOST_OVERHEAD:.0%} of the wall time.")


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
    print(
        f"\nScheduler: {dask.tasks_per_second:.0f} empty tasks/s with 2 workers here, "
        f"{dask.messages_per_second:.0f} messages/s with a processor; {dask.messages:.1f} messages "
        f"and {dask.tasks:.2f} tasks for each range. Server: {prefect.requests_per_second:.0f} "
        f"requests/s with a processor; a batch asks {prefect.batch:.0f} times besides its rows."
    )


def print_growth(found: Measured, clips: int) -> None:
    """What is left out of the simulation, because it would hide all else."""
    growth, artifacts = found.growth, len(found.dub.stages)
    whole = growth.seconds(artifacts) * clips**2 / 2
    print(
        f"\nEach row writes the catalog {growth.catalogs:.1f} times "
        f"({1000 * growth.per_artifact:.2f} ms for each artifact of the store) and the report "
        f"{growth.reports:.1f} times ({1e6 * growth.per_row:.0f} µs for each row): with "
        f"{clips:,} rows in one store {whole / 3600:,.1f} hours of one processor, which are left "
        "out above."
    )


def print_simulation(found: Measured, clips: int) -> None:
    """Batches of so many clips."""
    batches = [
        Batch(workload, workers, *parts)
        for workload in ("dub", "prepare")
        for workers in WORKERS_SIMULATED
        for parts in sorted({(1, 1), enough(found, workload, workers)})
    ]
    with ProcessPoolExecutor(usable_processors(), multiprocessing.get_context("spawn")) as pool:
        running = [
            pool.submit(
                simulate,
                each.clip(found),
                clips=clips,
                workers=each.workers,
                commands=each.commands,
                spread=SPREAD,
            )
            for each in batches
        ]
        rows = [each.row(found, one.result()) for each, one in zip(batches, running, strict=True)]
    table(
        f"{clips:,} clips of {CLIP_SECONDS} s|workers|commands|prefixes|hours|workers busy|"
        "scheduler messages/s|server requests/s|store GET/s|store PUT/s|fullest besides",
        rows,
    )


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f}"


def _and(first: float, second: float) -> str:
    return f"{first:.0f}, {second:.0f}"


def _count(workers: float) -> str:
    return "never" if math.isinf(workers) else f"{workers:,.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="20 s and 20,000 clips")
    parser.add_argument("--json", type=Path, help="write all figures to this file as well")
    parser.add_argument("--figures", type=Path, help="take figures from such a file instead")
    arguments = parser.parse_args()
    if os.environ.get("PREFECT_API_URL"):
        raise SystemExit("PREFECT_API_URL is set: this starts a server of its own")
    figures = TypeAdapter(Measured)
    if arguments.figures:
        found = figures.validate_json(arguments.figures.read_text())
    else:
        with tempfile.TemporaryDirectory(prefix="dubflow-bench-") as name:
            found = measure(Path(name), seconds=20 if arguments.quick else 60)
    assert found.dask.tasks <= 1, "more than one scheduler task for a range"
    if arguments.json:
        arguments.json.write_bytes(figures.dump_json(found, indent=1))
    print_costs(found)
    print_share(found)
    print_limits(found)
    clips = CLIPS // 5 if arguments.quick else CLIPS
    print_simulation(found, clips)
    print_growth(found, clips)


if __name__ == "__main__":
    main()
