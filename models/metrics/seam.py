"""How visible the border of a pasted mouth is: gradients across the border of its mask."""

import cv2
import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from models.arrays import Crop, MeshPoints
from models.faces.crop.masks import lower_face_mask

Normals = Float32[np.ndarray, "size size 2"]  # x, y at each pixel, of length 1 or 0

_ALONG = 0.02
"""How far along the border gradients are averaged before their size counts, so that texture
cancels out and a step of one sign does not. A share of the crop's side."""


def border(
    points: MeshPoints, size: int
) -> tuple[Float32[np.ndarray, "{size} {size}"], Float32[np.ndarray, "{size} {size} 2"]]:
    """The border of the lower-face mask: its weight 0..1 and normal x, y at each pixel of the crop.

    Args:
        points: the mesh [crop px]; x and y first.
        size: Side of the crop [px].
    """
    mask = lower_face_mask(points, size).astype(np.float32) / np.float32(255)
    across = np.stack([_slope(mask, 1, 0), _slope(mask, 0, 1)], axis=-1)
    steepness = np.linalg.norm(across, axis=-1, keepdims=True)
    normal = across / np.maximum(steepness, 1e-6)
    weight = np.where((mask > 0.25) & (mask < 0.75), 1, 0).astype(np.float32)
    return weight, np.asarray(normal, np.float32)


def border_energy(image: Crop, weight: Float32[np.ndarray, "size size"], normal: Normals) -> float:
    """Mean size [levels per px] of the gradient across a border; nan where there is no border.

    Args:
        image: RGB.
        weight: of `border`.
        normal: of `border`.
    """
    if not weight.any():
        return float("nan")
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    across = (_slope(luma, 1, 0) * normal[..., 0] + _slope(luma, 0, 1) * normal[..., 1]) * weight
    sigma = max(1.0, _ALONG * len(image))
    smooth = cv2.GaussianBlur(np.asarray(across, np.float32), (0, 0), sigma)
    share = cv2.GaussianBlur(weight, (0, 0), sigma)
    inside = weight > 0
    return float(np.mean(np.abs(smooth[inside] / share[inside])))


def _slope(image: NDArray[np.float32], x: int, y: int) -> NDArray[np.float32]:
    """Derivative [per px] along x or y (Sobel)."""
    return np.asarray(cv2.Sobel(image, cv2.CV_32F, x, y, scale=1 / 8), np.float32)
