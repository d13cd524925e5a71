"""Progress where there is no terminal: lines that tell stages apart, and long ones from stuck."""

import io

import pytest
from rich.console import Console

from flows.runtime import progress, training_progress
from flows.runtime.progress import Bars
from flows.runtime.training_progress import Terminal


def told(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


def test_long_stages_are_told_of_while_they_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    with Bars(Console(file=(stream := io.StringIO()))) as bars:
        bars.begin("clips", 3, 0)
        for _ in range(3):
            bars.advance("clips", 1)
        bars.end("clips", cached=False)
    assert told(stream) == ["clips: 1 of 3", "clips: 2 of 3", "clips: computed"]


def test_short_stages_are_told_of_once() -> None:
    with Bars(Console(file=(stream := io.StringIO()))) as bars:
        bars.begin("mel", 2, 0)
        bars.advance("mel", 1)
        bars.end("mel", cached=False)
        bars.end("track", cached=True)
    assert told(stream) == ["mel: computed", "track: from the store"]


def test_a_training_is_told_of_from_its_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_progress, "LINE_SECONDS", 1e9)
    terminal = Terminal(Console(file=(stream := io.StringIO())))
    terminal.begin(steps=3, done=0)
    for step in (1, 2, 3):
        terminal.step(step, lambda: {"loss": 0.5})
    terminal.end()
    assert [line.partition(",")[0] for line in told(stream)] == ["step 1 of 3", "step 3 of 3"]
