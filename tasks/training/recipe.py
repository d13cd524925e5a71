"""What the trainer asks of a recipe: the networks, their losses, and how they are judged."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Sample = Mapping[str, Tensor]
"""A batch as the loader gives it."""
Batch = dict[str, Tensor]
"""A batch as the networks take it, on the device."""
Networks = Mapping[str, nn.Module]
"""By phase, and frozen ones by their names."""


Sounds = Mapping[str, tuple[NDArray[np.float32], int]]
"""By name: (sample,) float32 -1..1, and samples per second."""


@dataclass(frozen=True)
class BoardMedia:
    """For TensorBoard, by name.

    Attributes:
        pictures: (3, h, w) uint8 RGB.
        sounds: To be heard beside them.
    """

    pictures: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    sounds: Sounds = field(default_factory=dict)


@dataclass(frozen=True)
class Export:
    """One weights file.

    Attributes:
        network: Name in models/published.py.
        config: JSON of its size model.
        tensors: Its state.
    """

    network: str
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


class Recipe(Protocol):
    """One kind of training. Phases are network groups with an optimizer each.

    In a step the phases come in order: loss, gradient, optimizer. Only the networks of the phase
    learn; what a later phase needs of an earlier one (a generated picture) goes by `carried`.
    """

    @property
    def name(self) -> str:
        """As on the command line."""

    @property
    def phases(self) -> tuple[str, ...]:
        """Names of the groups."""

    @property
    def restarts(self) -> tuple[int, ...]:
        """Steps, counted from 0, before which all optimizers begin anew."""

    @property
    def judged_by(self) -> str:
        """Figure that tells the best checkpoint."""

    @property
    def lower_is_better(self) -> bool:
        """Of that figure."""

    def networks(self) -> dict[str, nn.Module]:
        """New networks by phase; torch is seeded before."""

    def frozen(self) -> dict[str, nn.Module]:
        """Networks that only judge, such as those of a perceptual loss."""

    def optimizer(self, phase: str, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Of a phase."""

    def schedule(self, step: int) -> float:
        """Factor on the learning rates of a step, counted from 0."""

    def batch(self, sample: Sample, device: torch.device, rng: np.random.Generator | None) -> Batch:
        """Inputs and targets. Runs in another thread: chance comes from `rng` alone.

        Args:
            rng: Of augmentation; None: no augmentation.
        """

    def loss(
        self, phase: str, networks: Networks, batch: Batch, step: int, carried: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of a phase, and its parts to be shown."""

    def figures(self, networks: Networks, batches: Iterator[Batch]) -> dict[str, float]:
        """What the validation measures; networks are in eval mode and without gradients."""

    def show(self, networks: Networks, batch: Batch) -> BoardMedia:
        """Pictures and sound of the first validation batch."""

    def export(self, networks: Networks) -> dict[str, Export]:
        """Weights files by name, without suffix."""

    def facts(self) -> dict[str, Any]:
        """What the card shall say beside the settings, such as the perceptual backbone."""


@runtime_checkable
class Gated(Protocol):
    """A recipe one of whose losses waits for what a validation finds."""

    @property
    def gate(self) -> str:
        """Name of the figure."""

    def validated(self, value: float) -> None:
        """Is told the figure after each validation, and all earlier ones when it goes on."""


@runtime_checkable
class Resting(Protocol):
    """A recipe whose phases do not all learn in every step."""

    def rests(self, phase: str, step: int) -> bool:
        """Whether a phase is left out of a step, counted from 0; one at least is not."""


class Loader(Protocol):
    """Gives batches of an epoch whenever it is iterated; can be taken up where it stood."""

    def __iter__(self) -> Iterator[Any]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Data:
    """What is trained and validated on.

    Attributes:
        training: Loader of a process, by its number and how many there are.
        validation: Batches in order, the same each time; None: nothing is validated.
        facts: For the card: where it is from, persons, seconds.
        key: Content key of all that decides what the loaders give.
        sounds: What is said in the first validation batches, for TensorBoard.
        initial: Values of new networks that follow from the data, by phase/key of their state.
    """

    training: Callable[[int, int], Loader]
    validation: Callable[[], Iterable[Sample]] | None
    facts: Mapping[str, Any]
    key: str
    sounds: Callable[[], Sounds] = dict
    initial: Callable[[], Mapping[str, Tensor]] = dict


@dataclass(frozen=True)
class Validation:
    """Figures at a step."""

    step: int
    figures: Mapping[str, float]
    best: bool


class TrainingObserver(Protocol):
    """Who looks on."""

    def begin(self, steps: int, done: int) -> None:
        """Training goes on after `done` steps."""

    def step(self, step: int, losses: Callable[[], Mapping[str, float]]) -> None:
        """A step is done; asking for the losses waits for the device."""

    def validated(self, validation: Validation) -> None:
        """Figures are there."""

    def end(self) -> None:
        """No more comes."""


class NoTrainingObserver:
    """Nobody looks on."""

    def begin(self, steps: int, done: int) -> None:
        return

    def step(self, step: int, losses: Callable[[], Mapping[str, float]]) -> None:
        return

    def validated(self, validation: Validation) -> None:
        return

    def end(self) -> None:
        return


def rgb_pictures(images: Tensor) -> NDArray[np.uint8]:
    """(n, 3, h, w) BGR 0..1 → uint8 RGB."""
    levels = (images.float().flip(1).clamp(0, 1) * 255).round()
    return levels.to(torch.uint8).cpu().numpy()


def shown_sheet(rows: Sequence[Sequence[NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """Pictures (3, h, w) of one size in rows, as one picture."""
    return np.concatenate([np.concatenate(list(row), axis=2) for row in rows], axis=1)


def shown_curves(predicted: NDArray[np.float32], true: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Two curves (frame,) of numbers above 0 as a picture (3, h, w): red, and green below it."""
    height, step = 128, 4
    top = max(float(true.max()), float(predicted.max()), 1e-3)
    picture = np.zeros((height, step * len(true), 3), np.uint8)
    for values, colour in ((true, (0, 255, 0)), (predicted, (255, 0, 0))):
        x = np.arange(len(values)) * step
        y = (height - 1) * (1 - values / top)
        line = np.stack([x, y], axis=1).round().astype(np.int32)
        cv2.polylines(picture, [line], False, colour, 1, cv2.LINE_AA)
    return picture.transpose(2, 0, 1)
