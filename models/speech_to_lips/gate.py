"""Voice activity of a recording, as a factor on motion: silence closes the mouth.

All filters are finite, so the gate of a moment depends on half a second around it and on the
loudness of the recording as a whole.
"""

import numpy as np
from numpy.typing import NDArray

from models.arrays import Mel, TickValues
from models.audio.mel import COLUMNS_PER_SECOND
from models.speech_to_lips.layout import COLUMN_STEP, TICK_STEP, loudness_db

RANGE_DB = 30.0
"""Below the loud parts by so much, a recording's sound is no speech any more."""
FLOOR_DB = -50.5
"""Nor is what is quieter than this; white noise at -50 dB of full scale has -52 dB here."""
CLEAN_FLOOR_DB = -60.0
"""The same for recordings whose own background is quieter ..."""
ABOVE_BACKGROUND_DB = 4.0
"""... by so much."""
CLICK_SECONDS = 0.06
"""Sounds no longer than this, alone in silence, don't open the mouth."""
LEAST_RANGE_DB = 8.0
"""In quiet recordings so much is left to speech, whatever the floor."""
SOFT_DB = 6.0
"""Width of the step between silence and speech."""
STEADY_DB, LIVELY_DB = (-51.0, -46.0), (-62.0, -57.0)
"""A recording whose loud parts lie under the first pair holds no speech at all, if its loudness
is steady, as noise is; under the second, even if it is not."""
LIVELY_RANGE_DB = 12.0
"""From the quiet to the loud parts of a recording that is not steady."""
LEAD_SECONDS = 0.2
"""The mouth begins to open before it sounds ..."""
TRAIL_SECONDS = 0.16
"""... and stays open a little after; pauses shorter than both together don't close it."""
FADE_SECONDS = 0.24
"""From open to closed."""


def speech_gate(mel: Mel) -> TickValues:
    """Voice activity at each tick: 1 while there is speech, 0 in silence, smooth between.

    Args:
        mel: -4..4, the whole recording.
    """
    ticks = n_ticks(len(mel))
    if not len(mel):
        return np.zeros(0, np.float32)
    loudness = loudness_db(mel).astype(np.float64)
    loud = float(np.quantile(loudness, 0.95))
    background = float(np.quantile(loudness, 0.1))
    floor = np.clip(background + ABOVE_BACKGROUND_DB, CLEAN_FLOOR_DB, FLOOR_DB)
    threshold = max(loud - RANGE_DB, min(floor, loud - LEAST_RANGE_DB))
    lively = loud - background > LIVELY_RANGE_DB
    present = _step(loud, *(LIVELY_DB if lively else STEADY_DB))
    active = _step(loudness, threshold, threshold + SOFT_DB) * present
    click, lead, trail, fade = (
        round(seconds * COLUMNS_PER_SECOND)
        for seconds in (CLICK_SECONDS, LEAD_SECONDS, TRAIL_SECONDS, FADE_SECONDS)
    )
    lasting = -_highest(-active, click // 2, click // 2)
    held = _highest(lasting, trail, lead)
    around = fade // 2
    window = np.hanning(2 * around + 3)[1:-1]
    smooth = np.convolve(np.pad(held, around, mode="edge"), window / window.sum(), mode="valid")
    at = np.arange(ticks) * (COLUMN_STEP / TICK_STEP)
    return np.asarray(np.interp(at, np.arange(len(smooth)), smooth), np.float32)


def n_ticks(columns: int) -> int:
    """Ticks of motion that so many mel columns give."""
    return -(-columns * TICK_STEP // COLUMN_STEP)


def _highest(x: NDArray[np.float64], before: int, after: int) -> NDArray[np.float64]:
    """Maximum over a moving window; beyond its ends `x` goes on as it begins and ends."""
    padded = np.pad(x, (before, after), mode="edge")
    highest: NDArray[np.float64] = np.lib.stride_tricks.sliding_window_view(
        padded, before + after + 1
    ).max(-1)
    return highest


def _step(x: NDArray[np.float64] | float, low: float, high: float) -> NDArray[np.float64]:
    """Smooth step: 0 under low, 1 over high."""
    t = np.clip((np.asarray(x) - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))
