"""How many threads torch takes: one rule for the whole process, applied whenever it computes.

The number is the process's, and whoever set it last would win for good. So everything that runs a
network says at each use which of the rules holds for it.
"""

import torch

from tasks.engine.run import usable_processors


def one_thread() -> None:
    """For small networks, of which several run side by side, and for processes that only read."""
    torch.set_num_threads(1)


def all_processors() -> None:
    """For a network that runs alone in this process."""
    torch.set_num_threads(usable_processors())


def share_of(processes: int) -> None:
    """For one of several processes that train together."""
    torch.set_num_threads(max(1, usable_processors() // processes))
