"""One training from start to end: settings, data, the loop in all its processes, weights, card."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch

from flows.preparation.settings import PrepareSettings
from flows.prepare import prepare
from flows.presets import checked
from flows.recipes import find_recipe, recipe_settings
from flows.training.job import Job
from flows.training.settings import TrainSettings
from stores.artifacts.store import Store
from stores.errors import InputError
from stores.places import check_new_folder
from tasks.engine.run import Progress
from tasks.inference.device import choose_device
from tasks.training.board import Board
from tasks.training.card import write_card, write_weights
from tasks.training.loop import Training, judged_networks
from tasks.training.ranks import Rank, launched_by_torchrun, run_ranks
from tasks.training.recipe import Data, NoTrainingObserver, TrainingObserver
from tasks.training.run_folder import RunFolder
from tasks.training.settings import TrainerSettings

INDEX = "index.parquet"
"""Name of the index of a folder that was prepared for a run."""
TOLD = ("dataset", "splits", "person", "basis", "faces", "coefficients", "held_out", "action_units")
"""What weights files say of the data, as far as it is known."""


def train(
    settings: TrainSettings,
    *,
    watch: Callable[[], TrainingObserver] = NoTrainingObserver,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda note: None,
) -> dict[str, Any]:
    """Train a recipe, or go on with a training; gives the card, in the leading process.

    Args:
        settings: What, on what, and where to.
        watch: Makes who looks on; can be pickled if several processes train.
        progress: Who shows the preparation of a folder of clips.
        say: Is told what is to be known of the data before the training begins.

    Raises:
        InputError: settings or data can't be used; found before long work.
        TrainingError: the folder holds another run, or the loss is no number any more.
        KeyboardInterrupt: after a checkpoint, if the end was asked for; `settings.export` then
            gives weights so far.
    """
    trainer, own = recipe_settings(
        settings.recipe, settings.preset, trainer=settings.trainer, settings=settings.settings
    )
    number, processes = launched_by_torchrun() or (0, trainer.processes)
    trainer = checked(TrainerSettings, trainer.model_dump() | {"processes": processes})
    folder = RunFolder(settings.output)
    if number:  # the leading process, which prepares and writes, is waited for within
        index = settings.output / INDEX if settings.data.is_dir() else settings.data
        job = Job(settings.recipe, own, trainer, index, settings.store, folder.path, watch)
        run_ranks(partial(train_rank, job), processes=processes, device=trainer.device)
        return {}
    check_new_folder(settings.output)
    alone = nullcontext() if settings.export else folder.alone()
    with alone, Store(settings.store).in_use():
        index, notes = prepared_index(settings, progress)
        job = Job(settings.recipe, own, trainer, index, settings.store, folder.path, watch)
        data = open_data(job)
        for note in (*notes, data.facts.get("note")):
            if note is not None:
                say(note)
        given = {
            "recipe": settings.recipe,
            "trainer": trainer.model_dump(mode="json"),
            "settings": own.model_dump(mode="json"),
            "data": data.key,
        }
        if settings.export:
            folder.check(given)
        else:
            folder.claim(given, restart=settings.restart)
            run_ranks(partial(train_rank, job), processes=trainer.processes, device=trainer.device)
            _raise_if_stopped(folder, trainer)
        return write_results(job, given, data, licence=settings.licence)


def prepared_index(
    settings: TrainSettings, progress: Progress | None = None
) -> tuple[Path, list[str]]:
    """The index to train on, and what is to be known of it; a folder of clips is prepared first.

    Raises:
        InputError: the recipe does not learn from clips.
    """
    if not settings.data.is_dir():
        return settings.data, []
    if not find_recipe(settings.recipe).clips:
        raise InputError(
            f"{settings.data} is a folder of clips, which {settings.recipe} does not learn from"
        )
    index = settings.output / INDEX
    given = {
        "dataset": "folder",
        "data": settings.data,
        "output": index,
        "store": settings.store,
        "person": settings.person,
    }
    report = prepare(PrepareSettings.model_validate(given), progress=progress)
    return index, report.notes


def open_data(job: Job) -> Data:
    """What a job is trained and judged on."""
    return find_recipe(job.recipe).open(job)


def train_rank(job: Job, rank: Rank) -> None:
    """What one process does."""
    folder = RunFolder(job.folder)
    done = (folder.checkpoints.steps() or [0])[-1]
    if done >= job.trainer.steps:
        return
    recipe = find_recipe(job.recipe).make(job.settings, job.store)
    board = Board(folder.tensorboard, done=done) if rank.leads else None
    try:
        Training(
            recipe,
            open_data(job),
            job.trainer,
            checkpoints=folder.checkpoints,
            rank=rank,
            watch=job.watch() if rank.leads else NoTrainingObserver(),
            board=board,
        ).run()
    finally:
        if board is not None:
            board.close()


def write_results(
    job: Job, given: dict[str, Any], data: Data, *, licence: str | None
) -> dict[str, Any]:
    """Write weights and card of what a run has learned; gives the card."""
    folder = RunFolder(job.folder)
    recipe = find_recipe(job.recipe).make(job.settings, job.store)
    state = folder.checkpoints.read_state(folder.checkpoints.steps()[-1])
    told = licence or data.facts.get("licence") or "as the training data's"
    with torch.no_grad():
        exports = recipe.export(judged_networks(recipe, folder.checkpoints, state))
    weights = write_weights(
        folder,
        exports,
        precision=job.trainer.weights,
        licence=told,
        trained_on={key: data.facts[key] for key in TOLD if key in data.facts},
        recipe={**given, "step": state.best_step or state.step, "facts": recipe.facts()},
    )
    return write_card(
        folder,
        recipe=recipe,
        given=given,
        data=data.facts,
        state=state,
        device=choose_device(job.trainer.device),
        weights=weights,
        licence=told,
    )


def _raise_if_stopped(folder: RunFolder, trainer: TrainerSettings) -> None:
    """KeyboardInterrupt of a run that has not come to its end: its processes were asked to stop."""
    state = folder.checkpoints.read_state(folder.checkpoints.steps()[-1])
    impatient = trainer.patience is not None and state.waited >= trainer.patience
    if state.step < trainer.steps and not impatient:
        raise KeyboardInterrupt
