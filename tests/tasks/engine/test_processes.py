"""Worker processes: they compute the same, stop when told, and never outlive their owner."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from stores.artifacts.store import Store
from stores.errors import MediaError
from tasks.engine.open_run import open_run
from tasks.engine.processes import WorkerDied, WorkerPool
from tasks.engine.run import NoProgress, told_as
from tests.tasks.toy_stages import ROWS_PER_SHARD, ToySettings, failing, numbers, total

OWNER = """
import sys
from stores.artifacts.store import Store
from tasks.engine.open_run import open_run
from tasks.engine.processes import WorkerPool
from tests.tasks.toy_stages import ToySettings, numbers
with WorkerPool(2, least_rows=0) as pool, open_run(Store(sys.argv[1]), workers=2, pool=pool):
    numbers(160, ToySettings())
"""


class Counted(NoProgress):
    def __init__(self) -> None:
        self.rows = Counter[str]()

    def advance(self, stage: str, rows: int) -> None:
        self.rows[stage] += rows


@pytest.fixture(autouse=True)
def tell_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_PROCESS", "1")


def lines(log: Path) -> int:
    return len(log.read_text().splitlines()) if log.exists() else 0


def wait_for(log: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while lines(log) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_workers_make_what_threads_make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))
    progress = Counted()
    with (
        WorkerPool(2, least_rows=0) as pool,
        open_run(Store(str(tmp_path / "a")), workers=2, progress=progress, pool=pool),
    ):
        with told_as("speech"):
            made = numbers(100, ToySettings())
        assert total(made).read("sum")[0] == 2 * 3 * 4950
    assert progress.rows == {"numbers (speech)": 100}
    writers = {line.split()[-1] for line in (tmp_path / "log").read_text().splitlines()}
    assert str(os.getpid()) not in writers and len(writers) == 2
    with open_run(Store(str(tmp_path / "b")), workers=2):
        again = numbers(100, ToySettings())
    assert made.key == again.key
    np.testing.assert_array_equal(made.read("value"), again.read("value"))


def test_short_ranges_stay_in_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))
    with (
        WorkerPool(2, least_rows=65) as pool,
        open_run(Store(str(tmp_path / "a")), workers=2, pool=pool),
    ):
        numbers(100, ToySettings())
    writers = {line.split()[-1] for line in (tmp_path / "log").read_text().splitlines()}
    assert writers == {str(os.getpid())}


def test_what_a_call_raises_is_raised_here(tmp_path: Path) -> None:
    with (
        WorkerPool(2, least_rows=0) as pool,
        open_run(Store(str(tmp_path / "a")), workers=1, pool=pool) as run,
    ):
        with pytest.raises(MediaError, match="frame 7 of talk"):
            failing("media")
        assert not run.stop.is_set()
        assert len(numbers(40, ToySettings()).read("value")) == 40, "the workers go on"


def test_a_stopped_run_keeps_what_was_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    monkeypatch.setenv("TOY_LOG", str(log))
    monkeypatch.setenv("TOY_SECONDS", "0.3")
    with (
        WorkerPool(2, least_rows=0) as pool,
        open_run(Store(str(tmp_path / "a")), workers=2, pool=pool) as run,
    ):

        def stop() -> None:
            wait_for(log, 2)
            run.stop.set()

        threading.Thread(target=stop).start()
        with pytest.raises(Exception, match="stopped"):
            numbers(20 * ROWS_PER_SHARD, ToySettings())
        assert 2 <= lines(log) < 20, "the rest was left"


def test_a_worker_that_dies_is_told_of_and_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    monkeypatch.setenv("TOY_LOG", str(log))
    monkeypatch.setenv("TOY_SECONDS_FILE", str(tmp_path / "seconds"))
    (tmp_path / "seconds").write_text("0.3")
    with (
        WorkerPool(2, least_rows=0) as pool,
        open_run(Store(str(tmp_path / "a")), workers=2, pool=pool) as run,
    ):

        def kill() -> None:
            wait_for(log, 2)
            os.kill(int(log.read_text().split()[-1]), signal.SIGKILL)

        threading.Thread(target=kill).start()
        with pytest.raises(WorkerDied, match="--workers 1"):
            numbers(160, ToySettings())
        (tmp_path / "seconds").write_text("0")
        assert len(numbers(160, ToySettings()).read("value")) == 160
        assert run.records[-1].hits >= 1


def test_workers_end_with_an_owner_that_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path / "a")],
        env=os.environ | {"TOY_LOG": str(log), "TOY_SECONDS": "0.3"},
    )
    wait_for(log, 2)
    workers = {int(line.split()[-1]) for line in log.read_text().splitlines()}
    owner.kill()
    owner.wait()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{each}/stat").exists() for each in workers):
        assert time.monotonic() < deadline, "a worker outlives its owner"
        time.sleep(0.05)
