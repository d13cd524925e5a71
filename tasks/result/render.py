"""What every method gives to the composite: new mouths in crops, one row per output frame."""

import numpy as np
from numpy.typing import NDArray

from models.faces.crop.rendered import SHIFT_GRID
from stores.artifacts.schema import ArraySpec, Schema
from tasks.engine.stage import Arrays
from tasks.source.pictures import PIXEL_SHARD, STEP_PX, TRANSFORM, marks, pictures

Pictures = NDArray[np.uint8]

RENDER = Schema(
    "render",
    {
        "patch": pictures("y", "x", "rgb", doc="RGB 0..255, in crop px; black away from the mask"),
        "mask": pictures("y", "x", doc="0 frame .. 255 patch"),
        "own_shift": ArraySpec(
            ("frame", "v", "u", "xy"),
            "float32",
            "crop px",
            "how the frame's own pixels move",
            shard=PIXEL_SHARD,
            step=STEP_PX,
        ),
        "transform": TRANSFORM,
        "valid": marks("the mouth was made anew"),
    },
    {"rgb": 3, "row": 2, "column": 3, "xy": 2, "v": SHIFT_GRID, "u": SHIFT_GRID},
    "New mouths, one row per output frame, in the aligned crops' coordinates.",
)


def render_rows(
    *,
    patch: Pictures,
    mask: Pictures,
    transform: NDArray[np.float32],
    valid: NDArray[np.bool_],
    own_shift: NDArray[np.float32] | None = None,
) -> Arrays:
    """The arrays of a shard of a `render`.

    Args:
        patch: (frame, size, size, 3) uint8 RGB, new mouths [crop px].
        mask: (frame, size, size) uint8, 0 frame .. 255 patch.
        transform: (frame, 2, 3) float32, frame px to crop px.
        valid: (frame,) whether the mouth was made anew.
        own_shift: (frame, SHIFT_GRID, SHIFT_GRID, 2) float32 [crop px], how the frame's own pixels
            move; None if they stay.
    """
    if own_shift is None:
        own_shift = np.zeros((len(patch), SHIFT_GRID, SHIFT_GRID, 2), np.float32)
    return {
        "patch": np.ascontiguousarray(patch),
        "mask": np.ascontiguousarray(mask),
        "own_shift": own_shift,
        "transform": transform,
        "valid": valid,
    }
