"""The local parabolas are scipy's."""

import numpy as np
import pytest
from scipy.signal import savgol_filter

from models.faces.smooth import smooth_landmarks


@pytest.mark.parametrize(("frames", "rate"), [(40, 50.0), (7, 50.0), (9, 90.0), (300, 25.0)])
def test_they_are_those_of_savitzky_and_golay(frames: int, rate: float) -> None:
    values = np.random.default_rng(1).normal(300, 50, (frames, 3, 2)).astype(np.float32)
    seen, cuts = np.ones(frames, bool), np.arange(frames) == 0
    window = min(2 * round((0.13 * rate - 1) / 2) + 1, frames - 1 + frames % 2)
    found = smooth_landmarks(values, seen, scene_start=cuts, frame_rate_hz=rate)
    if window < 5:
        inner = 0.2 * values[:-2] + 0.6 * values[1:-1] + 0.2 * values[2:]
        np.testing.assert_allclose(found[1:-1], inner, rtol=1e-5)
    else:
        wanted = savgol_filter(values, window, 2, axis=0, mode="interp")
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-3)
