"""Whisper's log-mel spectrogram: 80 bands, 100 columns a second.

Sound is mono float32 in -1..1 at 16 kHz. Column c is centred on sample 160 c. The filter bank is
librosa's (Slaney scale and norm); decades are clipped 8 below the loudest, then (x + 4) / 4.
"""

from functools import cache

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from models.arrays import Waveform
from models.audio.mel import Samples
from models.audio.mel_bank import mel_bank

_Array = NDArray[np.float32]

SAMPLE_RATE = 16_000
HOP = 160
"""Samples from one column to the next."""
BANDS = 80
RANGE = 8.0
"""Decades of power below the loudest band at which silence lies."""
_WINDOW = 400
_FLOOR = 1e-10
_BLOCK = 6000


def log_power(samples: Waveform) -> Float32[np.ndarray, "column 80"]:
    """Decades of power in each band, of samples whose ends are context.

    Args:
        samples: HOP * columns + 240, the columns' samples with 200 before the first's centre.
    """
    frames = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(frames * _hann(), axis=1)) ** 2
    decades: _Array = np.log10(np.maximum(power @ _bank().T, _FLOOR)).astype(np.float32)
    return decades


def context(samples: Samples, start: int, columns: int) -> Float32[np.ndarray, " part"]:
    """The samples that `log_power` needs for columns [start, start + columns), or silence."""
    first = start * HOP - _WINDOW // 2
    last = first + (columns - 1) * HOP + _WINDOW
    inside = np.asarray(samples[max(first, 0) : max(last, 0)], np.float32)
    before = max(-first, 0)
    padded = np.zeros(last - first, np.float32)
    padded[before : before + len(inside)] = inside
    return padded


def scaled(
    decades: Float32[np.ndarray, "column 80"], loudest: float
) -> Float32[np.ndarray, "column 80"]:
    """Decades of power as the network takes them.

    Args:
        decades: Of `log_power`.
        loudest: The highest of the whole recording.
    """
    return np.asarray((np.maximum(decades, np.float32(loudest - RANGE)) + 4) / 4)


def n_steps(samples: int) -> int:
    """Steps, of two columns each, of a recording of so many samples."""
    return -(-samples // (2 * HOP))


def loudest(samples: Samples) -> float:
    """Decades of power of the loudest band of a recording; of silence: -10."""
    found, total = -10.0, 1 + samples.shape[0] // HOP
    for start in range(0, total, _BLOCK):
        block = context(samples, start, min(_BLOCK, total - start))
        found = max(found, float(log_power(block).max()))
    return found


@cache
def _hann() -> _Array:
    return np.hanning(_WINDOW + 1)[:-1].astype(np.float32)


@cache
def _bank() -> _Array:
    return mel_bank(SAMPLE_RATE, _WINDOW, BANDS)
