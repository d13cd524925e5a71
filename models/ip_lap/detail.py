"""A small generated face as guidance: what is coarse from it, what is fine from own pixels."""

import cv2
import numpy as np
from numpy.typing import NDArray

from models.faces.crop.crop import pixel_matrix
from models.faces.crop.rendered import PATCH_MARGIN

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]

CUT_PX = 2.0
"""What is finer than so many pixels of the generated face comes from the other."""


def with_detail(face: Image, own: Image, mask: Image, *, transform: Floats) -> Image:
    """A patch with the face's coarse and the own pixels' fine structure.

    Args:
        face: (n, n, 3) uint8 RGB, generated.
        own: (size, size, 3) uint8 RGB, the patch of own pixels, black away from its mask.
        mask: (size, size) uint8.
        transform: (2, 3) float32, the face's px → px of the patch.

    Returns:
        (size, size, 3) uint8 RGB, black where `own` is.
    """
    size = (own.shape[1], own.shape[0])
    placed = cv2.warpAffine(
        face, pixel_matrix(transform), size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    reach = 2 * PATCH_MARGIN + 1
    drawn = cv2.dilate(mask, np.ones((reach, reach), np.uint8)) > 0
    sigma = CUT_PX * float(np.sqrt(abs(np.linalg.det(transform[:, :2]))))
    share = drawn.astype(np.float32)
    apart = (placed.astype(np.float32) - own) * share[..., None]
    coarse = cv2.GaussianBlur(apart, (0, 0), sigma)
    weight = cv2.GaussianBlur(share, (0, 0), sigma)
    made = own + coarse / np.maximum(weight, 1e-3)[..., None] * share[..., None]
    return np.asarray(np.clip(np.rint(made), 0, 255), np.uint8)
