"""Soft masks of a face and of the part of it that speech moves, from its mesh."""

import cv2
import numpy as np
from numpy.typing import NDArray

from models.arrays import MeshPoints, SizedMask
from models.faces.mesh.indices import JAW

_Floats = NDArray[np.float32]
_Image = NDArray[np.uint8]

_NOSE_BASE = 2
"""Mesh point under the nose: the mask fades out above it."""

_ROOM = 0.06
"""How far beyond the outline the mask goes, for a jaw that opens wider than it is seen to; and over
which it fades. A share of the crop's side."""


def lower_face_mask(points: MeshPoints, size: int) -> SizedMask:
    """Mask of jaw, cheeks and mouth in the crop: 255 inside, 0 outside and on the border.

    Args:
        points: the mesh [crop px]; x and y first.
        size: Side of the crop [px].
    """
    room = max(1, round(_ROOM * size))
    mask = _hull(points[list(JAW), :2], size)
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * room + 1, 2 * room + 1))
    mask = np.asarray(cv2.dilate(mask, around), np.uint8)
    mask[: max(0, int(points[_NOSE_BASE, 1]) - room)] = 0
    return _faded(mask, room)


def whole_face_mask(points: MeshPoints, size: int) -> SizedMask:
    """Mask of the whole face in the crop, with room for a jaw that opens wider: 255 inside.

    Args:
        points: the mesh [crop px]; x and y first.
        size: Side of the crop [px].
    """
    return np.asarray(np.maximum(face_mask(points, size), lower_face_mask(points, size)))


def face_mask(points: MeshPoints, size: int) -> SizedMask:
    """Mask of the whole face from chin to hairline in the crop: 255 inside, fading inwards to 0.

    Args:
        points: the mesh [crop px]; x and y first.
        size: Side of the crop [px].
    """
    room = max(1, round(_ROOM * size))
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * room + 1, 2 * room + 1))
    return _faded(np.asarray(cv2.erode(_hull(points[:, :2], size), around), np.uint8), room)


def _hull(points: _Floats, size: int) -> _Image:
    outline = cv2.convexHull(np.ascontiguousarray(points))
    mask = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(mask, np.round(outline * 16 - 8).astype(np.int32), (255,), shift=4)
    return mask


def _faded(mask: _Image, room: int) -> _Image:
    """Blurred over `room` px on either side of its edge, and 0 at the border of the crop."""
    mask[:room], mask[-room:], mask[:, :room], mask[:, -room:] = 0, 0, 0, 0
    fade = 2 * room + 1
    soft = cv2.GaussianBlur(mask, (fade, fade), room / 2.5, borderType=cv2.BORDER_CONSTANT)
    soft[0], soft[-1], soft[:, 0], soft[:, -1] = 0, 0, 0, 0
    return np.asarray(soft, np.uint8)
