"""How many threads networks take: one rule for the whole process, applied whenever one computes.

The number is the process's, and whoever set it last would win for good. So everything that runs a
network says at each use which of the rules holds for it. It holds for torch, where that is loaded,
and for NumPy's matrix products.
"""

import sys
from functools import cache

from threadpoolctl import ThreadpoolController

from tasks.engine.run import usable_processors


def one_thread() -> None:
    """For small networks, of which several run side by side, and for processes that only read."""
    _use(1)


def all_processors() -> None:
    """For a network that runs alone in this process."""
    _use(usable_processors())


def share_of(processes: int) -> None:
    """For one of several processes that train together."""
    _use(max(1, usable_processors() // processes))


def _use(threads: int) -> None:
    _libraries().limit(limits=threads, user_api="blas")
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(threads)


@cache
def _libraries() -> ThreadpoolController:
    import numpy  # noqa: F401  (its library must be there to be found)

    return ThreadpoolController()
