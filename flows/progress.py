"""Progress bars of a run, on the error stream, so that standard output stays clean."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Bars:
    """One bar per stage. Use as a context manager.

    On a stream that is no terminal, one line is printed when a stage ends.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description:14}"),
            BarColumn(24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

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
