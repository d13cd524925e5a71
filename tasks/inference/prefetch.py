"""Read the next blocks while the device is busy with this one."""

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from contextvars import copy_context
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")

_AHEAD = 2


class _End:
    """Behind the last item: the error that ended the reading, if one did."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def prefetched(items: Iterable[A], prepare: Callable[[A], B]) -> Generator[B, None, None]:
    """Prepared items in order; a thread reads and prepares up to two ahead.

    What the reading raises is raised here. Closing the iterator ends the thread.
    """
    ready: queue.Queue[B | _End] = queue.Queue(_AHEAD)
    closed = threading.Event()

    def put(item: B | _End) -> bool:
        while not closed.is_set():
            try:
                ready.put(item, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False

    def read() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                if not put(prepare(item)):
                    return
        except BaseException as raised:
            error = raised
        put(_End(error))

    thread = threading.Thread(target=copy_context().run, args=(read,), name="prefetch", daemon=True)
    thread.start()
    try:
        while not isinstance(item := ready.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        closed.set()
        thread.join()
