"""Lower-face crops: their place in the frame, and the cutting.

An aligned crop is a square of `size` px around the lower face, from the nose bridge to the neck,
upright and of one face size whatever the head does in the image plane. A native crop shows the same
part of the face as it was filmed: a copy of the frame's own pixels. A transform is an affine 2 x 3
matrix and maps frame px to crop px (see `models.faces`) unless said otherwise.
"""

import cv2
import numpy as np
from jaxtyping import Float, Float64, UInt8

from models.arrays import (
    Affine,
    Boxes,
    FrameMask,
    FrameValues,
    Picture,
    Points3D,
    SizedCrop,
    Transform,
    Transforms,
)
from models.faces.crop.warp import Box
from models.faces.mesh.align import Pose

CROP_SIDE = 0.96
"""Side of the crop [face heights]."""

CROP_CENTRE = (0.0, 0.56, -0.05)
"""Centre of the crop, canonical: between mouth and chin."""

SIZE_STEP = 32
"""Crop sizes are multiples of this [px]."""

_WHOLE_PX = 0.01
"""So near to a whole number of px is one: transforms are kept in single precision."""


def crop_size(scale: FrameValues, valid: FrameMask, *, max_size: int = 512) -> int:
    """Side [px] that keeps the median face at native sharpness: a multiple of 32 up to max_size.

    Args:
        scale: `Pose.scale` [frame px per face height].
        valid: the face is seen.
        max_size: largest side [px].
    """
    if not valid.any():
        raise ValueError("no valid frame: a crop size needs at least one face")
    native = CROP_SIDE * float(np.median(scale[valid]))
    return int(np.clip(SIZE_STEP * np.ceil(native / SIZE_STEP), 3 * SIZE_STEP, max_size))


def crop_transforms(pose: Pose, *, size: int) -> Transforms:
    """Similarity transforms, frame px → crop px, from the head's pose."""
    centre = np.broadcast_to(np.array(CROP_CENTRE, np.float32), (len(pose.scale), 1, 3))
    at = pose.to_image(centre)[:, 0, :2]
    roll = np.arctan2(pose.rotation[:, 1, 0], pose.rotation[:, 0, 0])
    zoom = size / (CROP_SIDE * np.maximum(pose.scale, 1e-6))
    c, s = np.cos(roll) * zoom, np.sin(roll) * zoom
    linear = np.stack([np.stack([c, s], -1), np.stack([-s, c], -1)], axis=1)
    offset = size / 2 - np.einsum("fij,fj->fi", linear, at)
    return np.asarray(np.concatenate([linear, offset[:, :, None]], axis=2), np.float32)


def native_crops(pose: Pose, valid: FrameMask, *, max_size: int) -> tuple[int, Transforms]:
    """Side [px] and transforms of native crops, which hold the aligned ones whole.

    Faces so large that their crop would not fit, and the largest twentieth, are scaled down.

    Args:
        pose: the head's, in every frame.
        valid: the face is seen; the transform is zeros where not.
        max_size: largest side [px].
    """
    if not valid.any():
        raise ValueError("no valid frame: a crop size needs at least one face")
    aligned = crop_transforms(pose, size=1)[:, :, :2].astype(np.float64)
    # A square that leans needs a larger upright one around it.
    side = np.abs(np.linalg.inv(aligned)).sum(axis=2).max(axis=1)
    wanted = SIZE_STEP * np.ceil(np.quantile(side[valid], 0.95) / SIZE_STEP)
    size = int(np.clip(wanted, 3 * SIZE_STEP, max_size))
    side = np.maximum(side, size)
    return size, square_transforms(pose, valid, centre=CROP_CENTRE, side=side, size=size)


def square_transforms(
    pose: Pose,
    valid: FrameMask,
    *,
    centre: tuple[float, float, float],
    side: Float[np.ndarray, " frame"],
    size: int,
) -> Transforms:
    """Upright squares around a point of the head: frame px → crop px.

    They are of whole frame px: those of the crop's own size are copied, and others resized along
    rows and columns, at a tenth of the cost of any other transform.

    Args:
        pose: the head's, in every frame.
        valid: the face is seen; the transform is zeros where not.
        centre: canonical.
        side: of the squares [frame px].
        size: Side of the crop [px].
    """
    points = np.broadcast_to(np.array(centre, np.float32), (len(side), 1, 3))
    whole = np.maximum(np.rint(side), 1).astype(np.int64)[:, None]
    corner = np.rint(pose.to_image(points)[:, 0, :2] - whole / 2).astype(np.int64)
    return box_transforms(np.concatenate([corner, corner + whole], 1), valid, size=size)


def face_squares(pose: Pose, transforms: Transforms) -> Transforms:
    """Where in each crop the aligned crop lies: from its sides, 0..1, to the px of the crop.

    Args:
        pose: the head's, in every frame.
        transforms: frame px → crop px.
    """
    aligned = crop_transforms(pose, size=1)
    back = np.linalg.inv(aligned[:, :, :2].astype(np.float64))
    linear = transforms[:, :, :2] @ back
    offset = transforms[:, :, 2] - np.einsum("fij,fj->fi", linear, aligned[:, :, 2])
    return np.asarray(np.concatenate([linear, offset[:, :, None]], axis=2), np.float32)


def copied(transform: Transform) -> tuple[int, int] | None:
    """How far (x, y) a transform moves whole pixels; None if it does anything else to them."""
    x, y = transform[:, 2].tolist()
    if (transform[:, :2] == np.eye(2)).all() and x.is_integer() and y.is_integer():
        return int(x), int(y)
    return None


def beginning_at(transform: Transform, x0: int, y0: int) -> Transform:
    """The same transform from the px of the area that begins at x0, y0 of the frame."""
    moved = transform.copy()
    moved[:, 2] += moved[:, :2] @ np.array([x0, y0], np.float32)
    return moved


