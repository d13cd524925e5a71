"""Mel-frequency cepstral coefficients (MFCC) of python_speech_features 0.6: 13, 100 times a second.

SyncNet feeds on int16 sound, AudioDVP's AT-net on float sound in -1..1; only coefficient 0, the log
energy, depends on the scale (but for digital silence).
"""

from functools import cache

import numpy as np
from jaxtyping import Float32, Float64, Num
from numpy.typing import NDArray
from scipy.fft import dct

SAMPLE_RATE = 16_000
"""Samples a second [Hz]."""
WINDOW = 400
"""Samples under a step (25 ms), unweighted."""
HOP = 160
"""Samples from one step to the next (10 ms)."""
TRANSFORM = 512
N_FILTERS = 26
N_CEPSTRA = 13
PREEMPHASIS = 0.97
LIFTER = 22
EPSILON = float(np.finfo(np.float64).eps)
"""Stands for zero energy before the logarithm."""


def n_steps(samples: int) -> int:
    """Steps of a waveform of so many samples; the tail counts as zero padded, at least one step."""
    return 1 + max(0, -(-(samples - WINDOW) // HOP))


def mfcc(waveform: Num[np.ndarray, " sample"]) -> Float32[np.ndarray, "step 13"]:
    """Cepstral coefficients; coefficient 0 is the logarithm of the step's energy.

    Args:
        waveform: int16 or float at 16 kHz, taken as it is.
    """
    if waveform.ndim != 1 or not len(waveform):
        raise ValueError(f"a waveform is (sample,) and not empty, got {waveform.shape}")
    sound = waveform.astype(np.float64)
    sound[1:] -= PREEMPHASIS * waveform[:-1].astype(np.float64)
    steps = n_steps(len(sound))
    sound = np.pad(sound, (0, (steps - 1) * HOP + WINDOW - len(sound)))
    windows = np.lib.stride_tricks.sliding_window_view(sound, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(windows, TRANSFORM)) ** 2 / TRANSFORM
    bands = np.log(_above_zero(power @ filter_bank().T))
    cepstra = dct(bands, type=2, axis=1, norm="ortho")[:, :N_CEPSTRA]
    cepstra *= 1 + LIFTER / 2 * np.sin(np.pi * np.arange(N_CEPSTRA) / LIFTER)
    cepstra[:, 0] = np.log(_above_zero(power.sum(axis=1)))
    return np.asarray(cepstra, np.float32)


@cache
def filter_bank() -> Float64[np.ndarray, "26 257"]:
    """Triangular filters over frequency bins, evenly spaced in mel from 0 to 8 kHz."""
    top_mel = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    corners_hz = 700 * (10 ** (np.linspace(0, top_mel, N_FILTERS + 2) / 2595) - 1)
    corners = np.floor((TRANSFORM + 1) * corners_hz / SAMPLE_RATE)[:, None]
    bins = np.arange(TRANSFORM // 2 + 1)
    low, middle, high = corners[:-2], corners[1:-1], corners[2:]
    rising = (bins - low) / (middle - low)
    falling = (high - bins) / (high - middle)
    filters: NDArray[np.float64] = np.maximum(0, np.minimum(rising, falling))
    return filters


def _above_zero(energy: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(energy == 0, EPSILON, energy)
