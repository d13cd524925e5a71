"""A function called many times, in processes of its own; results as they come."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from tasks.run import PROCESSORS, usable_processors

A = TypeVar("A")
B = TypeVar("B")

_CALLS_PER_PROCESS = 24
"""After so many a process is replaced, which gives back what libraries never free."""


def in_processes(
    function: Callable[[A], B], calls: Sequence[A], *, workers: int
) -> Iterator[tuple[int, B | BrokenProcessPool]]:
    """(place of the call, its result) in the order in which they end.

    Args:
        function: Of a module, so that a process can import it; what it raises is raised here.
        calls: One argument each.
        workers: Processes; each gets its share of the processors.

    Yields:
        Where a process died (out of memory, killed) the error stands for the result of every call
        that was not finished by then.
    """
    if workers == 1 or len(calls) == 1:
        for place, call in enumerate(calls):
            yield place, function(call)
        return
    context = multiprocessing.get_context("spawn")
    share = max(1, usable_processors() // workers)
    with ProcessPoolExecutor(
        workers,
        context,
        initializer=_begin,
        initargs=(share,),
        max_tasks_per_child=_CALLS_PER_PROCESS,
    ) as pool:
        places = {pool.submit(function, call): place for place, call in enumerate(calls)}
        for future in as_completed(places):
            try:
                yield places[future], future.result()
            except BrokenProcessPool as error:
                yield places[future], error


def _begin(share: int) -> None:
    """In a new process: quiet libraries, memory given back, its share of the processors."""
    from flows.environment import give_memory_back, quiet_and_private

    quiet_and_private()
    give_memory_back()
    os.environ[PROCESSORS] = str(share)
