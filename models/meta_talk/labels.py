"""Expressions that a network from speech is trained on: of fitted frames, or of predicted lips."""

import numpy as np
from jaxtyping import Bool, Float32, Float64

from models.arrays import FrameMask, FrameValues, Seconds, TickMouths
from models.deep3d.basis import FaceBasis
from models.face_basis.components import Components, coefficients
from models.face_basis.own import FACE_HEIGHT
from models.faces.mesh.indices import MOUTH
from models.meta_talk.features import TICKS_PER_SECOND

LONGEST_GAP_SECONDS = 0.15
"""Between frames further apart than this nothing is known."""
NOISE = 0.002
"""Of the points of a mouth [face heights]."""
_SAME_SECONDS = 1e-4
"""A frame so near to a tick is taken as it is."""
_DOUBTFUL = 3.0
"""Medians of the landmarks' error from which on a fit is not believed."""
_LEAST_RATIO, _MOST_RATIO = 0.5, 3.0
_LEAST_TICKS = 50
"""From fewer the spread is not known."""


def at_ticks(
    seconds: Seconds,
    delta: Float32[np.ndarray, "frame 64"],
    *,
    valid: FrameMask,
    scene_start: FrameMask,
    ticks: int,
) -> tuple[Float32[np.ndarray, "{ticks} 64"], Bool[np.ndarray, " {ticks}"]]:
    """Expressions of frames, interpolated to ticks 0, 1, ... / 25 s, and which are known.

    Nothing is known across cuts, next to frames that are not valid, in long gaps, and before the
    first and after the last frame; it is 0 there.
    """
    found, known = np.zeros((ticks, delta.shape[1]), np.float32), np.zeros(ticks, bool)
    if not len(seconds) or not ticks:
        return found, known
    times: Float64[np.ndarray, " tick"] = np.arange(ticks) / TICKS_PER_SECOND
    after = np.minimum(np.searchsorted(seconds, times), len(seconds) - 1)
    before = np.maximum(after - 1, 0)
    for same in (before, after):  # one frame is enough where it is there
        here = np.abs(seconds[same] - times) < _SAME_SECONDS
        before, after = np.where(here, same, before), np.where(here, same, after)
    gap = seconds[after] - seconds[before]
    share = np.where(gap > 0, (times - seconds[before]) / np.where(gap > 0, gap, 1), 0)
    inside = (times > seconds[before] - _SAME_SECONDS) & (times < seconds[after] + _SAME_SECONDS)
    known = inside & valid[before] & valid[after] & (gap < LONGEST_GAP_SECONDS)
    known &= (before == after) | ~scene_start[after]
    part = share.astype(np.float32)[known, None]
    found[known] = (1 - part) * delta[before[known]] + part * delta[after[known]]
    return found, known


def believable(landmark_error: FrameValues, valid: FrameMask) -> FrameMask:
    """Valid fits whose landmarks [px] are not much further off than most of the clip's are."""
    if not valid.any():
        return valid
    return np.asarray(valid & (landmark_error <= _DOUBTFUL * np.median(landmark_error[valid])))


def calibration(
    real: Float32[np.ndarray, "tick 64"], made: Float32[np.ndarray, "tick 64"]
) -> tuple[Float32[np.ndarray, "64"], Float32[np.ndarray, "64"]]:
    """What brings made expressions to the spread and the mean of the real ones of the same ticks.

    Returns:
        Factors 0.5..3, and summands after them; 1 and 0 where the ticks are too few to tell.
    """
    if len(real) < _LEAST_TICKS:
        return np.ones(real.shape[1], np.float32), np.zeros(real.shape[1], np.float32)
    spread = real.std(0) / np.maximum(made.std(0), 1e-6)
    ratio = np.clip(spread, _LEAST_RATIO, _MOST_RATIO).astype(np.float32)
    return ratio, np.asarray(real.mean(0) - ratio * made.mean(0), np.float32)


def mouth_expression(motion: TickMouths, basis: FaceBasis) -> Float32[np.ndarray, "tick 64"]:
    """The most probable expression of mouths of which nothing else is known.

    Args:
        motion: Displacement from the neutral mouth, canonical [face heights].
        basis: The own one (`models.face_basis`), whose first vertices are the face mesh's points.
    """
    rows = basis.expression.reshape(basis.n_vertices, 3, -1)[list(MOUTH)]
    offsets = rows.movedim(-1, 0).double().numpy()
    wanted = motion.astype(np.float64) * FACE_HEIGHT * np.array([1, -1, -1])
    seen = Components(offsets, np.ones(len(offsets)))
    found = coefficients(wanted, seen, noise=NOISE * FACE_HEIGHT)
    return np.asarray(found, np.float32)
