"""What is trained, on what, and where to."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from stores.errors import SettingsError
from tasks.training.dataset import Blocks, WindowLoader
from tasks.training.recipe import Sample, TrainingObserver
from tasks.training.settings import TrainerSettings


@dataclass(frozen=True)
class Job:
    """What each process of a training is given; can be pickled.

    Attributes:
        recipe: Its name.
        settings: Of the recipe.
        trainer: How it is trained.
        index: Of the data.
        store: URL.
        folder: Of the run.
        watch: Makes who looks on, in the leading process.
    """

    recipe: str
    settings: BaseModel
    trainer: TrainerSettings
    index: Path
    store: str
    folder: Path
    watch: Callable[[], TrainingObserver]


def training_loader(job: Job, blocks: Blocks) -> Callable[[int, int], WindowLoader]:
    """Makes the loader of a process from its number and how many there are."""

    def loader(rank: int, world: int) -> WindowLoader:
        trainer = job.trainer
        try:
            return WindowLoader(
                blocks,
                batch_size=trainer.part_size,
                seed=trainer.seed,
                mixed_blocks=trainer.mixed_blocks,
                workers=trainer.workers,
                rank=rank,
                world=world,
            )
        except ValueError as error:
            raise SettingsError(f"{job.index}: {error}") from None

    return loader


def validation_loader(job: Job, blocks: Blocks) -> Callable[[], Iterable[Sample]]:
    """Makes a loader that gives all, in order."""
    return lambda: WindowLoader(blocks, batch_size=job.trainer.part_size, shuffle=False)
