"""`dubflow train`: a network, trained on prepared data."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console

from flows.cli.errors import one_line_errors
from flows.cli.options import DeviceOption, JsonOption, PrefectOption, StoreOption


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="ip_lap.landmarks|ip_lap.renderer", help="What is trained, and how it learns."
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            metavar="INDEX.parquet|FOLDER",
            help="Index of a prepared data set, or a folder of clips, which is prepared first.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder of the run; what is there goes on."),
    ],
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="paper|small|FILE.yaml",
            help="Where settings start from; small trains on a CPU. [dim]Default: paper.[/]",
            rich_help_panel="Settings",
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Change any setting: of the trainer (steps=5000, batch_size=32, "
            "precision=bfloat16) or of the recipe (learning_rate=3e-4, size.width=256). "
            "Repeatable.",
            rich_help_panel="Settings",
        ),
    ] = None,
    person: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX",
            help="For a folder without a manifest: what its first group finds in a clip's name is "
            "the person; validation persons are never trained on.",
            rich_help_panel="Settings",
        ),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option(
            help="Of the weights, for their card. [dim]Default: that of the data.[/]",
            rich_help_panel="Settings",
        ),
    ] = None,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart",
            help="Forget what the folder's run has learned so far.",
            rich_help_panel="Running",
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print the settings and stop.", rich_help_panel="Settings"),
    ] = False,
    store: StoreOption = None,
    device: DeviceOption = None,
    processes: Annotated[
        int | None,
        typer.Option(help="Processes, one per GPU.", rich_help_panel="Running"),
    ] = None,
    prefect: PrefectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a network; writes weights, a card, checkpoints and TensorBoard curves.

    Interrupted or killed, the same command goes on from the last checkpoint.
    """

    given: dict[str, Any] = {
        "recipe": recipe,
        "data": data,
        "output": output,
        "store": store,
        "preset": preset,
        "person": person,
        "licence": licence,
        "restart": restart,
    }
    chosen = {"device": device, "processes": processes}
    with one_line_errors():
        settings = _settings(given, changes or [], {n: v for n, v in chosen.items() if v})
        if dry_run:
            _show(settings)
            return
        try:
            card = _train(settings, prefect=prefect)
        except KeyboardInterrupt:
            typer.echo(
                f"dubflow: stopped; {output} holds a checkpoint, the same command goes on from it",
                err=True,
            )
            raise typer.Exit(130) from None
        if as_json and card:
            typer.echo(json.dumps(card))
        if card:
            _summarise(card, output)


def _settings(given: dict[str, Any], changes: list[str], chosen: dict[str, Any]) -> Any:
    from pydantic import ValidationError

    from flows.settings import explain, nested
    from flows.training.settings import TrainSettings
    from tasks.training.settings import TrainerSettings

    trainer: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for name, value in nested(changes, example="steps=5000").items():
        (trainer if name in TrainerSettings.model_fields else own)[name] = value
    merged = {name: value for name, value in given.items() if value is not None}
    merged |= {"trainer": trainer | chosen, "settings": own}
    try:
        return TrainSettings.model_validate(merged)
    except ValidationError as error:
        raise explain(error) from None


def _show(settings: Any) -> None:
    from flows.recipes import recipe_settings

    trainer, own = recipe_settings(
        settings.recipe, settings.preset, trainer=settings.trainer, settings=settings.settings
    )
    shown = {"trainer": trainer.model_dump(mode="json"), "settings": own.model_dump(mode="json")}
    typer.echo(yaml.safe_dump(shown, sort_keys=False), nl=False)


def _train(settings: Any, *, prefect: bool | None) -> dict[str, Any]:
    from flows.runtime.progress import watched

    console = Console(stderr=True)
    under_prefect = bool(os.environ.get("PREFECT_API_URL")) if prefect is None else prefect
    if under_prefect:
        from flows.prefect_flows import train_flow

        return train_flow(settings)
    from flows.runtime.training_progress import OnTerminal
    from flows.train import train as run

    with watched(console) as bars:
        return run(settings, watch=OnTerminal(), progress=bars)


def _summarise(card: dict[str, Any], output: Path) -> None:
    console = Console(stderr=True)
    for name, file in card["weights"].items():
        console.print(f"[bold green]{output / name}", soft_wrap=True, highlight=False)
        console.print(f"  {file['bytes'] / 1e6:.1f} MB", highlight=False)
    told = "  ".join(f"{name} {value:.4g}" for name, value in card["figures"].items())
    console.print(f"  step {card['chosen_step']} of {card['steps']}: {told}", highlight=False)
    console.print(
        f"  {output / 'card.md'}; curves: tensorboard --logdir {output / 'tensorboard'}",
        soft_wrap=True,
        highlight=False,
    )
