"""Windows of speech and landmarks around each frame: five ticks of 25 Hz, at any frame rate.

A frame's window is centred on the frame's own time, so that its middle tick is the frame itself;
at 25 fps the other four are its neighbours, as published. Speech is heard 0.08 s earlier than in
Wav2Lip: a tick's 16 mel columns have it nearly in the middle.
"""

from fractions import Fraction

import numpy as np
from jaxtyping import Float32, Int64

from models.arrays import FrameMask, Mel, Points2D, Seconds
from models.audio.mel import CHUNK, COLUMNS_PER_SECOND, MAX_ABS

WINDOW = 5
"""Ticks that the networks see together, the frame in question in the middle."""

MIDDLE = WINDOW // 2

REFERENCES = 15
"""Frames whose landmarks show the landmark generator a person, as published."""

TICKS_PER_SECOND = 25

_HEARD_BEFORE = 2
"""Ticks by which a mel window begins before its tick."""

MEL_START_SECONDS = -_HEARD_BEFORE / TICKS_PER_SECOND
"""The same as a time [s]: where a mel window begins, from its tick on."""

_SHARE_DIGITS = 6
"""Rounding of shares between two frames, so that a tick on a frame is that frame alone."""


def mel_windows(
    mel: Mel, pts: Int64[np.ndarray, " frame"], time_base: Fraction
) -> Float32[np.ndarray, "frame 5 80 16"]:
    """The mel that is heard at each tick of each frame's window.

    As published, the first two ticks of the speech hear its first columns. After the end of the
    speech there is silence.

    Args:
        mel: 80 columns a second, -4..4.
        pts: Presentation times [time_base].
        time_base: Seconds per tick of `pts`.

    Returns:
        For each frame WINDOW windows of mel, -4..4.
    """
    ahead = np.arange(WINDOW) - MIDDLE - _HEARD_BEFORE
    above, below = time_base.numerator, time_base.denominator
    times = pts.astype(np.int64)[:, None] * (above * TICKS_PER_SECOND) + ahead * below
    first = times * COLUMNS_PER_SECOND // (TICKS_PER_SECOND * below)
    quiet = np.full((CHUNK, mel.shape[1]), -MAX_ABS, np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(np.concatenate([mel, quiet]), CHUNK, axis=0)
    return np.asarray(windows[np.clip(first, 0, len(mel))], np.float32)


def pose_windows(
    points: Points2D,
    sizes: Int64[np.ndarray, "frame 2"],
    seconds: Seconds,
    *,
    run: Int64[np.ndarray, " frame"],
) -> tuple[Float32[np.ndarray, "frame 5 point 2"], Int64[np.ndarray, "frame 5 2"]]:
    """Landmarks at each tick of each frame's window: linear between frames, held at a run's ends.

    Args:
        points: Shares of each frame's box.
        sizes: Height and width of each frame's box [px].
        seconds: Times, growing.
        run: Number of the unbroken run of faces that a frame is in, from `face_runs`.

    Returns:
        WINDOW sets of points for each frame, and the sizes of the nearest frames' boxes [px].
        Zeros in frames that are in no run.
    """
    windows = np.zeros((len(points), WINDOW, *points.shape[1:]), np.float32)
    near_sizes = np.zeros((len(points), WINDOW, 2), np.int64)
    around = (np.arange(WINDOW) - MIDDLE) / TICKS_PER_SECOND
    for number in np.unique(run[run >= 0]):
        rows = np.flatnonzero(run == number)
        times = seconds[rows]
        wanted = np.clip(times[:, None] + around, times[0], times[-1])
        right = np.searchsorted(times, wanted).clip(1 if len(rows) > 1 else 0, len(rows) - 1)
        left = np.maximum(right - 1, 0)
        span = np.where(right > left, times[right] - times[left], 1.0)
        share = np.clip((wanted - times[left]) / span, 0, 1).round(_SHARE_DIGITS)
        mix = share[..., None, None].astype(np.float32)
        windows[rows] = (1 - mix) * points[rows[left]] + mix * points[rows[right]]
        near_sizes[rows] = sizes[rows[np.where(share < 0.5, left, right)]]
    return windows, near_sizes


def face_runs(valid: FrameMask, scene_start: FrameMask) -> Int64[np.ndarray, " frame"]:
    """Number of the unbroken run of faces that each frame is in; -1 for none."""
    begins = valid & (scene_start | ~np.concatenate([[False], valid[:-1]]))
    return np.where(valid, np.cumsum(begins) - 1, -1).astype(np.int64)
