"""Sampling of training windows: which are shown in an epoch, and in which order.

A tick is one step of the data's clock; a block is some consecutive ticks that are read at once;
windows lie within one block. Blocks are drawn in a random order and taken in groups; the windows of
a group are shuffled. With a block come a few short stretches of its clip's other blocks, so that
references are from the whole clip. All follows from the seed and the epoch, so that any position
can be found again without reading any data.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray

_Ints = NDArray[np.int64]
Stretch = tuple[int, int, int]
"""A block's number, a tick of it, and the tick after the last."""

STRETCHES, STRETCH_TICKS = 4, 16
"""Read with a block, of the clip's other blocks."""


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
        clips: Number of the clip that each is of.
        frames: Ticks of a window.
        stride: Ticks from a window to the next.
        group: Blocks that are mixed.
        seed: Decides everything that is drawn.
        shuffle: False: blocks and windows in their own order.
        rank: Which share of the blocks this process takes.
        world: How many processes share them.
    """

    ticks: Int64[np.ndarray, " block"]
    clips: Int64[np.ndarray, " block"]
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

    def elsewhere(self, epoch: Epoch, block: int) -> list[Stretch]:
        """Stretches of the clip's other blocks that are read with a block, at random."""
        if self._clip_ticks[block] == self.ticks[block]:
            return []
        every = [
            (int(other), start, min(start + STRETCH_TICKS, int(self.ticks[other])))
            for other in np.flatnonzero(self.clips == self.clips[block])
            for start in range(0, int(self.ticks[other]), STRETCH_TICKS)
            if other != block
        ]
        drawn = np.random.default_rng([self.seed, epoch.number, 3, block])
        chosen = drawn.choice(len(every), min(STRETCHES, len(every)), replace=False)
        return [every[i] for i in chosen]

    def others(
        self,
        epoch: Epoch,
        block: int,
        start: int,
        count: int,
        *,
        length: int = 1,
        stretches: Sequence[Stretch] = (),
    ) -> Int64[np.ndarray, " {count}"]:
        """First ticks of references outside the window, at random; repeated where there are few.

        A reference of more than one tick overlaps the window where there is no room beside it.

        Args:
            epoch: What is drawn for.
            block: That holds the window.
            start: First tick of the window.
            count: References.
            length: Ticks of each.
            stretches: Of `elsewhere`; of whom each tick counts for many of the clip.

        Returns:
            Ticks of the block, and behind them those of the stretches, one after the other.
        """
        total = int(self.ticks[block])
        starts = np.arange(total - length + 1)
        own = starts[(starts + length <= start) | (starts >= start + self.frames)]
        sizes = np.array([last - first for _, first, last in stretches], np.int64)
        behind = total + np.cumsum(sizes) - sizes
        away = [b + np.arange(max(s - length + 1, 0)) for b, s in zip(behind, sizes, strict=True)]
        found = np.concatenate([own, *away])
        if not len(found):
            found = starts[starts != start] if total > length else starts
        chance = None
        if beyond := len(found) - len(own) if stretches else 0:
            each = (self._clip_ticks[block] - total) / beyond
            chance = np.repeat([1.0, each], [len(own), beyond])
            chance /= chance.sum()
        drawn = np.random.default_rng([self.seed, epoch.number, 2, block, start])
        return drawn.choice(found, count, replace=len(found) < count, p=chance)

    @cached_property
    def _clip_ticks(self) -> _Ints:
        """(block,) ticks of the whole clip."""
        _, clip = np.unique(self.clips, return_inverse=True)
        found: _Ints = np.bincount(clip, self.ticks)[clip].astype(np.int64)
        return found

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
