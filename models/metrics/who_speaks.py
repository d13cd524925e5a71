"""Who of several faces speaks when: the one whose mouth moves as the sound asks.

As in `models.metrics.agreement`, velocities of the motion that a model expects from the sound are
compared with those seen. Each tick says a little for each face; a path through the faces that
changes seldom, and most easily in pauses, adds that up (A. Viterbi, IEEE Trans. IT 13, 1967).
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int64
from numpy.typing import NDArray

from models.metrics.agreement import COMPONENTS, NOISE

NOBODY = -1
"""In place of a face's number where none is seen."""

MAX_LAG_TICKS = 5
"""The picture may be so much earlier or later than the sound, mostly the same for all faces ..."""

OWN_LAG_TICKS = 3
"""... but each may differ by so much: shots of one scene are cut from recordings of several."""

_CHANGE = 6.0
"""What a change of speaker costs within speech; ticks give about 1 for whoever speaks ..."""
_PAUSE_CHANGE = 0.5
"""... and in a pause."""
_UNSEEN = -0.3
"""What a tick says for a face that is not seen."""


def who_speaks(
    expected: Float32[np.ndarray, "tick component"],
    moved: Sequence[Float32[np.ndarray, "_ component"]],
    seen: Sequence[Float32[np.ndarray, " _"]],
    *,
    speech: Bool[np.ndarray, " speech_tick"],
) -> Int64[np.ndarray, " tick"]:
    """The face that speaks at each tick, NOBODY where none is seen.

    Args:
        expected: displacement that the sound asks for [face heights], as `agree` takes it.
        moved: the same, seen, of each face; it may end before the sound or after it.
        seen: 1 where the picture shows the face, else 0; as long as its motion.
        speech: whether speech is heard; false beyond its end.
    """
    ticks = len(expected)
    asked = _velocity(expected, ticks)
    seen_at = np.stack([_padded(each, ticks) > 0 for each in seen])
    heard = _padded(speech, ticks)
    velocities = [_velocity(each, ticks) for each in moved]

    @cache
    def says(face: int, lag: int) -> NDArray[np.float64]:
        told = _says(asked, np.roll(velocities[face], -lag, axis=0), heard)
        return np.where(heard, np.where(seen_at[face], told, _UNSEEN), 0)

    def path(lags: Sequence[int]) -> tuple[float, NDArray[np.int64]]:
        return _best_path(np.stack([says(face, lag) for face, lag in enumerate(lags)]), heard)

    every = range(-MAX_LAG_TICKS, MAX_LAG_TICKS + 1)
    common = max(every, key=lambda lag: path([lag] * len(moved))[0])
    lags = [common] * len(moved)
    for face in range(len(moved)):
        near = range(common - OWN_LAG_TICKS, common + OWN_LAG_TICKS + 1)
        own = max(near, key=lambda lag: path([*lags[:face], lag, *lags[face + 1 :]])[0])
        lags[face] = own
    return np.where(seen_at.any(axis=0), path(lags)[1], NOBODY)


def _padded(values: NDArray[Any], ticks: int) -> NDArray[Any]:
    return np.pad(values[:ticks], (0, max(0, ticks - len(values))))


def _velocity(motion: NDArray[np.float32], ticks: int) -> NDArray[np.float64]:
    held = motion[:ticks, :COMPONENTS].astype(np.float64)
    held = np.pad(held, ((0, ticks - len(held)), (0, 0)), mode="edge")
    return np.diff(held, axis=0, prepend=held[:1])


def _says(
    asked: NDArray[np.float64], moved: NDArray[np.float64], heard: NDArray[Any]
) -> NDArray[np.float64]:
    """How much each tick says for a face: 1 in the mean, if it moved just as asked."""
    use = np.asarray(heard, bool)
    energy = [np.square(each[use]).sum(1).mean() if use.any() else 0.0 for each in (asked, moved)]
    scale = np.sqrt((energy[0] + NOISE**2) * (energy[1] + NOISE**2))
    return np.asarray((asked * moved).sum(1) / scale)


def _best_path(says: NDArray[np.float64], heard: NDArray[Any]) -> tuple[float, NDArray[np.int64]]:
    """The path (tick,) through faces (face, tick) that gets most, and that."""
    faces, ticks = says.shape
    score, came = says[:, 0].copy(), np.zeros((ticks, faces), np.int64)
    for tick in range(1, ticks):
        best = int(score.argmax())
        changed = score[best] - (_CHANGE if heard[tick] else _PAUSE_CHANGE)
        came[tick] = np.where(score >= changed, np.arange(faces), best)
        score = np.maximum(score, changed) + says[:, tick]
    path = np.zeros(ticks, np.int64)
    path[-1] = score.argmax()
    for tick in range(ticks - 1, 0, -1):
        path[tick - 1] = came[tick, path[tick]]
    return float(score.max()), path
