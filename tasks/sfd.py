"""Face boxes by S3FD (Zhang et al. 2017) as face-alignment runs it, for users who have its weights.

Slower than the built-in detector, and better at faces that are small, turned or half hidden.
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stores.errors import MissingWeights

HOME_PAGE = "https://www.adrianbulat.com/downloads/python-fan/s3fd-619a316812.pth"

SEARCH_SIDE_PX = 640
"""Frames are scaled down to this before the search."""

MIN_SCORE = 0.5


class SfdBoxes:
    """Finds faces in a frame.

    Args:
        weights: the published file, a plain state dict; nothing else is unpickled from it.

    Raises:
        MissingWeights: the file is not there, or is not this network's.
    """

    def __init__(self, weights: Path) -> None:
        from face_alignment.detection.sfd import FaceDetector

        if not weights.is_file():
            raise MissingWeights(
                f"there is no file {weights}: S3FD's weights (90 MB) are published at {HOME_PAGE}; "
                "get them and give their path as sfd_weights"
            )
        try:
            self._detector = FaceDetector(
                device="cpu", path_to_detector=str(weights), filter_threshold=MIN_SCORE
            )
        except Exception as error:  # torch raises many kinds for files that are something else
            reason = " ".join(str(error).split())[:120]
            raise MissingWeights(
                f"{weights} holds no S3FD weights ({reason}); get them from {HOME_PAGE}"
            ) from error

    def __call__(self, rgb: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Boxes (x0, y0, x1, y1) float32 [px] of a frame (h, w, 3) uint8 RGB, largest first."""
        scale = min(1.0, SEARCH_SIDE_PX / max(rgb.shape[:2]))
        small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        found = self._detector.detect_from_image(small)
        boxes = [np.asarray(box[:4], np.float32) / np.float32(scale) for box in found]
        return sorted(boxes, key=lambda box: -float((box[2] - box[0]) * (box[3] - box[1])))
