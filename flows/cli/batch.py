"""`dubflow batch`: the rows of a manifest, dubbed overnight."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from flows.cli.errors import one_line_errors
from flows.cli.options import ClusterOption, JsonOption, PrefectOption, StoreOption


def batch(
    manifest: Annotated[
        Path,
        typer.Argument(
            help="CSV, Parquet, JSON lines or YAML with columns video, audio, output, and any "
            "setting of a dub (method, face, sync.mode, …)."
        ),
    ],
    store: StoreOption = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Parquet file. [dim]Default: MANIFEST.report.parquet beside it.[/]"),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A setting of all rows that do not set it themselves. Repeatable.",
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also rows that an earlier batch has done.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Check the manifest and every file, and stop.")
    ] = False,
    rows: Annotated[
        int | None, typer.Option(help="Rows side by side.", rich_help_panel="Running")
    ] = None,
    cluster: ClusterOption = None,
    prefect: PrefectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Dub every row of MANIFEST.

    A row that fails stops no other. Given again, the command does what is missing or failed. Ends
    with status 0 if no row failed, 2 if some did.
    """

    given: dict[str, Any] = {
        "manifest": manifest,
        "store": store,
        "report": report,
        "again": again,
        "rows": rows,
        "cluster": cluster,
    }
    console = Console(stderr=True)
    with one_line_errors():
        from flows.batch import BatchSettings
        from flows.settings import nested

        given["defaults"] = nested(changes or [], example="sync.mode=cut_off")
        settings = BatchSettings.model_validate({n: v for n, v in given.items() if v is not None})
        if check:
            _check(settings, console)
            return
        done = _run(settings, console, under_prefect=prefect)
    if as_json:
        typer.echo(json.dumps(done))
    _summarise(done, console)
    if any(row["state"] == "failed" for row in done["rows"]):
        raise typer.Exit(2)


def _check(settings: Any, console: Console) -> None:
    from flows.batch import check_rows

    problems = check_rows(settings)
    for row, problem in problems:
        console.print(f"[red]row {row.name}[/]: {problem}", highlight=False)
    if problems:
        raise typer.Exit(2)
    console.print("[green]every row can be dubbed")


def _run(settings: Any, console: Console, *, under_prefect: bool | None) -> dict[str, Any]:
    import os

    from flows.batches.progress import batch_watched

    if under_prefect is None:
        under_prefect = bool(os.environ.get("PREFECT_API_URL"))
    if under_prefect:
        from flows.prefect_flows import batch_flow

        if not os.environ.get("PREFECT_API_URL"):
            console.print("[dim]starting Prefect's server (10 to 20 s; --direct does without) …")
        with batch_watched(console):
            found: dict[str, Any] = batch_flow(settings)
            return found
    from flows.batch import as_json, batch
    from flows.runtime.clusters import open_cluster

    with open_cluster(settings.cluster) as workers, batch_watched(console) as bars:
        return as_json(batch(settings, watch=bars, cluster=workers))


def _summarise(done: dict[str, Any], console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    for name, justify in (("row", "right"), ("output", "left"), ("state", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for name in ("frames", "new mouths", "seconds", "computed"):
        table.add_column(name, justify="right")
    for row in done["rows"]:
        colour = {"failed": "red", "filtered": "yellow"}.get(row["state"], "green")
        table.add_row(
            str(row["number"]),
            Path(row["output"]).name,
            f"[{colour}]{row['state']}",
            str(row["frames"]),
            str(row["valid_frames"]),
            f"{row['seconds']:.1f}",
            str(row["computed"]),
        )
    console.print(table)
    for row in done["rows"]:
        if row["reason"]:
            console.print(f"row {row['number']}: {row['state']}: {row['reason']}", highlight=False)
    states = [row["state"] for row in done["rows"]]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    video = sum(row["video_seconds"] for row in done["rows"] if row["seconds"])
    console.print(f"{counts}; {done['seconds']:.1f} s for {video:.1f} s of video", highlight=False)
    console.print(f"report: {done['report']}", soft_wrap=True, highlight=False)


def demo_batch(
    folder: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for results, store and report.")
    ] = Path("dubflow-demo-batch"),
    clips: Annotated[
        Path | None,
        typer.Option(
            help="Videos to dub. [dim]Default: DUBFLOW_CLIPS, else the built-in example.[/]"
        ),
    ] = None,
) -> None:
    """Show a batch as it is run for good: a server, a worker, a scheduled run, two processes."""
    import os

    console = Console(stderr=True)
    with one_line_errors():
        from flows.batches.demo import demo_batch as run

        if clips is None and (named := os.environ.get("DUBFLOW_CLIPS")):
            clips = Path(named)
        done = run(folder, clips=clips, say=lambda line: console.print(line, highlight=False))
        rows = [{**row.__dict__, "state": row.state.value} for row in done.rows]
        seconds = sum(row.seconds for row in done.rows)
        report = str(folder / "manifest.report.parquet")
        _summarise({"rows": rows, "seconds": seconds, "report": report}, console)
        if done.state != "COMPLETED" or any(row["state"] == "failed" for row in rows):
            raise typer.Exit(2)
