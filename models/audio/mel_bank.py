"""Triangular filters that gather the bins of a Fourier transform into mel bands."""

import numpy as np
from jaxtyping import Float32


def mel_bank(
    sample_rate: int, window: int, bands: int, fmin: float = 0.0, fmax: float | None = None
) -> Float32[np.ndarray, "{bands} {window}//2+1"]:
    """Slaney's mel scale, each filter of unit area: the numbers of `librosa.filters.mel`.

    The scale is librosa's; its module of filters, which takes a second to import for what is not
    needed here, is left alone.

    Args:
        sample_rate: [Hz].
        window: Samples of the transform.
        bands: How many.
        fmin: Where the first band begins [Hz].
        fmax: Where the last one ends [Hz]; None: half of the sample rate.
    """
    import librosa  # half a second, which a run from the store need not spend

    edges = librosa.mel_frequencies(bands + 2, fmin=fmin, fmax=fmax or sample_rate / 2)
    slopes = np.subtract.outer(edges, librosa.fft_frequencies(sr=sample_rate, n_fft=window))
    widths = np.diff(edges)[:, None]
    rising, falling = -slopes[:-2] / widths[:-1], slopes[2:] / widths[1:]
    bank = np.asarray(np.maximum(0, np.minimum(rising, falling)), np.float32)
    bank *= (2 / (edges[2:] - edges[:-2]))[:, None]
    return bank
