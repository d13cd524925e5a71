"""`dubflow batch`: the rows of a manifest, dubbed overnight."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.batches.settings import BatchSettings
from flows.cli import options
from flows.cli.console import new_console
from flows.cli.options import Option
from flows.cli.outcome import show_notes, show_notes_of
from flows.presets import checked, nested

if TYPE_CHECKING:
    from flows.batch import BatchReport


@options.offers(
    BatchSettings,
    {
        "manifest": options.ARGUMENT,
        "report": Option("--report", default="MANIFEST.report.parquet beside it"),
        "again": Option("--again"),
        "overwrite": Option("--overwrite"),
        "rows": Option("--rows", options.RUNNING),
        "store": options.STORE,
        "cluster": options.CLUSTER,
    },
)
def batch(
    given: dict[str, Any],
    *,
    changes: Annotated[
        options.ChangesOption,
        Parameter(
            group=options.OPTIONS, help="A setting of all rows that don't set it. Repeatable."
        ),
    ] = None,
    check: Annotated[bool, Parameter(help="Check the manifest and every file, and stop.")] = False,
    prefect: options.PrefectOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Dub every row of MANIFEST.

    A row that fails stops no other. Given again, the command does what is missing or failed. Ends
    with status 0 if no row failed, 2 if some did.
    """
    defaults = nested(changes or [], example="sync.mode=cut_off")
    settings = checked(BatchSettings, {"defaults": defaults} | given)
    console = new_console()
    if check:
        _check(settings, console)
        return
    from flows.batch import as_json as report_as_json
    from flows.batches.report import State

    done = _run(settings, console, prefect=prefect)
    if as_json:
        sys.stdout.write(json.dumps(report_as_json(done)) + "\n")
    summarise(done, console)
    if done.count(State.FAILED):
        sys.exit(2)


def _check(settings: BatchSettings, console: Console) -> None:
    from flows.batch import check_rows

    problems = check_rows(settings)
    for problem in problems:
        console.print(f"[red]problem[/]: {escape(problem)}")
    if problems:
        sys.exit(2)
    console.print("[green]every row can be dubbed")


def _run(settings: BatchSettings, console: Console, *, prefect: bool | None) -> "BatchReport":
    from flows.batches.progress import BatchBars
    from flows.runtime.progress import watched

    if options.under_prefect(prefect):
        options.announce_server(console)
        from flows.batch import from_json
        from flows.prefect_flows import batch_flow

        with watched(BatchBars(console)):
            return from_json(batch_flow(settings))
    from flows.batch import batch
    from flows.runtime.clusters import open_cluster

    with open_cluster(settings.cluster) as workers, watched(BatchBars(console)) as bars:
        return batch(settings, watch=bars, cluster=workers)


def summarise(done: "BatchReport", console: Console) -> None:
    """How each row ended, and the batch."""
    table = Table(box=None, pad_edge=False)
    for name, justify in (("row", "right"), ("output", "left"), ("state", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for name in ("frames", "new mouths", "seconds", "computed"):
        table.add_column(name, justify="right")
    for row in done.rows:
        colour = {"failed": "red", "filtered": "yellow"}.get(row.state, "green")
        table.add_row(
            str(row.number),
            Path(row.output).name,
            f"[{colour}]{row.state}",
            str(row.frames),
            str(row.valid_frames),
            f"{row.seconds:.1f}",
            str(row.computed),
        )
    console.print(table)
    for row in done.rows:
        if row.reason:
            console.print(f"row {row.number}: {row.state}: {escape(row.reason)}")
    show_notes_of({str(row.number): row.notes for row in done.rows}, "row", console)
    states = [row.state for row in done.rows]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    video = sum(row.video_seconds for row in done.rows if row.seconds)
    console.print(f"{counts}; {done.seconds:.1f} s for {video:.1f} s of video")
    console.print(f"report: {done.path}")
    show_notes(done.notes, console)
    if any(row.run for row in done.rows):
        console.print("look at a row: dubflow inspect OUTPUT [dim](or `run` of the report)")
