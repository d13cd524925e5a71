"""What this process has read lately and may use again: in memory, up to a limit."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """Values by key, those not used for longest dropped first. Thread-safe.

    Args:
        limit_bytes: Of all values together.
        let_go: Called with each value that is dropped.
    """

    def __init__(self, limit_bytes: int, let_go: Callable[[T], object] | None = None) -> None:
        self._limit, self._let_go = limit_bytes, let_go
        self._values: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> T | None:
        """None if it was never put here, or was dropped."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key][0]

    def put(self, key: Hashable, value: T, size: int) -> None:
        """Keep a value; one larger than the limit is not kept."""
        with self._lock:
            self._drop(key)
            if size > self._limit:
                return
            self._values[key] = (value, size)
            self._bytes += size
            while self._bytes > self._limit:
                self._drop(next(iter(self._values)))

    def clear(self) -> None:
        """Drop all."""
        with self._lock:
            for key in list(self._values):
                self._drop(key)

    def _drop(self, key: Hashable) -> None:
        if key in self._values:
            value, size = self._values.pop(key)
            self._bytes -= size
            if self._let_go is not None:
                self._let_go(value)
