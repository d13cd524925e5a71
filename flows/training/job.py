"""What is trained, on what, and where to."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from tasks.training.recipe import TrainingObserver
from tasks.training.settings import TrainerSettings


@dataclass(frozen=True)
class Job:
    """What each process of a training is given; can be pickled.

    Attributes:
        recipe: Its name.
        settings: Of the recipe.
        trainer: How it is trained.
        index: Of the data; or `kind/key` of the artifact that the recipe learns from.
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
