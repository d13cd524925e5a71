"""The network in use, loaded once for all ranges that this process computes."""

import threading
from collections.abc import Callable, Hashable

from tasks.inference.runner import Runner

_lock = threading.Lock()
_kept: dict[Hashable, Runner] = {}


def shared_runner(key: Hashable, make: Callable[[], Runner]) -> Runner:
    """The runner of that key; made if the last one asked for was another.

    Only one is kept: stages come one after the other, and networks are large.
    """
    with _lock:
        if key not in _kept:
            _kept.clear()
            _kept[key] = make()
        return _kept[key]
