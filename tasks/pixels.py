"""The part of a frame around a face, converted to RGB alone: most of a frame is never touched."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.face_crop.crop import cut
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
    """The rectangle that an aligned crop covers; None if it lies outside the frame.

    Args:
        transform: (2, 3) float32, frame px to crop px.
        size: Side of the crop [px].
    """
    inverse = cv2.invertAffineTransform(transform.astype(np.float64))
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]]) @ inverse[:, :2].T
    low = np.floor((corners + inverse[:, 2]).min(0)).astype(int) - _MARGIN_PX
    high = np.ceil((corners + inverse[:, 2]).max(0)).astype(int) + _MARGIN_PX
    x0, y0 = max(0, int(low[0])), max(0, int(low[1]))
    x1, y1 = min(frame.width, int(high[0])), min(frame.height, int(high[1]))
    if x1 - x0 < 2 or y1 - y0 < 2:
        return None
    moved = transform.copy()
    moved[:, 2] += moved[:, :2] @ np.array([x0, y0], np.float32)
    return Area(x0, y0, frame.crop_rgb(x0, y0, x1, y1), moved)
