"""What Meta Talk and AudioDVP hear around a moment: 28 steps of 10 ms, seven frames at 25 Hz.

Ticks come 25 times a second; tick t's window is made of the samples from 1920 before 640 t on, with
silence beyond the ends of the sound, and so is centred on the frame from t to t + 1.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float32

from models.audio.mfcc import HOP, SAMPLE_RATE, WINDOW, log_mel, mfcc

TICKS_PER_SECOND = 25
STEPS = 28
"""Steps in a window."""
BANDS = 80
COEFFICIENTS = 12
"""MFCCs of AT-net: without the log energy, so loudness does not matter."""
TICK_SAMPLES = SAMPLE_RATE // TICKS_PER_SECOND
TICK_STEPS = TICK_SAMPLES // HOP
BEFORE = 1920
"""Samples from the beginning of a window to its tick."""
LEAST_LOG = float(np.log(1e-9))
"""Of a band of logmel80: digital silence is no quieter than a quiet room."""

Sounds = Literal["mfcc80", "logmel80", "mfcc12"]
"""80 cepstra of 80 filters, the first the log energy; the logarithms of these filters' energies;
coefficients 1 to 12 of 26 filters."""


def n_ticks(samples: int) -> int:
    """Ticks at which a waveform of so many samples is heard."""
    return -(-samples // TICK_SAMPLES)


def samples_of(start: int, stop: int) -> tuple[int, int]:
    """First sample, and the one after the last, that the windows of ticks [start, stop) hear."""
    first = start * TICK_SAMPLES - BEFORE - HOP  # a step early: each sample takes from the next
    steps = (stop - start - 1) * TICK_STEPS + STEPS
    return first, first + steps * HOP + WINDOW


def windows(
    samples: Float32[np.ndarray, " sample"], kind: Sounds
) -> Float32[np.ndarray, "tick 28 band"]:
    """Features about consecutive ticks.

    Args:
        samples: All of `samples_of` these ticks, -1..1 at 16 kHz.
        kind: What they tell of a step: 80 numbers or 12.
    """
    if kind == "mfcc80":
        steps = mfcc(samples, filters=BANDS, cepstra=BANDS, transform=1024)
    elif kind == "logmel80":
        steps = np.maximum(log_mel(samples, filters=BANDS, transform=1024), np.float32(LEAST_LOG))
    else:
        steps = mfcc(samples)[:, 1 : 1 + COEFFICIENTS]
    found = np.lib.stride_tricks.sliding_window_view(steps[1:], STEPS, axis=0)[::TICK_STEPS]
    return np.ascontiguousarray(found.swapaxes(1, 2))
