"""Progress bars of a run, on the error stream, so that standard output stays clean."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rich import progress
from rich.console import Console

from tasks.engine.run import NoProgress, Progress


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


class Bars:
    """One bar per stage. Use as a context manager.

    On a stream that is no terminal, one line is printed when a stage ends.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = stage_bars(console, width=14)
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
        self._bars.console.print(f"[yellow]{text}", highlight=False)


_watcher: ContextVar[Progress | None] = ContextVar("dubflow_watcher", default=None)


@contextmanager
def watched(console: Console) -> Iterator[Bars]:
    """Show bars on a console; `watcher()` gives them to whatever runs inside."""
    with Bars(console) as bars:
        token = _watcher.set(bars)
        try:
            yield bars
        finally:
            _watcher.reset(token)


def watcher() -> Progress:
    """Who shows progress here; nobody on a worker."""
    return _watcher.get() or NoProgress()
