"""A function applied to many items at the same time, in threads of this process."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import Context, copy_context
from typing import TypeVar

from tasks.engine.open_run import RunGroup, current_group

A = TypeVar("A")
B = TypeVar("B")


def side_by_side(
    items: Iterable[A], function: Callable[[A], B], *, count: int
) -> Iterator[tuple[A, B]]:
    """(item, result) in the order in which they end; items are taken as places get free.

    Args:
        items: Read from this thread.
        function: What it raises is raised here; no further item is taken, and runs of those under
            way end after the range in hand.
        count: Items at the same time.
    """
    runs = RunGroup()

    def perform(item: A) -> B:
        with runs.joined():
            return function(item)

    waiting = iter(items)
    running: dict[Future[B], A] = {}
    with ThreadPoolExecutor(count, thread_name_prefix="item") as pool:
        try:
            while True:
                for item in waiting:
                    running[pool.submit(copy_context().run, perform, item)] = item
                    if len(running) >= count:
                        break
                if not running:
                    return
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    yield running.pop(future), future.result()
        except BaseException:
            for future in running:
                future.cancel()
            runs.stop()
            raise


def apart(function: Callable[[A], B]) -> Callable[[A], B]:
    """The function in a context of its own: runs that it opens are of no Prefect flow run.

    That would count every call of a stage. They still end with the group of the caller.
    """

    def perform(item: A) -> B:
        runs = current_group()

        def joined() -> B:
            with runs.joined():
                return function(item)

        return Context().run(joined)

    return perform
