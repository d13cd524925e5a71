"""A training on the terminal: how far it is, how fast it goes, losses, and a line a validation."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rich import progress
from rich.console import Console

from flows.runtime.progress import LINE_SECONDS
from tasks.training.recipe import Validation

_EVERY_SECONDS = 0.5
"""Losses are asked for so often: each time waits for the device."""


class Terminal:
    """Shows a training on a console.

    Args:
        console: Shown on.
        after: What is still to be done when it is over takes so long [s].
    """

    def __init__(self, console: Console, after: float = 0.0) -> None:
        self._console, self._after = console, after
        self._bar = progress.Progress(
            progress.BarColumn(24),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(),
            progress.TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: Any = None
        self._steps = self._first = 0
        self._start = self._told = 0.0

    def begin(self, steps: int, done: int) -> None:
        self._steps, self._first = steps, done
        self._start, self._told = time.perf_counter(), -math.inf
        if done:
            self._say(f"[dim]goes on after step {done}")
        self._task = self._bar.add_task("", total=steps, completed=done, note="")
        self._bar.start()

    def step(self, step: int, losses: Callable[[], Mapping[str, float]]) -> None:
        now = time.perf_counter()
        self._bar.update(self._task, completed=step)
        every = _EVERY_SECONDS if self._console.is_terminal else LINE_SECONDS
        if now - self._told < every and step < self._steps:
            return
        self._told = now
        pace = (step - self._first) / max(now - self._start, 1e-9)
        left = (self._steps - step) / max(pace, 1e-9)
        whole = f", {left + self._after:.0f} s of the whole" if self._after else ""
        note = f"{pace:.3g} steps/s  " + "  ".join(f"{n} {v:.4g}" for n, v in losses().items())
        self._bar.update(self._task, note=note + whole)
        if not self._console.is_terminal:
            self._say(f"step {step} of {self._steps}, {left:.0f} s left{whole}: {note}")

    def validated(self, validation: Validation) -> None:
        told = "  ".join(f"{name} {value:.4g}" for name, value in validation.figures.items())
        best = "  [green]best so far" if validation.best else ""
        self._say(f"step {validation.step}, validation: {told}{best}")

    def end(self) -> None:
        self._bar.stop()

    def _say(self, line: str) -> None:
        self._bar.console.print(line, highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class OnTerminal:
    """Makes a `Terminal` on the error stream, in whichever process leads; can be pickled.

    Attributes:
        after: As of `Terminal`.
    """

    after: float = 0.0

    def __call__(self) -> Terminal:
        return Terminal(Console(stderr=True), self.after)
