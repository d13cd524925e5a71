"""`dubflow prepare`: a data set, made ready for training."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from flows.cli import options
from flows.cli.console import new_console
from flows.cli.options import Option
from flows.cli.outcome import show_computed, show_failures, show_notes
from flows.preparation.settings import Filters, PrepareSettings
from flows.presets import checked, merge, nested
from flows.quantities import counted

if TYPE_CHECKING:
    from flows.preparation.report import PrepareReport


@options.offers(
    PrepareSettings,
    {
        "dataset": options.ARGUMENT,
        "data": Option("--data"),
        "output": Option("--output -o", metavar="INDEX.parquet"),
        "person": Option("--person", options.PREPARED, "REGEX"),
        "limit": Option("--limit", options.PREPARED),
        "store": options.STORE,
        "workers": options.WORKERS,
        "cluster": options.CLUSTER,
        "devices.device": options.DEVICE,
    },
)
def prepare(
    given: dict[str, Any],
    *,
    changes: Annotated[
        options.ChangesOption,
        Parameter(
            group=options.PREPARED,
            help="A filter (min_seconds=2, max_turned_share=null), or any other setting "
            "(crops.max_size=384, tracks=2). Repeatable. Filters compute nothing anew.",
        ),
    ] = None,
    dry_run: Annotated[
        options.DryRunOption,
        Parameter(
            group=options.RUNNING,
            help="Print the clips with split and person, between tabs, and stop.",
        ),
    ] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Prepare a data set: landmarks, face crops, mel and scores in the store, and an index of them.

    What was prepared before comes from the store. Exit code 2: some clips failed.
    """
    settings = checked(PrepareSettings, merge(_with_filters(changes or []), given))
    if dry_run:
        _list(settings)
    else:
        _prepare(settings, as_json=as_json)


def _with_filters(changes: list[str]) -> dict[str, Any]:
    """NAME=VALUE texts → settings; those of filters need not be called filters.NAME."""
    settings: dict[str, Any] = {}
    for name, value in nested(changes, example="min_seconds=2").items():
        below = {name: value}
        settings = merge(settings, {"filters": below} if name in Filters.model_fields else below)
    return settings


def _list(settings: PrepareSettings) -> None:
    from flows.datasets.description import read_description
    from flows.datasets.readers import find_clips
    from flows.datasets.splits import assign_splits
    from flows.preparation.report import split_notes

    description = read_description(settings.dataset, person=settings.person)
    clips = find_clips(description, settings.data)
    usable, _ = assign_splits(clips, description, seed=settings.seed)
    sys.stdout.write("split\tperson\tclip\n")
    shown = usable[: settings.limit]
    for clip, split in shown:
        sys.stdout.write(f"{split}\t{clip.person}\t{clip.name}\n")
    show_notes(split_notes(shown), new_console())


def _prepare(settings: PrepareSettings, *, as_json: bool) -> None:
    from flows.prepare import prepare as run
    from flows.runtime.clusters import open_cluster
    from flows.runtime.progress import Bars, watched

    console = new_console()
    with open_cluster(settings.cluster) as opened, watched(Bars(console)) as bars:
        report = run(settings, progress=bars, cluster=opened)
    if as_json:
        sys.stdout.write(report.model_dump_json() + "\n")
    _summarise(report, console)
    if report.failures:
        sys.exit(2)


def _summarise(report: "PrepareReport", console: Console) -> None:
    console.print(f"[bold green]{report.index}")
    pace = report.seconds / report.wall_seconds if report.wall_seconds else 0.0
    console.print(
        f"  {counted(report.clips, 'clip')}, {report.seconds / 60:.1f} min; "
        f"{report.kept} of {report.rows} rows kept, "
        f"{report.kept_seconds / 60:.1f} min; {pace:.2f} s of video a second"
    )
    table = Table("filter", "threshold", "drops", "alone", "left", box=None, pad_edge=False)
    for count in report.filters:
        threshold = "" if count.threshold is None else f"{count.threshold:g}"
        cells = (str(n) for n in (count.drops, count.alone, count.left))
        table.add_row(count.name, threshold, *cells)
    console.print(table)
    for split in report.splits:
        console.print(
            f"  {split.split}: {counted(split.persons, 'person')}, "
            f"{counted(split.rows, 'row')}, "
            f"{split.seconds / 60:.1f} min"
        )
    if report.other_split:
        console.print(
            f"  {report.other_split} clips left out: their person is held out in another split"
        )
    show_notes(report.notes, console)
    computed = [f"{stage.name} {stage.computed}" for stage in report.stages if stage.computed]
    show_computed(computed, console)
    failures = [(failure.clip, failure.reason) for failure in report.failures]
    show_failures(failures, report.failures_file, console)