def to_crop(points: Points3D, transform: Transforms) -> Points3D:
    """Points in frame px → the same in crop px; z scales along."""
    zoom = np.hypot(transform[:, 0, 0], transform[:, 1, 0])
    xy = np.einsum("fij,fpj->fpi", transform[:, :, :2], points[..., :2])
    xy = xy + transform[:, None, :, 2]
    return np.asarray(np.concatenate([xy, points[..., 2:] * zoom[:, None, None]], -1), np.float32)


def pixel_matrix(transform: Transform) -> Affine:
    """The same map for cv2, whose pixel centres lie on integers."""
    matrix: Affine = transform.astype(np.float64)
    matrix[:, 2] += matrix[:, :2] @ np.array([0.5, 0.5]) - 0.5
    return matrix


def box_transforms(boxes: Boxes, valid: FrameMask, *, size: int) -> Transforms:
    """Transforms that stretch a box over a crop: frame px → crop px.

    Args:
        boxes: x1, y1, x2, y2 in whole frame px, ends excluded.
        valid: the box is known; the transform is zeros where not.
        size: Side of the crop [px].
    """
    corner = boxes[:, :2].astype(np.float64)
    zoom = size / np.maximum(boxes[:, 2:] - corner, 1)
    transforms = np.zeros((len(boxes), 2, 3))
    transforms[:, [0, 1], [0, 1]] = zoom
    transforms[:, :, 2] = -corner * zoom
    return np.asarray(transforms * valid[:, None, None], np.float32)


def upright_box(transform: Transform, size: int) -> Box:
    """The box of whole frame px that an upright crop was cut from.

    Args:
        transform: frame px → crop px, without rotation.
        size: Side of the crop [px].
    """
    x0, y0, x1, y1 = np.rint(_ends(transform, size)).astype(int).tolist()
    return Box(y0, y1, x0, x1)


def whole_box(transform: Transform, size: int) -> Box | None:
    """The box of whole picture px that a crop shows upright; None if it shows anything else.

    Args:
        transform: picture px → crop px.
        size: Side of the crop [px].
    """
    if transform[0, 1] or transform[1, 0] or min(transform[0, 0], transform[1, 1]) <= 0:
        return None
    ends = _ends(transform, size)
    apart = np.abs(ends - np.rint(ends)).max()
    return upright_box(transform, size) if apart <= _WHOLE_PX else None


def _ends(transform: Transform, size: int) -> Float64[np.ndarray, "4"]:
    """x0, y0, x1, y1 of what an upright crop shows [picture px]."""
    zoom = transform[[0, 1], [0, 1]].astype(np.float64)
    low = -transform[:, 2] / zoom
    return np.concatenate([low, low + size / zoom])


def cut(image: Picture, transform: Transform, size: int) -> SizedCrop:
    """The crop of a picture, both RGB.

    Beyond the frame's edge the edge pixels go on. Where the crop is much smaller than the source
    it is averaged, so that nothing aliases.
    """
    zoom = float(np.hypot(transform[0, 0], transform[1, 0]))
    shrink = int(np.clip(round(1 / max(zoom, 1e-3)), 1, 8))
    if (box := whole_box(transform, size)) is not None:
        part = _copy(image, box)
        how = cv2.INTER_AREA if shrink > 1 else cv2.INTER_CUBIC
        same = part.shape[:2] == (size, size)
        return part if same else np.asarray(cv2.resize(part, (size, size), interpolation=how))
    crop = cv2.warpAffine(
        image,
        pixel_matrix(transform * np.float32(shrink)),
        (size * shrink, size * shrink),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    if shrink > 1:
        crop = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(crop, np.uint8)


def _copy(image: Picture, box: Box) -> UInt8[np.ndarray, "y x 3"]:
    """The part of a picture in a box, beyond its edges the edge pixels."""
    h, w = image.shape[:2]
    rows, columns = box.y1 - box.y0, box.x1 - box.x0
    # What lies beyond an edge is alike everywhere: there the box is moved until it touches it.
    y0 = min(max(box.y0, 1 - rows), h - 1)
    x0 = min(max(box.x0, 1 - columns), w - 1)
    above, left = max(0, -y0), max(0, -x0)
    below, right = max(0, y0 + rows - h), max(0, x0 + columns - w)
    inner = image[y0 + above : y0 + rows - below, x0 + left : x0 + columns - right]
    if inner.shape[:2] == (rows, columns):
        return np.ascontiguousarray(inner)
    edges = (above, below, left, right)
    return np.asarray(cv2.copyMakeBorder(inner, *edges, cv2.BORDER_REPLICATE), np.uint8)


def covered(
    box: Box, transform: Transform, shape: tuple[int, ...], *, margin: int = 0
) -> Box | None:
    """The rectangle of a picture (frame or area) that a box of the crop covers; None if outside it.

    Args:
        box: whole crop px.
        transform: picture px → crop px.
        shape: (h, w, ...) of the picture.
        margin: px added on every side, as far as the picture goes.
    """
    inverse = cv2.invertAffineTransform(transform.astype(np.float64))
    corners = np.array([[x, y] for x in (box.x0, box.x1) for y in (box.y0, box.y1)])
    placed = corners @ inverse[:, :2].T + inverse[:, 2]
    low = np.floor(placed.min(0)).astype(int) - margin
    high = np.ceil(placed.max(0)).astype(int) + margin
    y0, y1 = max(0, int(low[1])), min(shape[0], int(high[1]))
    x0, x1 = max(0, int(low[0])), min(shape[1], int(high[0]))
    return Box(y0, y1, x0, x1) if y1 - y0 > 1 and x1 - x0 > 1 else None
