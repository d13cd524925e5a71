"""What was made last, kept as long as it fits."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """The last values that were put or asked for; the oldest go first. Safe for threads.

    Args:
        most: Sum of their weights at most; a value heavier than that is not kept.
        weight: Of a value.
        let_go: Called for each that goes.
    """

    def __init__(
        self,
        most: int,
        weight: Callable[[Value], int] = lambda _: 1,
        let_go: Callable[[Value], None] = lambda _: None,
    ) -> None:
        self._most, self._weight, self._let_go = most, weight, let_go
        self._kept: OrderedDict[Hashable, Value] = OrderedDict()
        self._sum = 0
        self._lock = Lock()

    def get(self, key: Hashable) -> Value | None:
        """The value, if it is still there."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: Hashable, value: Value) -> None:
        """Keep a value."""
        gone = []
        with self._lock:
            if (old := self._kept.pop(key, None)) is not None:
                self._sum -= self._weight(old)
            self._kept[key] = value
            self._sum += self._weight(value)
            while self._sum > self._most:
                _, oldest = self._kept.popitem(last=False)
                self._sum -= self._weight(oldest)
                gone.append(oldest)
        for each in gone:
            self._let_go(each)

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            gone, self._sum = list(self._kept.values()), 0
            self._kept.clear()
        for each in gone:
            self._let_go(each)
