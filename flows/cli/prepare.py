"""`dubflow prepare`: a data set, made ready for training."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from flows.cli.errors import one_line_errors
from flows.cli.options import ClusterOption, DeviceOption, JsonOption, StoreOption


def prepare(
    dataset: Annotated[
        str,
        typer.Argument(
            help="lrs2, lrs3, lrw, voxceleb2, hdtf, crema_d, folder (any tree of videos, with or "
            "without a manifest.csv), or a YAML file that describes another."
        ),
    ],
    data: Annotated[Path, typer.Option("--data", help="Folder that holds it.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="INDEX.parquet", help="Index that training reads."),
    ],
    person: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX",
            help="What its first group finds in a clip's name is the person: '(p[0-9]+)_'.",
            rich_help_panel="What is prepared",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(help="Only the first so many clips.", rich_help_panel="What is prepared"),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A filter (min_seconds=2, max_turned_share=null), or any other setting "
            "(crops.max_size=384, tracks=2). Repeatable. Filters compute nothing anew.",
            rich_help_panel="What is prepared",
        ),
    ] = None,
    store: StoreOption = None,
    workers: Annotated[
        int | None, typer.Option(help="Clips at once.", rich_help_panel="Running")
    ] = None,
    cluster: ClusterOption = None,
    device: DeviceOption = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print the clips with person and split, and stop.",
            rich_help_panel="Running",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Prepare a data set: landmarks, face crops, mel and scores in the store, and an index of them.

    What was prepared before comes from the store. Exit code 2: some clips failed.
    """

    given: dict[str, Any] = {
        "dataset": dataset,
        "data": data,
        "output": output,
        "person": person,
        "limit": limit,
        "store": store,
        "workers": workers,
        "cluster": cluster,
        "devices": {"device": device} if device else None,
    }
    with one_line_errors():
        settings = _settings(given, changes or [])
        if dry_run:
            _list(settings)
        else:
            _prepare(settings, as_json=as_json)


def _settings(given: dict[str, Any], changes: list[str]) -> Any:
    from pydantic import ValidationError

    from flows.methods import merge
    from flows.preparation.settings import Filters, PrepareSettings
    from flows.settings import explain, nested

    merged: dict[str, Any] = {}
    for name, value in nested(changes, example="min_seconds=2").items():
        below = {name: value}
        merged = merge(merged, {"filters": below} if name in Filters.model_fields else below)
    merged = merge(merged, {name: value for name, value in given.items() if value is not None})
    try:
        return PrepareSettings.model_validate(merged)
    except ValidationError as error:
        raise explain(error) from None


def _list(settings: Any) -> None:
    from flows.datasets.description import read_description
    from flows.datasets.readers import find_clips
    from flows.datasets.splits import assign_splits

    description = read_description(settings.dataset, person=settings.person)
    clips = find_clips(description, settings.data)
    usable, _ = assign_splits(clips, description, seed=settings.seed)
    typer.echo("split\tperson\tclip")
    for clip, split in usable[: settings.limit]:
        typer.echo(f"{split}\t{clip.person}\t{clip.name}")


def _prepare(settings: Any, *, as_json: bool) -> None:
    from flows.prepare import prepare as run
    from flows.runtime.clusters import open_cluster
    from flows.runtime.progress import watched

    console = Console(stderr=True)
    with open_cluster(settings.cluster) as opened, watched(console) as bars:
        report = run(settings, progress=bars, cluster=opened)
    if as_json:
        typer.echo(report.model_dump_json())
    _summarise(report, console)
    if report.failures:
        raise typer.Exit(2)


def _summarise(report: Any, console: Console) -> None:
    console.print(f"[bold green]{report.index}", soft_wrap=True, highlight=False)
    pace = report.seconds / report.wall_seconds if report.wall_seconds else 0.0
    console.print(
        f"  {report.clips} clips, {report.seconds / 60:.1f} min; {report.kept} of {report.rows} "
        f"rows kept, {report.kept_seconds / 60:.1f} min; {pace:.2f} s of video a second",
        highlight=False,
    )
    table = Table("filter", "threshold", "drops", "alone", "left", box=None, pad_edge=False)
    for count in report.filters:
        threshold = "" if count.threshold is None else f"{count.threshold:g}"
        cells = (str(n) for n in (count.drops, count.alone, count.left))
        table.add_row(count.name, threshold, *cells)
    console.print(table)
    for split in report.splits:
        console.print(
            f"  {split.split}: {split.persons} persons, {split.rows} rows, "
            f"{split.seconds / 60:.1f} min",
            highlight=False,
        )
    if report.other_split:
        console.print(
            f"  {report.other_split} clips left out: their person is held out in another split",
            highlight=False,
        )
    computed = [f"{stage.name} {stage.computed}" for stage in report.stages if stage.computed]
    console.print(
        f"  computed: {', '.join(computed) or 'nothing, all came from the store'}", highlight=False
    )
    for failure in report.failures[:10]:
        console.print(f"  [red]failed[/]: {failure.clip}: {failure.reason}", highlight=False)
    if len(report.failures) > 10:
        console.print(
            f"  {len(report.failures)} failed in all; see {report.failures_file}", highlight=False
        )
