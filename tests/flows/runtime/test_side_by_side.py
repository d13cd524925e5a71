"""Items side by side: all of them, so many at a time, and none goes on after an interrupt."""

import threading

import pytest

from flows.runtime.side_by_side import side_by_side
from stores.artifacts.store import Store
from tasks.engine.open_run import open_run


def test_every_item_once_and_never_more_at_a_time() -> None:
    lock, at_once, most = threading.Lock(), 0, 0

    def double(item: int) -> int:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        threading.Event().wait(0.01)
        with lock:
            at_once -= 1
        return 2 * item

    found = dict(side_by_side(range(20), double, count=3))
    assert found == {item: 2 * item for item in range(20)}
    assert most <= 3


def test_items_are_taken_as_places_get_free() -> None:
    taken: list[int] = []

    def items() -> object:
        for item in range(10):
            taken.append(item)
            yield item

    results = side_by_side(items(), lambda item: item, count=2)
    next(results)
    assert len(taken) <= 2
    results.close()
    assert len(taken) <= 3


def test_an_error_ends_the_runs_of_the_others(store: Store) -> None:
    begun, stopped = threading.Event(), threading.Event()

    def work(item: int) -> None:
        if item == 0:
            with open_run(store) as run:
                begun.set()
                if run.stop.wait(20):
                    stopped.set()
        else:
            begun.wait(20)
            raise KeyboardInterrupt

    with open_run(store) as other:
        with pytest.raises(KeyboardInterrupt):
            list(side_by_side(range(5), work, count=2))
        assert stopped.is_set()
        assert not other.stop.is_set(), "a run of somebody else in this process goes on"
