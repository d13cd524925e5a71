"""Which frames of the source are kept to borrow mouths from."""

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Ints = NDArray[np.int32]

RUN_FRAMES = 75
"""Length of the runs that a thinned bank keeps [frames]: long enough for words."""


def bank_frames(usable: Bools, *, limit: int = 3000) -> Ints:
    """Which frames to keep as donors: all usable ones, or evenly spread runs if they are many.

    Args:
        usable: (frame,) bool: a valid face with a free mouth.
        limit: most frames to keep.

    Returns:
        Rising frame numbers (row,) int32.
    """
    frames: Ints = np.flatnonzero(usable).astype(np.int32)
    if limit == 0:
        return frames[:0]
    if len(frames) <= limit:
        return frames
    runs = max(1, limit // RUN_FRAMES)
    length = min(RUN_FRAMES, limit)
    starts = np.linspace(0, len(frames) - length, runs).astype(int)
    rows = np.unique(np.concatenate([np.arange(start, start + length) for start in starts]))
    return np.asarray(frames[rows], np.int32)


def bank_runs(frames: Ints, scene_start: Bools) -> Ints:
    """Run number (row,) int32 of each bank row: rows of one number follow each other in the source.

    Args:
        frames: (row,) int32, rising frame numbers.
        scene_start: (frame,) bool of the whole source.
    """
    if len(frames) == 0:
        return np.zeros(0, np.int32)
    breaks = np.concatenate([[False], (np.diff(frames) != 1) | scene_start[frames[1:]]])
    return np.asarray(np.cumsum(breaks), np.int32)
