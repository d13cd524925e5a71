"""Parts of a run at the same time."""

import threading
from pathlib import Path

import pytest

from flows.together import beside, in_step
from stores.artifacts.store import Store
from tasks.engine.open_run import open_run
from tasks.engine.run import current_run


def test_both_parts_run_at_the_same_time_in_the_same_run(tmp_path: Path) -> None:
    met = threading.Barrier(2, timeout=20)

    def part() -> Path:
        met.wait()  # would never pass one after the other
        return Path(current_run().store.url)

    with open_run(Store(tmp_path), workers=2):
        assert beside(part, part) == (tmp_path, tmp_path)


def test_one_worker_takes_them_in_order(tmp_path: Path) -> None:
    seen: list[int] = []
    with open_run(Store(tmp_path), workers=1):
        in_step([1, 2, 3], seen.append)
    assert seen == [1, 2, 3]


def test_the_first_error_stops_the_others_and_is_raised(tmp_path: Path) -> None:
    began = threading.Event()

    def fails() -> None:
        began.wait(20)
        raise ValueError("no")

    def goes_on() -> bool:
        began.set()
        return current_run().stop.wait(20)

    with open_run(Store(tmp_path), workers=2) as run:
        with pytest.raises(ValueError, match="no"):
            beside(fails, goes_on)
        assert not run.stop.is_set()
