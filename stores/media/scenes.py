"""Find scene cuts on tiny luma pictures, frame by frame, in bounded memory.

A cut is a step that is large, much larger than the steps around it (fast motion makes many large
ones), and that neither returns within a few frames nor ends such a return (a flash does both).
"""

from collections import deque

import numpy as np
from jaxtyping import Bool, Float32

from stores.media.planes import Plane

THUMBNAIL_COLUMNS = 32
THUMBNAIL_ROWS = 18
_STEP_MIN = 12.0  # mean luma difference, of 255; jumps of a tracked crop reach 10
_STEP_RATIO = 3.5  # against the mean of the steps around
_RETURN_SHARE = 0.55  # of the step: nearer than this to a frame across it is a return
_AROUND = 5  # frames on each side that count as around
_FLASH = 5  # frames that a flash may last
LOOKS_AHEAD = max(_AROUND, _FLASH + 1)
"""Frames after a step that tell whether it is a cut."""

Thumbnail = Float32[np.ndarray, "row column"]
"""Block means of a luma plane, 0..255, at most THUMBNAIL_ROWS x THUMBNAIL_COLUMNS."""


def thumbnail(luma: Plane, bits: int) -> Thumbnail:
    """Shrink a luma plane to a grid of block means.

    Args:
        luma: Luma samples.
        bits: Depth of a sample.
    """
    height, width = luma.shape
    rows, columns = min(THUMBNAIL_ROWS, height), min(THUMBNAIL_COLUMNS, width)
    # A few samples of each block are enough, and reading them all would cost more than decoding.
    step_y, step_x = max(1, height // (rows * 4)), max(1, width // (columns * 4))
    sparse = luma[::step_y, ::step_x]
    block_y, block_x = sparse.shape[0] // rows, sparse.shape[1] // columns
    blocks = sparse[: rows * block_y, : columns * block_x].astype(np.float32)
    means = blocks.reshape(rows, block_y, columns, block_x).mean(axis=(1, 3))
    return np.asarray(means / (1 << (bits - 8)), dtype=np.float32)


class SceneCuts:
    """Collects one thumbnail a frame and says at the end where scenes start."""

    def __init__(self) -> None:
        self._recent: deque[Thumbnail] = deque(maxlen=_FLASH + 2)
        self._steps: list[float] = []
        self._returns: list[float] = []

    def push(self, picture: Thumbnail) -> None:
        """Take the next frame's thumbnail."""
        index = len(self._steps)
        past = list(self._recent)
        distances = [float(np.abs(picture - other).mean()) for other in past]
        self._steps.append(distances[-1] if distances else 0.0)
        # This frame against those before: a likeness across a step calls that step a flash.
        self._returns.append(min(distances[:-1], default=np.inf))
        for back, distance in enumerate(reversed(distances)):
            # The frame `back` + 1 ago was the last before the step at `index - back`.
            if back:
                step = index - back
                self._returns[step] = min(self._returns[step], distance)
        self._recent.append(picture)

    def starts(self) -> Bool[np.ndarray, " frame"]:
        """Give the mask of frames at which a scene starts, the first frame included."""
        steps = np.asarray(self._steps, dtype=np.float64)
        returns = np.asarray(self._returns, dtype=np.float64)
        starts = np.zeros(len(steps), dtype=np.bool_)
        for index in np.flatnonzero(steps >= _STEP_MIN):
            low, high = max(1, index - _AROUND), index + _AROUND + 1
            around = np.concatenate([steps[low:index], steps[index + 1 : high]])
            usual = float(around.mean()) if len(around) else 0.0
            stays = returns[index] > _RETURN_SHARE * steps[index]
            starts[index] = stays and steps[index] >= _STEP_RATIO * usual
        if len(starts):
            starts[0] = True
        return starts
