"""Units of speech: classes that windows of cepstra fall into, where nobody says which word it is.

DAVS's classes are LRW's 500 words. Other clips have none, so moments are sorted by what is heard in
them (ours): it serves the same purpose, to tell a feature with speech from one without.
"""

import numpy as np
from jaxtyping import Float32, Float64, Int64
from numpy.typing import NDArray

_ROUNDS = 30
_MOST = 20_000
"""Windows that centres are found by."""

Windows = Float32[np.ndarray, "moment 20 12"]


def statistics(windows: Windows) -> tuple[Float32[np.ndarray, "12"], Float32[np.ndarray, "12"]]:
    """Mean and standard deviation of each coefficient."""
    wide = windows.reshape(-1, windows.shape[2]).astype(np.float64)
    spread = np.sqrt(np.maximum(wide.var(0), 1e-6))
    return wide.mean(0).astype(np.float32), spread.astype(np.float32)


def find_units(windows: Windows, count: int, *, seed: int = 0) -> Float32[np.ndarray, "unit 240"]:
    """Centres of so many units, by k-means; the same for the same windows and seed.

    Args:
        windows: Of the training's speech.
        count: Units.
        seed: Of the drawing of windows and of first centres.
    """
    drawn = np.random.default_rng(seed)
    flat = windows.reshape(len(windows), -1).astype(np.float64)
    flat = flat[drawn.permutation(len(flat))[:_MOST]]
    centres = flat[drawn.choice(len(flat), count, replace=len(flat) < count)]
    for _ in range(_ROUNDS):
        own = _nearest(flat, centres)
        counts = np.bincount(own, minlength=count)
        sums = np.zeros_like(centres)
        np.add.at(sums, own, flat)
        there = counts > 0
        centres[there] = sums[there] / counts[there, None]
    return np.asarray(centres, np.float32)


def nearest(
    windows: Windows, centres: Float32[np.ndarray, "unit 240"]
) -> Int64[np.ndarray, " moment"]:
    """The unit of each window."""
    return _nearest(windows.reshape(len(windows), -1).astype(np.float64), centres)


def _nearest(
    flat: Float64[np.ndarray, "moment number"], centres: NDArray[np.floating]
) -> Int64[np.ndarray, " moment"]:
    wide = centres.astype(np.float64)
    return np.asarray(np.argmin((wide**2).sum(1) - 2 * flat @ wide.T, axis=1), np.int64)
