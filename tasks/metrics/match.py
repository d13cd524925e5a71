"""Which frame of the reference stands beside each of the result: the one shown at its time."""

import numpy as np

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
    right = np.clip(np.searchsorted(grid, times), 1, max(len(grid) - 1, 1))
    right = np.minimum(right, len(grid) - 1)
    left = np.maximum(right - 1, 0)
    rows = np.where(times - grid[left] <= grid[right] - times, left, right)
    end = float(there.end_pts * there.time_base) - there.seconds[0]
    rows[times >= end] = -1
    return Made({"reference": rows.astype(np.int64)})
