"""The part of a frame around a face, converted to RGB alone: most of a frame is never touched."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.faces.crop.crop import beginning_at, covered, cut
from models.faces.crop.warp import Box
from stores.media.frame import Frame

_MARGIN_PX = 4
"""Cubic interpolation looks two pixels around."""


@dataclass(frozen=True)
class Area:
    """A rectangle of a frame.

    Attributes:
        x0: Left edge [px].
        y0: Upper edge [px].
        rgb: (h, w, 3) uint8 RGB.
        transform: (2, 3) float32, area px to crop px.
    """

    x0: int
    y0: int
    rgb: NDArray[np.uint8]
    transform: NDArray[np.float32]

    def crop(self, size: int) -> NDArray[np.uint8]:
        """The aligned crop (size, size, 3) uint8 RGB."""
        return cut(self.rgb, self.transform, size)


def area_of_crop(frame: Frame, transform: NDArray[np.float32], size: int) -> Area | None:
    """The rectangle that a crop of `size` px covers; None if it lies outside the frame.

    Args:
        transform: (2, 3) float32, frame px to crop px.
    """
    rect = around(frame, transform, Box(0, size, 0, size))
    if rect is None:
        return None
    rgb = frame.crop_rgb(rect.x0, rect.y0, rect.x1, rect.y1)
    return Area(rect.x0, rect.y0, rgb, beginning_at(transform, rect.x0, rect.y0))


def around(frame: Frame, transform: NDArray[np.float32], box: Box) -> Box | None:
    """The rectangle of a frame [px] that a box of a crop covers, and some px more; None: outside.

    Args:
        transform: (2, 3) float32, frame px to crop px.
        box: [crop px].
    """
    return covered(box, transform, (frame.height, frame.width), margin=_MARGIN_PX)


def crop_of(frame: Frame, transform: NDArray[np.float32], size: int) -> NDArray[np.uint8]:
    """The aligned crop (size, size, 3) uint8 RGB; black if it lies outside the frame."""
    area = area_of_crop(frame, transform, size)
    return np.zeros((size, size, 3), np.uint8) if area is None else area.crop(size)
