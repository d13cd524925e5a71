"""Mel-frequency cepstral coefficients (MFCC) of python_speech_features 0.6, 100 times a second.

SyncNet feeds on int16 sound, AudioDVP's AT-net and Meta Talk on float sound in -1..1; of the
cepstra only coefficient 0, the log energy, depends on the scale (but for digital silence).
"""

from functools import cache

import numpy as np
from jaxtyping import Float32, Float64, Num
from librosa import feature
from numpy.typing import NDArray

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


def mfcc(
    waveform: Num[np.ndarray, " sample"],
    *,
    filters: int = N_FILTERS,
    cepstra: int = N_CEPSTRA,
    transform: int = TRANSFORM,
) -> Float32[np.ndarray, "step {cepstra}"]:
    """Cepstral coefficients; coefficient 0 is the logarithm of the step's energy.

    Args:
        waveform: int16 or float at 16 kHz, taken as it is.
        filters: Bands of the spectrum (`nfilt`).
        cepstra: Coefficients that are kept, at most `filters` (`numcep`).
        transform: Length of the Fourier transform (`nfft`), long enough for `filter_bank`.
    """
    power = _power(waveform, transform)
    bands = np.log(_above_zero(power @ filter_bank(filters, transform).T))
    found = feature.mfcc(S=bands.T, n_mfcc=cepstra).T  # their lifter begins at 1, this one at 0
    found *= 1 + LIFTER / 2 * np.sin(np.pi * np.arange(cepstra) / LIFTER)
    found[:, 0] = np.log(_above_zero(power.sum(axis=1)))
    return np.asarray(found, np.float32)


def log_mel(
    waveform: Num[np.ndarray, " sample"], *, filters: int, transform: int
) -> Float32[np.ndarray, "step {filters}"]:
    """The logarithms of the bands' energies, of which `mfcc` makes its coefficients.

    Args:
        waveform: int16 or float at 16 kHz, taken as it is.
        filters: Bands of the spectrum.
        transform: Length of the Fourier transform, long enough for `filter_bank`.
    """
    bands = _power(waveform, transform) @ filter_bank(filters, transform).T
    return np.asarray(np.log(_above_zero(bands)), np.float32)


@cache
def filter_bank(
    filters: int = N_FILTERS, transform: int = TRANSFORM
) -> Float64[np.ndarray, "{filters} bin"]:
    """Triangular filters over frequency bins, evenly spaced in mel from 0 to 8 kHz.

    Raises:
        ValueError: the bins are too coarse for so many filters.
    """
    top_mel = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    corners_hz = 700 * (10 ** (np.linspace(0, top_mel, filters + 2) / 2595) - 1)
    corners = np.floor((transform + 1) * corners_hz / SAMPLE_RATE)[:, None]
    if (np.diff(corners, axis=0) < 1).any():
        raise ValueError(f"{filters} filters need a Fourier transform longer than {transform}")
    bins = np.arange(transform // 2 + 1)
    low, middle, high = corners[:-2], corners[1:-1], corners[2:]
    rising = (bins - low) / (middle - low)
    falling = (high - bins) / (high - middle)
    found: NDArray[np.float64] = np.maximum(0, np.minimum(rising, falling))
    return found


def _power(waveform: Num[np.ndarray, " sample"], transform: int) -> NDArray[np.float64]:
    """Power spectrum (step, bin) of the sound with its treble raised."""
    if waveform.ndim != 1 or not len(waveform):
        raise ValueError(f"a waveform is (sample,) and not empty, got {waveform.shape}")
    sound = waveform.astype(np.float64)
    sound[1:] -= PREEMPHASIS * waveform[:-1].astype(np.float64)
    steps = n_steps(len(sound))
    sound = np.pad(sound, (0, (steps - 1) * HOP + WINDOW - len(sound)))
    windows = np.lib.stride_tricks.sliding_window_view(sound, WINDOW)[::HOP]
    return np.asarray(np.abs(np.fft.rfft(windows, transform)) ** 2 / transform)


def _above_zero(energy: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(energy == 0, EPSILON, energy)
