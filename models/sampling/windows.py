"""Sampling of training windows: which are shown in an epoch, and in which order.

A tick is one step of the data's clock; a block is some consecutive ticks that are read at once;
windows lie within one block. Blocks are drawn in a random order and taken in groups; the windows of
a group are shuffled. All follows from the seed and the epoch, so that any position can be found
again without reading any data.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray

_Ints = NDArray[np.int64]


def block_edges(start: int, stop: int, *, block: int, least: int) -> list[tuple[int, int]]:
    """Cut frames [start, stop) at multiples of `block`; ends shorter than `least` join the next."""
    edges = [start, *range((start // block + 1) * block, stop, block), stop]
    if len(edges) > 2 and edges[1] - edges[0] < least:
        del edges[1]
    if len(edges) > 2 and edges[-1] - edges[-2] < least:
        del edges[-2]
    return list(pairwise(edges))


@dataclass(frozen=True)
class Epoch:
    """The order of one epoch.

    Attributes:
        number: Of the epoch.
        groups: Numbers of blocks, in the order in which they are read, by group.
        phase: Tick of each block's first window.
        counts: Windows of each group.
    """

    number: int
    groups: list[Int64[np.ndarray, " _"]]
    phase: Int64[np.ndarray, " block"]
    counts: Int64[np.ndarray, " group"]

    @property
    def windows(self) -> int:
        """All windows of the epoch."""
        return int(self.counts.sum())

    def find(self, sample: int) -> tuple[int, int]:
        """The group that holds the n-th window, and how many of its windows come before."""
        ends = np.cumsum(self.counts)
        group = int(np.searchsorted(ends, sample, side="right"))
        return group, sample - int(ends[group] - self.counts[group] if group < len(ends) else 0)


@dataclass(frozen=True)
class WindowOrder:
    """Draws epochs.

    Attributes:
        ticks: Ticks of each block, at least `frames` each.
        frames: Ticks of a window.
        stride: Ticks from a window to the next.
        group: Blocks that are mixed.
        seed: Decides everything that is drawn.
        shuffle: False: blocks and windows in their own order.
        rank: Which share of the blocks this process takes.
        world: How many processes share them.
    """

    ticks: Int64[np.ndarray, " block"]
    frames: int
    stride: int
    group: int
    seed: int
    shuffle: bool
    rank: int = 0
    world: int = 1

    def epoch(self, number: int) -> Epoch:
        """One epoch; every process that asks gets the same."""
        order, phase = self._drawn(number)
        own = order[self.rank :: self.world]
        groups = [own[i : i + self.group] for i in range(0, len(own), self.group)]
        counts = [int(self._windows(phase)[blocks].sum()) for blocks in groups]
        return Epoch(number, groups, phase, np.array(counts, np.int64))

    def least_windows(self, number: int) -> int:
        """Windows of the process that has the fewest in an epoch."""
        order, phase = self._drawn(number)
        windows = self._windows(phase)[order]
        return min(int(windows[rank :: self.world].sum()) for rank in range(self.world))

    def in_group(self, epoch: Epoch, group: int) -> list[tuple[int, int]]:
        """Windows of a group in the order in which they are shown: (place in group, first tick)."""
        found = [
            (place, int(start))
            for place, block in enumerate(epoch.groups[group])
            for start in range(
                int(epoch.phase[block]), int(self.ticks[block]) - self.frames + 1, self.stride
            )
        ]
        if not self.shuffle:
            return found
        mixed = np.random.default_rng([self.seed, epoch.number, 1, self.rank, group])
        return [found[i] for i in mixed.permutation(len(found))]

    def others(
        self, epoch: Epoch, block: int, start: int, count: int, *, length: int = 1
    ) -> Int64[np.ndarray, " {count}"]:
        """Ticks of the block outside the window, at random; repeated where there are too few.

        With a `length` they begin so many ticks, which lie outside the window where there is room
        for them, and else begin elsewhere.
        """
        drawn = np.random.default_rng([self.seed, epoch.number, 2, block, start])
        total = int(self.ticks[block])
        if length > 1:
            starts = np.arange(total - length + 1)
            apart = starts[(starts + length <= start) | (starts >= start + self.frames)]
            free = apart if len(apart) else starts[starts != start]
            return np.asarray(drawn.choice(free, count, replace=len(free) < count), np.int64)
        left = total - self.frames
        if left == 0:
            return drawn.integers(0, total, count)
        chosen = drawn.choice(left, count, replace=left < count)
        return np.asarray(chosen + self.frames * (chosen >= start), np.int64)

    def _drawn(self, number: int) -> tuple[_Ints, _Ints]:
        """Blocks in order, and the phase of each."""
        if not self.shuffle:
            return np.arange(len(self.ticks)), np.zeros(len(self.ticks), np.int64)
        drawn = np.random.default_rng([self.seed, number, 0])
        order = drawn.permutation(len(self.ticks))
        free = np.minimum(self.stride, self.ticks - self.frames + 1)
        return order, drawn.integers(0, free)

    def _windows(self, phase: _Ints) -> _Ints:
        """(block,) how many windows each has."""
        windows: _Ints = (self.ticks - self.frames - phase) // self.stride + 1
        return windows
