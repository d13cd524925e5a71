"""A clip's usable parts: one scene, one face seen throughout."""

import numpy as np
from jaxtyping import Float32


def windows_between(first: float, last: float, window: float, count: int) -> slice:
    """Windows of a length that lie, by their middle, in [first, last); all in seconds."""
    start, stop = (int(np.ceil(at / window - 0.5 - 1e-9)) for at in (first, last))
    return slice(min(max(start, 0), count), min(max(stop, 0), count))


def mean_or_nan(values: Float32[np.ndarray, " n"]) -> float:
    """Mean of the finite values; NaN where there is none."""
    known = values[np.isfinite(values)]
    return float(known.mean(dtype=np.float64)) if len(known) else float("nan")
