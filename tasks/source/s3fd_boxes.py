"""Face boxes by S3FD (Zhang et al. 2017) as face-alignment runs it, for users who have its weights.

Slower than the built-in detector, and better at faces that are small, turned or half hidden.
"""

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import nn

SEARCH_SIDE_PX = 640
"""Frames are scaled down to this before the search."""

MIN_SCORE = 0.5


class SfdBoxes:
    """Finds faces in a frame.

    Args:
        network: `s3fd` of models.published, with its weights.
    """

    def __init__(self, network: "nn.Module") -> None:
        self._network = network

    def __call__(self, rgb: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Boxes (x0, y0, x1, y1) float32 [px] of a frame (h, w, 3) uint8 RGB, largest first."""
        import torch

        from models.faces.detection.boxes import faces
        from models.faces.detection.s3fd import network_input

        scale = min(1.0, SEARCH_SIDE_PX / max(rgb.shape[:2]))
        small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        image = torch.from_numpy(small).permute(2, 0, 1)[None]
        with torch.inference_mode():
            outputs = self._network(network_input(image, convention="face-alignment"))
        (found,) = faces(outputs, min_score=MIN_SCORE)
        boxes = [np.asarray(box[:4] / scale, np.float32) for box in found]
        return sorted(boxes, key=lambda box: -float((box[2] - box[0]) * (box[3] - box[1])))
