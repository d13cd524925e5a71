"""Wav2Lip's log-mel spectrogram: 80 bands, 80 columns a second, -4..4.

Convention: sound is mono float32 in -1..1 at 16 kHz. Column c is centred on sample 200 c, that is
on c / 80 s; both ends are padded with zeros (librosa 0.9 and later). The steps and constants are
those of Wav2Lip's `audio.py` and `hparams.py`. The filter bank is librosa's (Slaney scale and
norm).
"""

from collections.abc import Iterator
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

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

BLOCK = 2048
"""Columns computed at a time: 25.6 s, about 30 MB of work space."""


class Samples(Protocol):
    """What a waveform must offer: an array, a memory map or a stored array that slices."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, key: slice, /) -> object: ...


def n_columns(samples: int) -> int:
    """Mel columns of a waveform of so many samples."""
    return 1 + samples // HOP if samples else 0


def mel_spectrogram(
    waveform: Samples, *, start: int = 0, stop: int | None = None
) -> NDArray[np.float32]:
    """Log-mel columns [start, stop) of a waveform, the same whichever range is asked for.

    Args:
        waveform: (sample,) float32 in -1..1 at 16 kHz; only the samples needed are read.
        start: first column.
        stop: column after the last; None for all.

    Returns:
        (column, 80) float32 in -4..4.
    """
    blocks = [block for _, block in mel_blocks(waveform, start=start, stop=stop)]
    return np.concatenate(blocks) if blocks else np.zeros((0, N_MELS), np.float32)


def mel_blocks(
    waveform: Samples, *, start: int = 0, stop: int | None = None, columns: int = BLOCK
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The columns [start, stop) in blocks: (first column, (column, 80) float32) each.

    Args:
        waveform: (sample,) float32 in -1..1 at 16 kHz.
        start: first column.
        stop: column after the last; None for all.
        columns: most columns in a block; memory grows with it and nothing else.
    """
    if len(waveform.shape) != 1:
        raise ValueError(f"a waveform is (sample,), got {waveform.shape}; mix channels down first")
    end = n_columns(waveform.shape[0])
    stop = end if stop is None else stop
    if not 0 <= start <= stop <= end:
        raise ValueError(f"columns [{start}, {stop}) are not within the {end} of this waveform")
    for first in range(start, stop, columns):
        last = min(first + columns, stop)
        yield first, _block(waveform, first, last)


def _block(waveform: Samples, start: int, stop: int) -> NDArray[np.float32]:
    """Columns [start, stop) from the samples under their windows."""
    emphasised = _emphasised(waveform, start * HOP - WINDOW // 2, (stop - 1) * HOP + WINDOW // 2)
    windows = np.lib.stride_tricks.sliding_window_view(emphasised, WINDOW)[::HOP]
    magnitude = np.abs(np.fft.rfft(windows * _window(), axis=-1))
    decibel = 20.0 * np.log10(np.maximum(1e-5, magnitude @ mel_basis().T)) - REFERENCE_DB
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
def mel_basis() -> NDArray[np.float64]:
    """Triangular filters (80, 401), mel band by frequency bin: Slaney's scale, unit area each."""
    import librosa.filters  # takes a second to import, which a run from the store need not spend

    basis = librosa.filters.mel(
        sr=SAMPLE_RATE, n_fft=WINDOW, n_mels=N_MELS, fmin=FMIN_HZ, fmax=FMAX_HZ
    )
    return np.asarray(basis, np.float64)
