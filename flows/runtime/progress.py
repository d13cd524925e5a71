"""Progress bars of a run, on the error stream, so that standard output stays clean."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from rich import progress
from rich.console import Console

Shown = TypeVar("Shown", bound=AbstractContextManager[Any])


def stage_bars(console: Console, *, width: int) -> progress.Progress:
    """Bars with names of `width` letters, a count, times spent and left, and a note."""
    return progress.Progress(
        progress.SpinnerColumn(finished_text="[green]✓"),
        progress.TextColumn(f"{{task.description:{width}.{width}}}"),
        progress.BarColumn(20),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[note]}"),
        console=console,
        disable=not console.is_terminal,
    )


LINE_SECONDS = 10.0
"""Where there is no terminal, a line is printed so often."""


class Bars:
    """One bar per stage. Use as a context manager.

    On a stream that is no terminal, a line is printed when a stage ends, and every LINE_SECONDS
    while one lasts.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = stage_bars(console, width=25)
        self._told = time.monotonic()
        self._tasks: dict[str, progress.TaskID] = {}

    def __enter__(self) -> "Bars":
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

    def begin(self, stage: str, rows: int | None, done: int) -> None:
        self._tasks[stage] = self._bars.add_task(stage, total=rows, completed=done, note="")

    def advance(self, stage: str, rows: int) -> None:
        self._bars.advance(self._tasks[stage], rows)
        now = time.monotonic()
        if self._console.is_terminal or now - self._told < LINE_SECONDS:
            return
        self._told = now
        task = self._bars.tasks[self._tasks[stage]]
        if task.total is not None and task.completed < task.total:
            self._console.print(f"{stage}: {task.completed:.0f} of {task.total:.0f}")

    def end(self, stage: str, *, cached: bool) -> None:
        note = "[dim]from the store" if cached else ""
        task = self._tasks.pop(stage, None)
        if task is None:
            task = self._bars.add_task(stage, total=1, completed=1, note=note)
        total = self._bars.tasks[task].total or max(1, self._bars.tasks[task].completed)
        self._bars.update(task, total=total, completed=total, note=note)
        if not self._console.is_terminal:
            self._console.print(f"{stage}: {'from the store' if cached else 'computed'}")

    def note(self, text: str) -> None:
        self._bars.console.print(f"[yellow]{text}")


_watcher: ContextVar[object] = ContextVar("dubflow_watcher", default=None)


@contextmanager
def watched(bars: Shown) -> Iterator[Shown]:
    """Show bars; `watcher()` gives them to whatever runs inside."""
    with bars:
        token = _watcher.set(bars)
        try:
            yield bars
        finally:
            _watcher.reset(token)


def watcher(kind: type[Shown]) -> Shown | None:
    """Who shows progress of this kind here; nobody on a worker."""
    bars = _watcher.get()
    return bars if isinstance(bars, kind) else None
