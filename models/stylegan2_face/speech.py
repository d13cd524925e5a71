"""What the audio encoder hears: 20 steps of 10 ms of cepstra 1 to 12, centred on a moment."""

from functools import cache

import numpy as np
from jaxtyping import Float32, Float64
from numpy.typing import NDArray
from scipy.fft import dct

from models.audio.mfcc import EPSILON, HOP, LIFTER, PREEMPHASIS, SAMPLE_RATE, WINDOW, n_steps

STEPS = 20
COEFFICIENTS = 12
"""Without the log energy: loudness does not matter, and digital silence is zeros."""
_FILTERS, _TRANSFORM = 13, 512
_LOW_HZ, _HIGH_HZ = 300.0, 3700.0
_PER_SECOND = SAMPLE_RATE / HOP
_MIDDLE = (STEPS - 1) / 2 + WINDOW / HOP / 2
"""Steps from the beginning of a window's first step to its middle."""


def davs_cepstra(
    waveform: Float32[np.ndarray, " sample"],
) -> Float32[np.ndarray, "step coefficient"]:
    """Cepstra 0 to 12 as DAVS's MATLAB tool reckons them, 100 a second.

    Magnitudes under a Hamming window, 13 triangular filters evenly spaced in mel, lifter 22.

    Args:
        waveform: 16 kHz, -1..1.
    """
    sound = waveform.astype(np.float64)
    sound[1:] -= PREEMPHASIS * waveform[:-1].astype(np.float64)
    steps = n_steps(len(sound))
    sound = np.pad(sound, (0, (steps - 1) * HOP + WINDOW - len(sound)))
    windows = np.lib.stride_tricks.sliding_window_view(sound, WINDOW)[::HOP]
    magnitudes = np.abs(np.fft.rfft(windows * np.hamming(WINDOW), _TRANSFORM))
    bands = np.log(np.maximum(magnitudes @ _filters().T, EPSILON))
    found = dct(bands, type=2, axis=1, norm="ortho")
    found *= 1 + LIFTER / 2 * np.sin(np.pi * np.arange(_FILTERS) / LIFTER)
    return np.asarray(found, np.float32)


@cache
def _filters() -> Float64[np.ndarray, "filter bin"]:
    low_mel, high_mel = (1127 * float(np.log1p(hertz / 700)) for hertz in (_LOW_HZ, _HIGH_HZ))
    mel = np.linspace(low_mel, high_mel, _FILTERS + 2)
    corners = 700 * np.expm1(mel / 1127)[:, None]
    bins = np.arange(_TRANSFORM // 2 + 1) * SAMPLE_RATE / _TRANSFORM
    low, middle, high = corners[:-2], corners[1:-1], corners[2:]
    rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
    return np.asarray(np.maximum(0, np.minimum(rising, falling)))


def first_steps(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """First step of the window about each moment (moment,); its middle is 5 ms off at most.

    Args:
        seconds: (moment,) on the sound's clock [s].
    """
    return np.asarray(np.rint(seconds * _PER_SECOND - _MIDDLE), np.int64)


def windows(
    cepstra: Float32[np.ndarray, "step coefficient"], first: NDArray[np.int64]
) -> Float32[np.ndarray, "moment 20 12"]:
    """Windows that begin with these steps; digital silence beyond the ends of the sound.

    Args:
        cepstra: Coefficients 0 to 12 of the steps of a sound, or of a part of it.
        first: (moment,) in these steps.
    """
    steps = first[:, None] + np.arange(STEPS)
    inside = (steps >= 0) & (steps < len(cepstra))
    if not len(cepstra):
        return np.zeros((len(first), STEPS, COEFFICIENTS), np.float32)
    heard = cepstra[np.clip(steps, 0, len(cepstra) - 1), 1 : 1 + COEFFICIENTS]
    return np.asarray(np.where(inside[..., None], heard, np.float32(0)))
