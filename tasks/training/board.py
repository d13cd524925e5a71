"""Curves, pictures and sound of a training on TensorBoard."""

from collections.abc import Mapping
from pathlib import Path

import torch

from tasks.training.recipe import BoardMedia, Validation


class Board:
    """Event files in a folder. What a killed run wrote after its last checkpoint is hidden.

    Args:
        folder: Of the event files.
        done: Steps of the checkpoint that the run is taken up from.
    """

    def __init__(self, folder: Path, *, done: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # a second that no other use waits for

        self._writer = SummaryWriter(str(folder), purge_step=done + 1 if done else None)
        self._last: tuple[int, float] | None = None

    def losses(
        self, step: int, losses: Mapping[str, float], rates: Mapping[str, float], *, seconds: float
    ) -> None:
        """Losses and learning rates, and how fast it goes; seconds are those of training so far."""
        for name, loss in losses.items():
            self._scalar(f"training/{name}", loss, step)
        for phase, rate in rates.items():
            self._scalar(f"learning_rate/{phase}", rate, step)
        if self._last is not None and seconds > self._last[1]:
            pace = (step - self._last[0]) / (seconds - self._last[1])
            self._scalar("training/steps_per_second", pace, step)
        self._last = (step, seconds)

    def figures(self, validation: Validation) -> None:
        """What a validation measured."""
        for name, figure in validation.figures.items():
            self._scalar(f"validation/{name}", figure, validation.step)
        self._writer.flush()

    def shown(self, step: int, shown: BoardMedia) -> None:
        """Pictures and sound of a validation batch."""
        for name, picture in shown.pictures.items():
            self._writer.add_image(name, picture, step)
        for name, (sound, rate) in shown.sounds.items():
            told = torch.from_numpy(sound).clamp(-1, 1)[None]
            self._writer.add_audio(name, told, step, rate)

    def close(self) -> None:
        """Write what is still in memory."""
        self._writer.close()

    def _scalar(self, name: str, value: float, step: int) -> None:
        self._writer.add_scalar(name, value, step)
