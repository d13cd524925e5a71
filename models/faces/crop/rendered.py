"""A rendered mouth in crop coordinates: what every method gives to the compositor."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from models.arrays import Crop, CropMask

SHIFT_GRID = 32
"""Cells along a side of `Rendered.own_shift`."""

PATCH_MARGIN = 8
"""The patch goes on so far beyond its mask [px]; past that it is black."""


@dataclass(frozen=True)
class Rendered:
    """One frame's mouth, in its crop.

    Attributes:
        patch: RGB, black away from the mask.
        mask: 255 = patch only, 0 = frame only; 0 on the border.
        own_shift: x, y [crop px]: the frame's own crop shall show at p what it has at
            p + own_shift(p), before the patch goes on top. 0 on the border.
    """

    patch: Crop
    mask: CropMask
    own_shift: Float32[np.ndarray, "32 32 2"]
