"""Squares about a face, cut out of frames and given to networks."""

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stores.artifacts.source import Source
from stores.media.read import read_frames
from stores.media.timeline import Timeline
from tasks.engine.stage import Shard
from tasks.inference.runner import Runner
from tasks.source.area import crop_of

Rows = NDArray[np.int64]


def squares(
    video: Source, clip: Timeline, rows: Rows, transforms: NDArray[np.float32], side: int
) -> NDArray[np.uint8]:
    """Squares (row, side, side, 3) RGB, cut at twice their size and halved.

    Args:
        rows: Ascending frames; neighbours are decoded in one go.
        transforms: (row, 2, 3) frame px to px of the square.
    """
    found = np.zeros((len(rows), side, side, 3), np.uint8)
    for run in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(rows) != 1) + 1):
        if len(run):
            first, last = int(rows[run[0]]), int(rows[run[-1]])
            frames = read_frames(video.path, clip, first, last + 1)
            for at, frame in zip(run, frames, strict=True):
                crop = crop_of(frame, 2 * transforms[at], 2 * side)
                cv2.resize(crop, (side, side), dst=found[at], interpolation=cv2.INTER_AREA)
    return found


def through_network(
    runner: Runner,
    video: Source,
    clip: Timeline,
    *,
    transforms: NDArray[np.float32],
    side: int,
    valid: NDArray[np.bool_],
    shards: Sequence[Shard],
) -> Iterator[tuple[Rows, NDArray[Any] | None]]:
    """Valid rows of each shard, and what a network makes of their squares; None where none is.

    Args:
        runner: Of a network that takes (batch, side, side, 3) RGB 0..255.
        transforms: (frame, 2, 3) frame px to px of the square.
        side: Of the squares [px].
        valid: (frame,) there is a square.
    """
    rows = [np.flatnonzero(valid[s.start : s.stop]) + s.start for s in shards]
    made = runner.map(
        (squares(video, clip, each, transforms[each], side),) for each in rows if len(each)
    )
    for each in rows:
        yield each, next(made) if len(each) else None
