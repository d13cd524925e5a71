"""Wav2Lip's log-mel spectrogram: 80 bands, 80 columns a second, -4..4.

Convention: sound is mono float32 in -1..1 at 16 kHz. Column c is centred on sample 200 c, that is
on c / 80 s. Beyond the ends there are zeros (librosa 0.9 and later, as IP-LAP and VideoReTalking
run) or the sound reflected (librosa 0.7, with which Wav2Lip's checkpoints were trained); only the
first two and the last two columns differ. The steps and constants are those of Wav2Lip's `audio.py`
and `hparams.py`. The filter bank is librosa's (Slaney scale and norm).
"""

from functools import cache
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from models.arrays import Mel
from models.audio.mel_bank import mel_bank

SAMPLE_RATE = 16_000
"""Samples a second [Hz]."""
WINDOW = 800
"""Samples under one column's (periodic) Hann window, and the size of the transform."""
HOP = 200
"""Samples from one column to the next."""
COLUMNS_PER_SECOND = SAMPLE_RATE // HOP
N_MELS = 80
FMIN_HZ, FMAX_HZ = 55.0, 7600.0
PREEMPHASIS = 0.97
REFERENCE_DB = 20.0
FLOOR_DB = -100.0
MAX_ABS = 4.0
"""Silence is -MAX_ABS, the loudest sound MAX_ABS."""

CHUNK = 16
"""Columns that a network sees for one frame: 0.2 s."""

BLOCK = 2048
"""Columns computed at a time: 25.6 s, about 30 MB of work space."""

Ends = Literal["zeros", "reflect"]


@runtime_checkable
class Samples(Protocol):
    """What a waveform must offer: an array, a memory map or a stored array that slices."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, key: slice, /) -> object: ...


def n_columns(samples: int) -> int:
    """Mel columns of a waveform of so many samples."""
    return 1 + samples // HOP if samples else 0


def mel_spectrogram(waveform: Samples, *, ends: Ends = "zeros") -> Mel:
    """Log-mel columns of a waveform, in -4..4.

    Args:
        waveform: (sample,) float32 in -1..1 at 16 kHz; read block by block.
        ends: what lies beyond the ends of the sound.
    """
    if len(waveform.shape) != 1:
        raise ValueError(f"a waveform is (sample,), got {waveform.shape}; mix channels down first")
    end = n_columns(waveform.shape[0])
    found = np.empty((end, N_MELS), np.float32)
    for first in range(0, end, BLOCK):
        stop = min(first + BLOCK, end)
        found[first:stop] = _scaled(_magnitude(waveform, first, stop, ends) @ mel_basis().T)
    return found


def _magnitude(waveform: Samples, start: int, stop: int, ends: Ends) -> NDArray[np.float64]:
    """Magnitudes (column, 401) of columns [start, stop) from the samples under their windows."""
    first, last = start * HOP - WINDOW // 2, (stop - 1) * HOP + WINDOW // 2
    if ends == "reflect":
        at = _reflected(np.arange(first, last), waveform.shape[0])
        low = int(at.min())
        emphasised = _emphasised(waveform, low, int(at.max()) + 1)[at - low]
    else:
        emphasised = _emphasised(waveform, first, last)
    windows = np.lib.stride_tricks.sliding_window_view(emphasised, WINDOW)[::HOP]
    magnitude: NDArray[np.float64] = np.abs(np.fft.rfft(windows * _window(), axis=-1))
    return magnitude


def _reflected(places: NDArray[np.int64], samples: int) -> NDArray[np.int64]:
    """Places outside [0, samples) mirrored at the first and the last sample."""
    period = max(2 * (samples - 1), 1)
    places = places % period
    return np.minimum(places, period - places) if samples > 1 else places


def _scaled(magnitude: NDArray[np.float64]) -> NDArray[np.float32]:
    """Decibels, FLOOR_DB..0 over the reference mapped to -MAX_ABS..MAX_ABS and clipped to it."""
    decibel = 20.0 * np.log10(np.maximum(1e-5, magnitude)) - REFERENCE_DB
    scaled = 2 * MAX_ABS * (decibel - FLOOR_DB) / -FLOOR_DB - MAX_ABS
    clipped: NDArray[np.float64] = np.clip(scaled, -MAX_ABS, MAX_ABS)
    return clipped.astype(np.float32)


def _emphasised(waveform: Samples, start: int, stop: int) -> NDArray[np.float64]:
    """Samples [start, stop) after pre-emphasis, zeros outside the waveform."""
    n = waveform.shape[0]
    low, high = max(start, 0), min(stop, n)
    before = max(low - 1, 0)
    raw = np.asarray(waveform[before:high]).astype(np.float64)
    if not np.isfinite(raw).all():
        raise ValueError(f"samples {before} to {high} of the waveform hold NaN or infinity")
    sound = raw.copy()
    sound[1:] -= PREEMPHASIS * raw[:-1]
    return np.pad(sound[low - before :], (low - start, stop - high))


@cache
def _window() -> NDArray[np.float64]:
    """Periodic Hann window (WINDOW,)."""
    window: NDArray[np.float64] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    return window


@cache
def mel_basis() -> Float64[np.ndarray, "80 401"]:
    """Triangular filters, mel band by frequency bin: Slaney's scale, unit area each."""
    return mel_bank(SAMPLE_RATE, WINDOW, N_MELS, FMIN_HZ, FMAX_HZ).astype(np.float64)
