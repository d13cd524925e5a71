"""Triangular filters that gather the bins of a Fourier transform into mel bands."""

import numpy as np
from jaxtyping import Float32, Float64

_HZ_PER_MEL = 200 / 3
"""Of Slaney's scale up to 1 kHz."""
_LOG_HZ = 1000.0
_MELS_PER_E = 27 / np.log(6.4)
"""Above it: 27 mels while the frequency grows 6.4 times."""


def mel_bank(
    sample_rate: int, window: int, bands: int, fmin: float = 0.0, fmax: float | None = None
) -> Float32[np.ndarray, "{bands} {window}//2+1"]:
    """Filters of unit area, even on Slaney's mel scale: the numbers of `librosa.filters.mel`.

    Written out because every dub hears speech, and librosa takes a second to import.

    Args:
        sample_rate: [Hz].
        window: Samples of the transform.
        bands: How many.
        fmin: Where the first band begins [Hz].
        fmax: Where the last one ends [Hz]; None: half of the sample rate.
    """
    low, high = to_mel(np.array([fmin, fmax or sample_rate / 2]))
    edges = to_hz(np.linspace(low, high, bands + 2))
    slopes = np.subtract.outer(edges, np.fft.rfftfreq(window, 1 / sample_rate))
    widths = np.diff(edges)[:, None]
    rising, falling = -slopes[:-2] / widths[:-1], slopes[2:] / widths[1:]
    bank = np.asarray(np.maximum(0, np.minimum(rising, falling)), np.float32)
    bank *= (2 / (edges[2:] - edges[:-2]))[:, None]
    return bank


def to_mel(hz: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Slaney's scale (Auditory Toolbox, 1998): even up to 1 kHz, logarithmic above."""
    start = _LOG_HZ / _HZ_PER_MEL
    above = start + _MELS_PER_E * np.log(np.maximum(hz, _LOG_HZ) / _LOG_HZ)
    return np.where(hz < _LOG_HZ, hz / _HZ_PER_MEL, above)


def to_hz(mel: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """The inverse of `to_mel`."""
    start = _LOG_HZ / _HZ_PER_MEL
    above = _LOG_HZ * np.exp(np.maximum(mel - start, 0) / _MELS_PER_E)
    return np.where(mel < start, mel * _HZ_PER_MEL, above)
