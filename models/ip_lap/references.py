"""Choice of the reference frames that show IP-LAP's networks a person, closed to open mouth."""

from typing import Literal

import numpy as np
from jaxtyping import Int64

from models.arrays import FrameMask, FrameValues, Mouths
from models.faces.mesh.indices import MOUTH
from models.ip_lap.settings import MOST_IMAGES

_UPPER_LIP, _LOWER_LIP = MOUTH.index(0), MOUTH.index(17)
"""Outer middles of the lips."""


def lip_distance(mouth: Mouths) -> FrameValues:
    """Distance of the lips' outer middles, in the unit of the mouth's points (face heights)."""
    apart = mouth[:, _LOWER_LIP, :2] - mouth[:, _UPPER_LIP, :2]
    return np.asarray(np.linalg.norm(apart, axis=-1), np.float32)


def choose_references(
    distance: FrameValues, usable: FrameMask, count: int
) -> Int64[np.ndarray, " {count}"]:
    """Frames at even steps from the most closed to the most open mouth.

    Args:
        distance: Of the lips.
        usable: Frames to choose from.
        count: How many; in a clip with fewer frames some come again.

    Raises:
        ValueError: no frame is usable.
    """
    rows = np.flatnonzero(usable)
    if len(rows) == 0:
        raise ValueError("no frame can be a reference: none shows a face")
    sorted_rows = rows[np.argsort(distance[rows], kind="stable")]
    return np.asarray(sorted_rows[np.arange(count) * (len(rows) - 1) // max(count - 1, 1)])


def reference_count(images: Literal["fifth"] | int, usable_frames: int) -> int:
    """How many reference images: as given, or a fifth of the frames, at most MOST_IMAGES."""
    return int(np.clip(usable_frames // 5, 1, MOST_IMAGES)) if images == "fifth" else images
