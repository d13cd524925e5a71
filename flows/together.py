"""Parts of a run that need nothing of each other, at the same time."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import Any, TypeVar

from tasks.engine.perform import others_stopped
from tasks.engine.run import current_run

A = TypeVar("A")
B = TypeVar("B")


def in_step(items: Sequence[A], function: Callable[[A], B]) -> list[B]:
    """What the function makes of each item, several at a time as the run has workers."""
    run = current_run()
    count = 1 if run.plan is not None else max(1, min(run.workers, len(items)))
    if count == 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(count, thread_name_prefix="beside") as pool:
        futures = [pool.submit(copy_context().run, function, item) for item in items]

        def rest() -> None:
            for future in futures:
                future.cancel()
            wait(futures)

        with others_stopped(run, rest):
            return [future.result() for future in futures]


def beside(first: Callable[[], A], second: Callable[[], B]) -> tuple[A, B]:
    """What both give, computed at the same time if the run has workers for it."""
    parts: list[Callable[[], Any]] = [first, second]
    one, other = in_step(parts, lambda part: part())
    return one, other
