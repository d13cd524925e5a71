"""Correlation of two series."""

import math

import numpy as np
from jaxtyping import Float


def correlation(one: Float[np.ndarray, " value"], other: Float[np.ndarray, " value"]) -> float:
    """Of two series; no number where one of them does not move."""
    if min(one.std(), other.std()) < 1e-6:
        return math.nan
    return float(np.corrcoef(one, other)[0, 1])
