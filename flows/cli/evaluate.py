"""`dubflow evaluate`: methods and other systems, measured under one protocol."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.cli.errors import one_line_errors
from flows.cli.options import DeviceOption


def evaluate(
    protocols: Annotated[
        list[str],
        typer.Argument(
            metavar="PROTOCOL...",
            help="Names, or YAML files: folder_paired (every clip with its own speech), "
            "folder_unpaired, ip_lap_reconstruction, ip_lap_dubbing, wav2lip_lrs2, wav2lip_lrs3, "
            "wav2lip_lrw, video_retalking_hdtf, video_retalking_lrs2, meta_talk, stylegan2_lrw, "
            "stylegan2_crema_d.",
        ),
    ],
    data: Annotated[Path, typer.Option("--data", help="Folder with the protocol's clips.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for report, tables and videos.")
    ],
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            help="A method, or `source`: the videos as they are. Repeatable. "
            "[dim]Default: exemplar.[/]",
            rich_help_panel="What is evaluated",
        ),
    ] = None,
    external: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FOLDER",
            help="Videos that another system made, named like the items: FOLDER/ITEM.mp4, or "
            "FOLDER/PROTOCOL/ITEM.mp4. Repeatable.",
            rich_help_panel="What is evaluated",
        ),
    ] = None,
    families: Annotated[
        list[str] | None,
        typer.Option(
            "--metrics",
            metavar="FAMILY",
            help="Only these families of metrics. Repeatable. [dim]Default: all.[/]",
            rich_help_panel="What is evaluated",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(help="Only the first so many items.", rich_help_panel="What is evaluated"),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="METHOD.NAME=VALUE",
            help="Change a setting of a method: wav2lip.paste=hard. Repeatable.",
            rich_help_panel="What is evaluated",
        ),
    ] = None,
    list_items: Annotated[
        bool,
        typer.Option(
            "--list",
            help="Print the items with their videos and speech, and stop: what another system "
            "has to make.",
            rich_help_panel="What is evaluated",
        ),
    ] = False,
    store: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Where artifacts are kept.", rich_help_panel="Running"),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="local[:N]|tcp://HOST:PORT|FILE.yaml|none",
            help="Who computes. [dim]Default: local, a process per processor.[/]",
            rich_help_panel="Running",
        ),
    ] = None,
    device: DeviceOption = None,
) -> None:
    """Measure methods and other systems: a report, tables and the videos in a folder.

    What was dubbed or measured before comes from the store. Metrics whose weights or packages are
    missing are listed with the way to get them.
    """

    given: dict[str, Any] = {
        "protocols": protocols,
        "data": data,
        "output": output,
        "methods": methods if methods is not None else ([] if external else None),
        "external": dict(_pair(text, "--external", "NAME=FOLDER") for text in external or []),
        "families": families,
        "limit": limit,
        "store": store,
        "devices": {"device": device} if device else None,
        "cluster": cluster,
    }
    with one_line_errors():
        from pydantic import ValidationError

        from flows.evaluation.settings import EvaluateSettings
        from flows.settings import explain

        given["method_settings"] = _of_methods(changes or [])
        try:
            settings = EvaluateSettings.model_validate(
                {name: value for name, value in given.items() if value is not None}
            )
        except ValidationError as error:
            raise explain(error) from None
        if list_items:
            _list(settings)
        else:
            _evaluate(settings, Console(stderr=True))


def _pair(text: str, option: str, form: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not (separator and name and value):
        raise typer.BadParameter(f"{option} {text}: expected {form}")
    return name, value


def _of_methods(changes: list[str]) -> dict[str, dict[str, Any]]:
    """METHOD.NAME=VALUE texts → method → its settings.

    Raises:
        SettingsError: a text is not of that form.
    """
    from flows.settings import nested
    from stores.errors import SettingsError

    example = "wav2lip.paste=hard"
    settings = nested(changes, example=example)
    for method, given in settings.items():
        if not isinstance(given, dict):
            raise SettingsError(f"--set {method}=…: expected METHOD.NAME=VALUE, as in {example}")
    return settings


def _list(settings: Any) -> None:
    from flows.evaluation.protocols import find_items, read_protocol

    typer.echo("protocol\titem\tvideo\tspeech")
    for name in settings.protocols:
        for item in find_items(read_protocol(name), settings.data)[: settings.limit]:
            typer.echo(f"{name}\t{item.name}\t{item.video}\t{item.speech}")


def _evaluate(settings: Any, console: Console) -> None:
    from flows.evaluate import evaluate as run
    from flows.runtime.clusters import open_cluster
    from flows.runtime.progress import watched

    spec = None if settings.cluster == "none" else settings.cluster
    with open_cluster(spec) as workers, watched(console) as bars:
        done = run(settings, progress=bars, cluster=workers)
    console.print(f"[bold green]{done.html}", soft_wrap=True, highlight=False)
    console.print(f"  {done.items} results scored", highlight=False)
    for how in dict.fromkeys(done.unavailable.values()):
        names = [name for name, why in done.unavailable.items() if why == how]
        console.print(f"  not available: {', '.join(names)}: {how}", highlight=False)
    for system, item, why in done.failures[:10]:
        console.print(f"  [red]failed[/]: {system}, {item}: {why}", highlight=False)
    if done.failures:
        console.print(f"  {len(done.failures)} failed in all; see the report", highlight=False)
        raise typer.Exit(2)
