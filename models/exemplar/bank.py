"""Which frames of the source are kept to borrow mouths from."""

import numpy as np

from models.arrays import BankRows, FrameMask

RUN_FRAMES = 75
"""Length of the runs that a thinned bank keeps [frames]: long enough for words."""


def bank_frames(usable: FrameMask, *, limit: int = 3000) -> BankRows:
    """Rising numbers of the frames to keep: all usable ones, or evenly spread runs of many.

    Args:
        usable: a valid face with a free mouth.
        limit: most frames to keep.
    """
    frames: BankRows = np.flatnonzero(usable).astype(np.int32)
    if limit == 0:
        return frames[:0]
    if len(frames) <= limit:
        return frames
    runs = max(1, limit // RUN_FRAMES)
    length = min(RUN_FRAMES, limit)
    starts = np.linspace(0, len(frames) - length, runs).astype(int)
    rows = np.unique(np.concatenate([np.arange(start, start + length) for start in starts]))
    return np.asarray(frames[rows], np.int32)


def bank_runs(frames: BankRows, scene_start: FrameMask) -> BankRows:
    """Run number of each bank row: rows of one number follow each other in the source.

    Args:
        frames: rising frame numbers.
        scene_start: true for the first frame after each cut, of the whole source.
    """
    if len(frames) == 0:
        return np.zeros(0, np.int32)
    breaks = np.concatenate([[False], (np.diff(frames) != 1) | scene_start[frames[1:]]])
    return np.asarray(np.cumsum(breaks), np.int32)
