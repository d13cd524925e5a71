"""`dubflow train`: a network, trained on prepared data."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import yaml
from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape

from flows.cli import options
from flows.cli.console import new_console
from flows.cli.errors import when_stopped
from flows.cli.options import Option
from flows.presets import checked, merge, nested
from flows.training.card import Card
from flows.training.settings import TrainSettings
from tasks.training.settings import TrainerSettings

_OF_TRAINER = TrainerSettings.model_fields


@options.offers(
    TrainSettings,
    {
        "recipe": options.ARGUMENT,
        "data": Option("--data", metavar="INDEX.parquet|FOLDER|ARTIFACT"),
        "output": options.OUTPUT,
        "preset": Option("--preset", options.SETTINGS, default="paper"),
        "person": Option("--person", options.SETTINGS, "REGEX"),
        "licence": Option("--licence", options.SETTINGS),
        "restart": Option("--restart", options.RUNNING),
        "export": Option("--export", options.RUNNING),
        "store": options.STORE,
        "trainer.device": Option("--device", options.RUNNING, field=_OF_TRAINER["device"]),
        "trainer.processes": Option("--processes", options.RUNNING, field=_OF_TRAINER["processes"]),
    },
)
def train(
    given: dict[str, Any],
    *,
    changes: Annotated[
        options.ChangesOption,
        Parameter(
            help="Change any setting: of the trainer (steps=5000, batch_size=32, "
            "precision=bfloat16) or of the recipe (learning_rate=3e-4, size.width=256). "
            "Repeatable.",
        ),
    ] = None,
    dry_run: options.DryRunOption = False,
    prefect: options.PrefectOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Train a network; writes weights, a card, checkpoints and TensorBoard curves.

    Interrupted or killed, the same command goes on from the last checkpoint; with --export it
    writes the weights that there are so far.
    """
    settings = checked(TrainSettings, merge(_sorted(changes or []), given))
    if dry_run:
        _show(settings)
        return
    with when_stopped(
        f"{settings.output} holds a checkpoint, the same command goes on from it, and with "
        "--export it writes the weights so far"
    ):
        card = _train(settings, prefect=prefect)
    if as_json and card:
        sys.stdout.write(json.dumps(card) + "\n")
    if card:
        _summarise(Card.model_validate(card), settings.output)


def _sorted(changes: list[str]) -> dict[str, Any]:
    """NAME=VALUE texts, or named as --dry-run does → settings of trainer and recipe."""
    sorted_: dict[str, Any] = {"trainer": {}, "settings": {}}
    for name, value in nested(changes, example="steps=5000").items():
        part = "trainer" if name in _OF_TRAINER else "settings"
        sorted_ = merge(sorted_, {name: value} if name in sorted_ else {part: {name: value}})
    return sorted_


def _show(settings: TrainSettings) -> None:
    from flows.recipes import recipe_settings

    trainer, own = recipe_settings(
        settings.recipe, settings.preset, trainer=settings.trainer, settings=settings.settings
    )
    shown = {"trainer": trainer.model_dump(mode="json"), "settings": own.model_dump(mode="json")}
    yaml.safe_dump(shown, sys.stdout, sort_keys=False)


def _train(settings: TrainSettings, *, prefect: bool | None) -> dict[str, Any]:
    """Gives the card; nothing in a process that another one leads."""
    from flows.runtime.progress import Bars, watched

    console = new_console()
    if options.under_prefect(prefect):
        options.announce_server(console)
        from flows.prefect_flows import train_flow

        return train_flow(settings)
    from flows.runtime.training_progress import OnTerminal
    from flows.train import train as run

    with watched(Bars(console)) as bars:
        return run(
            settings, watch=OnTerminal(), progress=bars, say=lambda note: _say(note, console)
        )


def _say(note: str, console: Console) -> None:
    console.print(f"[yellow]note[/]: {escape(note)}")


def _summarise(card: Card, output: Path) -> None:
    console = new_console()
    for name, file in card.weights.items():
        console.print(f"[bold green]{output / name}")
        console.print(f"  {file.bytes / 1e6:.1f} MB")
    told = "  ".join(f"{name} {value:.4g}" for name, value in card.figures.items())
    console.print(f"  step {card.chosen_step} of {card.steps}: {told}")
    console.print(f"  {output / 'card.md'}; curves: tensorboard --logdir {output / 'tensorboard'}")
