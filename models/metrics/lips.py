"""How near moving lips are to the true ones, how steady a face is, and whether a mouth rests.

Points are x and y in canonical coordinates (see `models.faces`), so in face heights. What can't be
told of a frame is NaN.
"""

import numpy as np
from jaxtyping import Float32, Float64

from models.arrays import FrameMask, FrameValues, Points2D, Seconds, Waveform

LONGEST_STEP_SECONDS = 0.2
"""Frames further apart are not neighbours: the video stood still or was cut."""
SAME_TIME = 0.05
"""Frames nearer in time than this share of a step are taken as they are."""

LEVEL_SECONDS = 0.02
"""Loudness is of windows of this length, one after the other."""
SILENCE_BELOW_LOUD_DB = 35.0
"""So far below a recording's loud parts there is silence ..."""
SILENCE_DB = -60.0
"""... and below this [dB of full scale] in any case."""
SOUND_BELOW_LOUD_DB = 25.0
"""Speech sounds where it is no further below the loud parts; between the two neither is said."""
AFTER_SOUND_SECONDS, BEFORE_SOUND_SECONDS = 0.24, 0.2
"""A mouth needs time to close, and opens before it sounds: that much of a silence is left out."""


def neighbours(seconds: Seconds, *, valid: FrameMask, scene_start: FrameMask) -> FrameMask:
    """Whether a frame and the one before it show the same face, one step apart."""
    joined = np.zeros(len(seconds), bool)
    step = np.diff(seconds)
    joined[1:] = valid[1:] & valid[:-1] & ~scene_start[1:] & (step < LONGEST_STEP_SECONDS)
    return joined


def at_seconds(
    points: Points2D,
    seconds: Seconds,
    joined: FrameMask,
    valid: FrameMask,
    wanted: Float64[np.ndarray, " row"],
) -> Float32[np.ndarray, "row point 2"]:
    """Points at wanted times, linear between frames; NaN where unknown.

    Args:
        points: of each frame.
        seconds: ascending, their times.
        joined: of `neighbours`.
        valid: the points are known.
        wanted: times [s].
    """
    last = len(seconds) - 1
    after = np.clip(np.searchsorted(seconds, wanted), min(1, last), last)
    before = np.maximum(after - 1, 0)
    gap = np.maximum(seconds[after] - seconds[before], 1e-9)
    share = (wanted - seconds[before]) / gap
    early, late = share < SAME_TIME, share > 1 - SAME_TIME
    inside = (share > -SAME_TIME) & (share < 1 + SAME_TIME)
    known = inside & np.where(early, valid[before], np.where(late, valid[after], joined[after]))
    part = np.where(early, 0, np.where(late, 1, share)).astype(np.float32)[:, None, None]
    # Where nothing is known the other frame's points must not count, not even times zero.
    mixed = np.where(part < 1, (1 - part) * points[before], 0)
    mixed = mixed + np.where(part > 0, part * points[after], 0)
    return np.where(known[:, None, None], mixed, np.nan).astype(np.float32)


def distance(points: Points2D, truth: Points2D) -> FrameValues:
    """Mean distance between points and truth [face heights]."""
    return np.asarray(np.linalg.norm(points - truth, axis=-1).mean(-1), np.float32)


def velocity(points: Points2D, seconds: Seconds, joined: FrameMask) -> Points2D:
    """Motion since the frame before [face heights a second]; NaN where there is none."""
    moved = np.full(points.shape, np.nan, np.float32)
    step = np.maximum(np.diff(seconds), 1e-9)[:, None, None]
    moved[1:] = np.diff(points, axis=0) / step
    moved[~joined] = np.nan
    return moved


def speed(points: Points2D, seconds: Seconds, joined: FrameMask) -> FrameValues:
    """Mean speed of the points [face heights a second]; NaN where unknown."""
    return np.asarray(np.linalg.norm(velocity(points, seconds, joined), axis=-1).mean(-1))


def acceleration(points: Points2D, seconds: Seconds, joined: FrameMask) -> FrameValues:
    """Mean size of the points' acceleration [face heights a second squared]; NaN where unknown."""
    found = np.full(len(points), np.nan, np.float32)
    if len(points) < 3:
        return found
    moved = velocity(points, seconds, joined)
    between = ((seconds[2:] - seconds[:-2]) / 2)[:, None, None]
    change = (moved[2:] - moved[1:-1]) / between
    found[1:-1] = np.linalg.norm(change, axis=-1).mean(-1)
    return found


def levels_db(samples: Waveform, rate: int) -> Float64[np.ndarray, " window"]:
    """Level [dB of full scale] of windows of LEVEL_SECONDS; the rest is left out.

    Args:
        samples: -1..1.
        rate: samples a second.
    """
    length = round(LEVEL_SECONDS * rate)
    windows = samples[: len(samples) // length * length].reshape(-1, length)
    power = np.square(windows, dtype=np.float64).mean(-1)
    return np.asarray(10 * np.log10(np.maximum(power, 1e-12)))


def silent_and_sounding(
    levels: Float64[np.ndarray, " window"], seconds: Seconds
) -> tuple[FrameMask, FrameMask]:
    """Which moments lie well within silence, and at which speech sounds.

    Args:
        levels: of `levels_db`, the whole recording, from time 0; silence before and after it.
        seconds: the moments.
    """
    if not len(levels):
        return np.ones(len(seconds), bool), np.zeros(len(seconds), bool)
    loud = float(np.quantile(levels, 0.95))
    quiet = levels < max(loud - SILENCE_BELOW_LOUD_DB, SILENCE_DB)
    sound = ~quiet & (levels > loud - SOUND_BELOW_LOUD_DB)
    lead, trail = (round(s / LEVEL_SECONDS) for s in (BEFORE_SOUND_SECONDS, AFTER_SOUND_SECONDS))
    # A window is well within silence if nothing sounded shortly before nor sounds shortly after.
    noise = np.pad((~quiet).astype(np.int64), (trail, lead))
    around = np.lib.stride_tricks.sliding_window_view(noise, trail + lead + 1).max(-1)
    at = np.floor(seconds / LEVEL_SECONDS + 1e-6).astype(np.int64)
    inside = (at >= 0) & (at < len(levels))
    row = np.clip(at, 0, len(levels) - 1)
    beyond = (at < -lead) | (at >= len(levels) + trail)
    return np.where(inside, around[row] == 0, beyond), inside & sound[row]
