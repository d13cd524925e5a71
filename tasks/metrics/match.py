"""Which frame of the reference stands beside each of the result: the one shown at its time."""

import numpy as np
from numpy.typing import NDArray

from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import Schema, series
from tasks.engine.stage import Made, stage
from tasks.source.timeline import load_timeline

MATCH = Schema(
    "match",
    {"reference": series("row of the reference, -1 after its end", dtype="int64")},
    {},
    "Frames of a result and of its reference that are shown at the same time.",
)


@stage(MATCH, version=1)
def match(result: Artifact, reference: Artifact) -> Made:
    """The reference's frame nearest in time to each of the result's.

    Args:
        result: Its timeline.
        reference: Its timeline.
    """
    shown, there = load_timeline(result), load_timeline(reference)
    times, grid = shown.seconds - shown.seconds[0], there.seconds - there.seconds[0]
    rows = nearest(grid, times)
    end = float(there.end_pts * there.time_base) - there.seconds[0]
    rows[times >= end] = -1
    return Made({"reference": rows.astype(np.int64)})


def nearest(times: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.int64]:
    """The row of `times`, which increase, that is nearest to each wanted time."""
    right = np.clip(np.searchsorted(times, wanted), 1, max(len(times) - 1, 1))
    right = np.minimum(right, len(times) - 1)
    left = np.maximum(right - 1, 0)
    return np.where(wanted - times[left] <= times[right] - wanted, left, right)
