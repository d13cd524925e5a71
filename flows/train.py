"""One training from start to end: settings, data, the loop in all its processes, weights, card."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from flows.preparation.settings import PrepareSettings
from flows.prepare import prepare
from flows.presets import checked
from flows.recipes import find_recipe, recipe_settings
from flows.training.job import Job
from flows.training.settings import TrainSettings
from models.audio.mel import SAMPLE_RATE
from stores.artifacts.store import Store
from stores.dataset_index import ClipPart, index_facts, read_parts
from stores.errors import InputError, SettingsError
from stores.media.facts import VideoFacts
from tasks.engine.run import Progress
from tasks.inference.device import choose_device
from tasks.training.board import Board
from tasks.training.card import write_card, write_weights
from tasks.training.checkpoint import State
from tasks.training.dataset import BlockDataset, WindowLoader, WindowSettings
from tasks.training.loop import Training, judged_networks
from tasks.training.ranks import Rank, launched_by_torchrun, run_ranks
from tasks.training.recipe import Data, NoTrainingObserver, Sample, TrainingObserver
from tasks.training.run_folder import RunFolder
from tasks.training.settings import TrainerSettings

HEARD_SECONDS = 30.0
"""Of a validation clip on TensorBoard."""
INDEX = "index.parquet"
"""Name of the index of a folder that was prepared for a run."""
TRAINED_ON, JUDGED_ON = "train", "validation"
TOLD = ("dataset", "splits", "person", "basis", "faces")
"""What weights files say of the data, as far as it is known."""

UNJUDGED = (
    "no person of the index is for validation: nothing tells when the network stops learning, and "
    "the weights of the last step are taken, good or bad; prepare more persons, or give some of "
    "them the split validation in manifest.csv"
)


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
        KeyboardInterrupt: after a checkpoint, if the end was asked for.
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
    with folder.alone(), Store(settings.store).in_use():
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
        folder.claim(given, restart=settings.restart)
        run_ranks(partial(train_rank, job), processes=trainer.processes, device=trainer.device)
        return finish(job, given, data, licence=settings.licence)


def prepared_index(
    settings: TrainSettings, progress: Progress | None = None
) -> tuple[Path, list[str]]:
    """The index to train on, and what is to be known of it; a folder of clips is prepared first."""
    if not settings.data.is_dir() or not find_recipe(settings.recipe).clips:
        return settings.data, []
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
    """Loaders of a data set's training and validation split."""
    spec = find_recipe(job.recipe)
    if spec.open is not None:
        return spec.open(job)
    assert spec.windows is not None and spec.judged_windows is not None
    windows, judged = spec.windows(job.settings), spec.judged_windows(job.settings)
    trainer = job.trainer
    facts = index_facts(job.index)
    training = read_parts(job.index, splits=[TRAINED_ON])
    validation = _validation_segments(job.index)
    try:
        blocks = [BlockDataset(training, job.store, windows)]
        if validation:
            blocks.append(BlockDataset(validation, job.store, judged))
    except ValueError as error:
        raise InputError(f"{job.index}: {error}; train on longer clips") from None

    def training_loader(rank: int, world: int) -> WindowLoader:
        try:
            return _loader(job, windows, training, rank=rank, world=world)
        except ValueError as error:
            raise SettingsError(f"{job.index}: {error}") from None

    def validation_loader() -> Iterable[Sample]:
        return WindowLoader(
            validation, job.store, judged, batch_size=trainer.part_size, shuffle=False
        )

    told = {
        "index": job.index.name,
        "dataset": facts["dataset"]["title"],
        "licence": facts["dataset"].get("licence"),
        "splits": {
            TRAINED_ON: _counted(training),
            JUDGED_ON: _counted(validation) if validation else None,
        },
        "filters": facts["filters"],
        **({} if validation else {"note": UNJUDGED}),
        "key": (key := "-".join(block.fingerprint() for block in blocks)),
    }
    return Data(
        training_loader,
        validation_loader if validation else None,
        told,
        key,
        lambda: {"speech of the first validation clip": _speech(job.store, validation[0])},
    )


def _loader(
    job: Job, windows: WindowSettings, segments: Sequence[ClipPart], *, rank: int, world: int
) -> WindowLoader:
    return WindowLoader(
        segments,
        job.store,
        windows,
        batch_size=job.trainer.part_size,
        seed=job.trainer.seed,
        mixed_blocks=job.trainer.mixed_blocks,
        workers=job.trainer.workers,
        rank=rank,
        world=world,
    )


def _speech(url: str, segment: ClipPart) -> tuple[NDArray[np.float32], int]:
    """What is heard in a part, at most HEARD_SECONDS of it."""
    store = Store(url)
    timeline = store.get("timeline", segment.keys["timeline"])
    facts = VideoFacts.from_dict(timeline.attributes["video"])
    start = float(timeline.read("pts", segment.start, segment.start + 1)[0] * facts.time_base)
    waveform = store.get("waveform", segment.keys["waveform"])
    first = max(round(start * SAMPLE_RATE), 0)
    last = first + round(min(segment.seconds, HEARD_SECONDS) * SAMPLE_RATE)
    total = waveform.sizes["sample"]
    return waveform.read("sample", min(first, total), min(last, total)), SAMPLE_RATE


def _validation_segments(index: Path) -> list[ClipPart]:
    try:
        return read_parts(index, splits=[JUDGED_ON])
    except InputError:
        return []


def _counted(segments: Sequence[ClipPart]) -> dict[str, float]:
    persons = Counter(segment.person for segment in segments)
    return {
        "persons": len(persons),
        "parts": len(segments),
        "seconds": round(sum(segment.seconds for segment in segments), 1),
    }


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


def finish(job: Job, given: dict[str, Any], data: Data, *, licence: str | None) -> dict[str, Any]:
    """Write weights and card of a run that has come to its end; gives the card.

    Raises:
        KeyboardInterrupt: it has not; its processes were asked to stop.
    """
    folder = RunFolder(job.folder)
    recipe = find_recipe(job.recipe).make(job.settings, job.store)
    state = folder.checkpoints.read_state(folder.checkpoints.steps()[-1])
    if not _ended(state, job.trainer):
        raise KeyboardInterrupt
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


def _ended(state: State, trainer: TrainerSettings) -> bool:
    impatient = trainer.patience is not None and state.waited >= trainer.patience
    return state.step >= trainer.steps or impatient
