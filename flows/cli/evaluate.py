"""`dubflow evaluate`: methods and other systems, measured under one protocol."""

import sys
from collections import Counter
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console

from flows.cli import options
from flows.cli.console import new_console
from flows.cli.options import Option
from flows.cli.outcome import show_failures, show_notes
from flows.evaluation.settings import EvaluateSettings
from flows.presets import checked, nested
from flows.quantities import counted
from stores.errors import SettingsError


@options.offers(
    EvaluateSettings,
    {
        "protocols": options.ARGUMENT,
        "data": Option("--data"),
        "output": options.OUTPUT,
        "methods": Option("--method", options.EVALUATED),
        "families": Option("--metrics", options.EVALUATED, default="all"),
        "limit": Option("--limit", options.EVALUATED),
        "store": options.STORE,
        "cluster": options.CLUSTER,
        "devices.device": options.DEVICE,
    },
)
def evaluate(
    given: dict[str, Any],
    *,
    external: Annotated[
        list[str] | None,
        Parameter(
            group=options.EVALUATED,
            metavar="NAME=FOLDER",
            help="Videos that another system made, named like the items: FOLDER/ITEM.mp4, or "
            "FOLDER/PROTOCOL/ITEM.mp4. Repeatable.",
        ),
    ] = None,
    variants: Annotated[
        list[str] | None,
        Parameter(
            name="--variant",
            group=options.EVALUATED,
            metavar="NAME=METHOD",
            help="The method again, with its settings and what --set NAME.… changes: an ablation. "
            "Repeatable.",
        ),
    ] = None,
    changes: Annotated[
        options.ChangesOption,
        Parameter(
            group=options.EVALUATED,
            metavar="METHOD.NAME=VALUE",
            help="Change a setting of a method or variant: wav2lip.paste=hard. Repeatable.",
        ),
    ] = None,
    list_items: Annotated[
        bool,
        Parameter(
            name="--list",
            group=options.EVALUATED,
            help="Print the items with their videos and speech, and stop: what another system "
            "has to make.",
        ),
    ] = False,
) -> None:
    """Measure methods and other systems: a report, tables and the videos in a folder.

    What was dubbed or measured before comes from the store. Metrics whose weights or packages are
    missing are listed with the way to get them.
    """
    if external:
        folders = options.named(external, what="FOLDER", example="--external theirs=results/theirs")
        given = {"methods": []} | given | {"external": folders}
    if variants:
        made = options.named(variants, what="METHOD", example="--variant hard=wav2lip")
        given = {"methods": []} | given | {"variants": made}
    settings = checked(EvaluateSettings, given | {"method_settings": _of_methods(changes or [])})
    if list_items:
        _list(settings)
    else:
        _evaluate(settings, new_console())


def _of_methods(changes: list[str]) -> dict[str, dict[str, Any]]:
    """METHOD.NAME=VALUE texts → method → its settings.

    Raises:
        SettingsError: a text is not of that form.
    """
    example = "wav2lip.paste=hard"
    settings = nested(changes, example=example)
    for method, given in settings.items():
        if not isinstance(given, dict):
            raise SettingsError(f"--set {method}=…: expected METHOD.NAME=VALUE, as in {example}")
    return settings


def _list(settings: EvaluateSettings) -> None:
    from flows.evaluation.protocols import find_items, read_protocol

    sys.stdout.write("protocol\titem\tvideo\tspeech\n")
    for name in settings.protocols:
        for item in find_items(read_protocol(name), settings.data)[: settings.limit]:
            sys.stdout.write(f"{name}\t{item.name}\t{item.video}\t{item.speech}\n")


def _evaluate(settings: EvaluateSettings, console: Console) -> None:
    from flows.evaluate import evaluate as run
    from flows.runtime.clusters import open_cluster
    from flows.runtime.progress import Bars, watched

    spec = None if settings.cluster == "none" else settings.cluster
    with open_cluster(spec) as workers, watched(Bars(console)) as bars:
        done = run(settings, progress=bars, cluster=workers)
    console.print(f"[bold green]{done.html}")
    console.print(f"  {counted(done.items, 'result')} scored")
    for how in dict.fromkeys(done.unavailable.values()):
        names = [name for name, why in done.unavailable.items() if why == how]
        console.print(f"  not available: {', '.join(names)}: {how}")
    for (system, why), count in Counter((system, why) for system, _, why in done.skipped).items():
        console.print(f"  {count} of {system} {why}")
    show_notes(done.notes, console)
    failures = [(f"{system}, {item}", why) for system, item, why in done.failures]
    show_failures(failures, "the report", console)
    if failures:
        sys.exit(2)
