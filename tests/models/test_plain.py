"""Layers in NumPy."""

import numpy as np
from scipy.special import erf

from models.blocks.plain import gelu


def test_gelu_is_that_of_the_exact_error_function() -> None:
    x = np.linspace(-8, 8, 20001, dtype=np.float32)[:, None]
    wide = x.astype(np.float64)
    exact = wide * 0.5 * (1 + erf(wide / np.sqrt(2)))
    assert np.abs(gelu(x) - exact).max() < 2e-6
    assert gelu(np.zeros((1, 1), np.float32))[0, 0] == 0
