"""Joins the coarse structure of a small generated face and the fine detail of own pixels."""

import cv2
import numpy as np
from jaxtyping import UInt8

from models.arrays import Crop, CropMask, Transform
from models.faces.crop.crop import pixel_matrix
from models.faces.crop.rendered import PATCH_MARGIN

CUT_PX = 2.0
"""What is finer than so many pixels of the generated face comes from the other."""


def with_detail(
    face: UInt8[np.ndarray, "side side 3"], own: Crop, mask: CropMask, *, transform: Transform
) -> Crop:
    """A patch with the coarse structure of the face and the fine structure of the own pixels.

    Args:
        face: RGB, generated.
        own: RGB, the patch of own pixels, black away from its mask.
        mask: 0 where the patch is not seen.
        transform: The face's px → px of the patch.

    Returns:
        RGB, black where `own` is.
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
