"""Features of a video at other moments than its frames', and the frame that shows who it is."""

import numpy as np
from jaxtyping import Float32, Float64

from models.arrays import FrameMask, FrameValues, Seconds
from models.faces.smooth import valid_runs
from models.metrics.lips import neighbours

HELD_SECONDS = 0.5
"""So long at most a feature stands for what is not seen."""

FrameFeatures = Float32[np.ndarray, "frame feature"]


def at_moments(
    features: FrameFeatures,
    seconds: Seconds,
    wanted: Float64[np.ndarray, " moment"],
    *,
    usable: FrameMask,
    scene_start: FrameMask,
    still: bool = False,
) -> tuple[Float32[np.ndarray, "moment feature"], np.ndarray]:
    """Features at wanted moments, and (moment,) whether there are any.

    Between neighbouring frames they are mixed; over a cut, a gap or a face that can't be used, the
    last ones hold for HELD_SECONDS. A video that begins a little later is held likewise.

    Args:
        features: Of each frame.
        seconds: Their times.
        wanted: [s].
        usable: The frame shows a face that they were told of.
        scene_start: The first frame after each cut.
        still: The frames are a picture, which is always shown.
    """
    count = len(seconds)
    late = (wanted < seconds[0]) & (wanted >= seconds[0] - HELD_SECONDS)
    wanted = np.where(late | still, np.maximum(wanted, seconds[0]), wanted)
    shown = np.searchsorted(seconds, wanted, side="right") - 1
    latest = np.maximum.accumulate(np.where(usable, np.arange(count), -1))
    row = np.where(shown < 0, -1, latest[shown])
    at = np.maximum(row, 0)
    known = (row >= 0) & (still | (wanted - seconds[at] <= HELD_SECONDS + 1e-9))
    after = np.minimum(shown + 1, count - 1)
    joined = neighbours(seconds, valid=usable, scene_start=scene_start)
    mixed = (row == shown) & (after > shown) & joined[after]
    part = (wanted - seconds[at]) / np.maximum(seconds[after] - seconds[at], 1e-9)
    part = np.where(mixed, part, 0)[:, None]
    found = (1 - part) * features[at] + part * features[np.where(mixed, after, at)]
    return (found * known[:, None]).astype(np.float32), known


def smoothed(
    features: FrameFeatures,
    seconds: Seconds,
    *,
    usable: FrameMask,
    scene_start: FrameMask,
    sigma_seconds: float,
) -> FrameFeatures:
    """Features under a Gaussian over time, never across a cut or a gap.

    Args:
        features: Of each frame.
        seconds: Their times.
        usable: Which of them count; the others stay as they are.
        scene_start: The first frame after each cut.
        sigma_seconds: Its standard deviation; 0: they stay as they are.
    """
    out = features.copy()
    for start, stop in valid_runs(usable, scene_start) if sigma_seconds else []:
        run, times = features[start:stop], seconds[start:stop]
        first = np.searchsorted(times, times - 3 * sigma_seconds)
        last = np.searchsorted(times, times + 3 * sigma_seconds, side="right")
        for row, (low, high) in enumerate(zip(first, last, strict=True)):
            weight = np.exp(-0.5 * ((times[low:high] - times[row]) / sigma_seconds) ** 2)
            out[start + row] = weight @ run[low:high] / weight.sum()
    return out


def still_frame(turn: FrameValues, opening: FrameValues, usable: FrameMask) -> int:
    """The frame whose face is most frontal and whose mouth is most closed: least sum of ranks.

    Args:
        turn: Of the head [degrees].
        opening: Of the mouth [face heights].
        usable: Which frames can be taken; at least one.
    """
    rows = np.flatnonzero(usable)
    places = [np.argsort(np.argsort(each[rows], kind="stable")) for each in (turn, opening)]
    return int(rows[np.argmin(places[0] + places[1])])
