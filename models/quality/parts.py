"""A clip's usable parts: one scene, one face seen throughout."""

import numpy as np
from jaxtyping import Float32, Int64

from models.arrays import FrameMask


def face_parts(valid: FrameMask, scene_start: FrameMask) -> Int64[np.ndarray, "part 2"]:
    """Ranges of frames [start, stop) with a face, cut at every gap and every cut.

    Args:
        valid: the face is seen.
        scene_start: true for the first frame after each cut.
    """
    goes_on = valid[1:] & valid[:-1] & ~scene_start[1:]
    starts = np.flatnonzero(valid & ~np.append(False, goes_on))
    stops = np.flatnonzero(valid & ~np.append(goes_on, False)) + 1
    return np.asarray(np.stack([starts, stops], axis=1), np.int64)


def windows_between(first: float, last: float, window: float, count: int) -> slice:
    """Windows of a length that lie, by their middle, in [first, last); all in seconds."""
    start, stop = (int(np.ceil(at / window - 0.5 - 1e-9)) for at in (first, last))
    return slice(min(max(start, 0), count), min(max(stop, 0), count))


def mean_or_nan(values: Float32[np.ndarray, " n"]) -> float:
    """Mean of the finite values; NaN where there is none."""
    known = values[np.isfinite(values)]
    return float(known.mean(dtype=np.float64)) if len(known) else float("nan")
