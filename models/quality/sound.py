"""Loudness, clipping and speech of a recording, in windows of 20 ms."""

import numpy as np
from jaxtyping import Bool, Float32

from models.arrays import Waveform
from models.metrics.lips import LEVEL_SECONDS, levels_db, silent_and_sounding

Levels = Float32[np.ndarray, " window"]  # a number for each window

CLIPPED_LEVEL = 0.999
"""Samples of this size and more are at the end of their scale."""

LOUD_QUANTILE = 0.95
"""How loud a recording is, is the level that so many of its windows stay under."""

WINDOW_SECONDS = LEVEL_SECONDS


def window_levels(
    samples: Waveform, rate: int
) -> tuple[Levels, Levels, Bool[np.ndarray, " window"]]:
    """Level [dB of full scale], share of clipped samples 0..1, and presence of speech by window.

    Speech is a plain energy gate: what lies no more than 25 dB under the recording's loud parts.

    Args:
        samples: -1..1, from time 0 on; the rest that fills no window is left out.
        rate: samples a second.
    """
    levels = levels_db(samples, rate)
    length = round(WINDOW_SECONDS * rate)
    whole = samples[: len(levels) * length].reshape(-1, length)
    clipped = (np.abs(whole) >= CLIPPED_LEVEL).mean(-1)
    middle = (np.arange(len(levels)) + 0.5) * WINDOW_SECONDS
    _, sounding = silent_and_sounding(levels, middle)
    return levels.astype(np.float32), clipped.astype(np.float32), sounding
