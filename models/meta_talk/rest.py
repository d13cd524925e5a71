"""A mouth at rest: which expression it has, and when speech lets it rest."""

import numpy as np
from jaxtyping import Bool, Float32

from models.arrays import FrameMask
from models.meta_talk.features import TICKS_PER_SECOND
from models.meta_talk.lower_face import OPENS
from models.speech_to_lips.neutral import CLOSED_FRACTION

SILENCE_SECONDS = 0.3
"""A shorter pause is part of speaking."""
_FADE_TICKS = 4


def resting(delta: Float32[np.ndarray, "frame 64"], valid: FrameMask) -> Float32[np.ndarray, " 64"]:
    """The median expression of the fifth of the frames whose mouth is most closed; 0 of none.

    Args:
        delta: Expressions of a clip.
        valid: There is a fit.
    """
    seen = delta[valid]
    if not len(seen):
        return np.zeros(delta.shape[1], np.float32)
    count = max(1, round(CLOSED_FRACTION * len(seen)))
    closed = np.argsort(-seen[:, OPENS], kind="stable")[:count]
    return np.asarray(np.median(seen[closed], axis=0), np.float32)


def rested(
    delta: Float32[np.ndarray, "tick 64"],
    quiet: Bool[np.ndarray, " tick"],
    rest: Float32[np.ndarray, " 64"],
) -> Float32[np.ndarray, "tick 64"]:
    """The expressions with the mouth brought to rest where a pause is longer than in speaking.

    Args:
        delta: Expressions, 25 a second.
        quiet: Nothing is said.
        rest: Of `resting`.
    """
    share = np.zeros(len(quiet), np.float32)
    edges = np.flatnonzero(np.diff(np.r_[False, quiet, False].astype(np.int8)))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if stop - start > SILENCE_SECONDS * TICKS_PER_SECOND:
            inside = np.arange(stop - start)
            since = inside + 1 if start > 0 else _FADE_TICKS
            until = stop - start - inside if stop < len(quiet) else _FADE_TICKS
            share[start:stop] = np.minimum(1, np.minimum(since, until) / _FADE_TICKS)
    return np.asarray(delta + share[:, None] * (rest - delta), np.float32)
