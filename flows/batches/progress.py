"""A batch on the terminal: how many rows are done, and a bar for each that is under way."""

import threading
import time

from rich import progress
from rich.console import Console

from flows.batches.manifest import Row
from flows.batches.report import RowResult, State
from flows.runtime.progress import stage_bars
from tasks.engine.run import Progress


class BatchBars:
    """A bar for a batch, and one for each row under way. Use as a context manager.

    On a stream that is no terminal, one line is printed when a row ends.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = stage_bars(console, width=32)
        self._rows: dict[int, _RowBar] = {}
        self._whole: progress.TaskID | None = None
        self._start = 0.0
        self._video_seconds = 0.0
        self._failed = 0
        self._lock = threading.Lock()

    def __enter__(self) -> "BatchBars":
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

    def start(self, rows: int) -> None:
        self._start = time.perf_counter()
        self._whole = self._bars.add_task("[bold]rows", total=rows, note="")

    def row(self, row: Row) -> Progress:
        with self._lock:
            self._rows[row.number] = bar = _RowBar(self._bars, row.name)
            return bar

    def ended(self, row: Row, result: RowResult) -> None:
        with self._lock:
            if (bar := self._rows.pop(row.number, None)) is not None:
                bar.close()
            self._failed += result.state is State.FAILED
            if result.seconds:
                self._video_seconds += result.video_seconds
            pace = self._video_seconds / max(time.perf_counter() - self._start, 1e-6)
            failed = f", [red]{self._failed} failed[/]" if self._failed else ""
            assert self._whole is not None
            self._bars.update(
                self._whole, advance=1, note=f"{pace:.2f} s of video a second{failed}"
            )
        told = f": {result.reason}" if result.reason else ""
        style = "red" if result.state is State.FAILED else "dim"
        if result.state is State.FAILED or not self._console.is_terminal:
            self._bars.console.print(f"[{style}]row {row.name}: {result.state.value}{told}")


class _RowBar:
    """The stage that a row is in."""

    def __init__(self, bars: progress.Progress, name: str) -> None:
        self._bars = bars
        self._name = name
        self._task = bars.add_task(f"  {name}", total=None, note="")

    def begin(self, stage: str, rows: int | None, done: int) -> None:
        self._bars.reset(self._task, total=rows, completed=done, note=stage)

    def advance(self, stage: str, rows: int) -> None:
        self._bars.advance(self._task, rows)

    def end(self, stage: str, *, cached: bool) -> None:
        return

    def note(self, text: str) -> None:
        self._bars.console.print(f"[yellow]row {self._name}: {text}")

    def close(self) -> None:
        self._bars.remove_task(self._task)
