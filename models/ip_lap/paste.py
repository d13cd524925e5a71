"""IP-LAP's own way to paste: the generated frame inside the face's contour, else the original."""

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from models.arrays import Mask, MeshPoints, Picture, SizedMask
from models.ip_lap.landmarks import CONTOUR

_CONTOUR = (*range(17), *range(26, 16, -1))
"""Of 68 landmarks: the jaw from the right ear to the left, then the brows back."""
_KERNEL, _SIGMA = 21, 11.0


def face_contour_mask(
    landmarks68: Float32[np.ndarray, "68 2"], frame_size: tuple[int, int]
) -> UInt8[np.ndarray, "{frame_size[0]} {frame_size[1]}"]:
    """The convex-filled contour of jaw and brows.

    Args:
        landmarks68: x first [frame px].
        frame_size: Height and width of the frame [px].

    Returns:
        0 and 255.

    Raises:
        ValueError: there are not 68 landmarks.
    """
    if landmarks68.shape != (68, 2):
        raise ValueError(f"landmarks must be (68, 2), got {landmarks68.shape}")
    mask = np.zeros(frame_size, np.uint8)
    cv2.fillConvexPoly(mask, landmarks68[list(_CONTOUR)].astype(np.int32), (255,))
    return mask


def keep_contour(frame: Picture, generated: Picture, mask: Mask) -> Picture:
    """The generated frame where the blurred mask is, the original elsewhere.

    Args:
        frame: The original.
        generated: The frame with the generated face pasted into its box.
        mask: From `face_contour_mask`.

    Returns:
        A new array, in the colour order of the frames.

    Raises:
        ValueError: shapes differ.
    """
    if not frame.shape[:2] == generated.shape[:2] == mask.shape:
        raise ValueError(f"shapes differ: {frame.shape}, {generated.shape}, mask {mask.shape}")
    result = frame.copy()
    left, top, width, height = cv2.boundingRect(mask)
    if width == 0:
        return result
    # A kernel's width around the mask is all that the blur reaches, borders included.
    part = np.s_[
        max(top - _KERNEL, 0) : top + height + _KERNEL,
        max(left - _KERNEL, 0) : left + width + _KERNEL,
    ]
    blurred = cv2.GaussianBlur(mask[part], (_KERNEL, _KERNEL), _SIGMA)
    share = blurred[..., None] / 255
    result[part] = generated[part] * share + frame[part] * (1 - share)
    return result


def crop_contour_mask(points: MeshPoints, size: int, *, zoom: float) -> SizedMask:
    """The blurred mask of the face's contour from the face mesh, in a crop.

    The blur is as wide as that of `keep_contour` in the frame.

    Args:
        points: The mesh, x, y and whatever else [crop px].
        size: Side of the crop [px].
        zoom: Crop px per frame px.

    Returns:
        0..255, 0 on the border.
    """
    mask = np.zeros((size, size), np.uint8)
    outline = cv2.convexHull(np.ascontiguousarray(points[list(CONTOUR), :2]))
    cv2.fillConvexPoly(mask, np.round(outline * 16 - 8).astype(np.int32), (255,), shift=4)
    kernel = 2 * max(1, round(_KERNEL * zoom / 2)) + 1
    soft = cv2.GaussianBlur(mask, (kernel, kernel), max(_SIGMA * zoom, 0.3))
    soft[0], soft[-1], soft[:, 0], soft[:, -1] = 0, 0, 0, 0
    return np.asarray(soft, np.uint8)
