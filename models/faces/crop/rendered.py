"""A new mouth in crop coordinates: what every method gives to the compositor."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]

SHIFT_GRID = 32
"""Cells along a side of `Rendered.own_shift`."""

PATCH_MARGIN = 8
"""The patch goes on so far beyond its mask [px]; past that it is black."""


@dataclass(frozen=True)
class Rendered:
    """One frame's mouth in crop px.

    Attributes:
        patch: (size, size, 3) uint8 RGB, black away from the mask.
        mask: (size, size) uint8, 255 = patch only, 0 = frame only; 0 on the border.
        own_shift: (32, 32, 2) float32 [crop px]: the frame's own crop shall show at p what it has
            at p + own_shift(p), before the patch goes on top. 0 on the border.
    """

    patch: Image
    mask: Image
    own_shift: Floats
