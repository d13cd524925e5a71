"""A rendered mouth carried over to another crop of the same frame."""

import cv2
import numpy as np

from models.arrays import Transform
from models.faces.crop.crop import pixel_matrix
from models.faces.crop.rendered import SHIFT_GRID, Rendered


def between(start: Transform, end: Transform) -> Transform:
    """The transform from one crop's px to another's, from those of both, frame px → crop px."""
    whole = np.eye(3)
    whole[:2] = start
    there = np.eye(3)
    there[:2] = end
    return np.asarray((there @ np.linalg.inv(whole))[:2], np.float32)


def recast(rendered: Rendered, transform: Transform, size: int) -> Rendered:
    """The same mouth in a crop of `size` px.

    Args:
        rendered: In its own crop.
        transform: its crop px → the other crop's px.
        size: Side of the other crop [px].
    """
    matrix = pixel_matrix(transform)
    patch = cv2.warpAffine(rendered.patch, matrix, (size, size), flags=cv2.INTER_CUBIC)
    mask = cv2.warpAffine(rendered.mask, matrix, (size, size), flags=cv2.INTER_LINEAR)
    mask[0], mask[-1], mask[:, 0], mask[:, -1] = 0, 0, 0, 0
    old_cell, new_cell = SHIFT_GRID / len(rendered.mask), SHIFT_GRID / size
    grid = transform * np.array([[1, 1, old_cell]], np.float32) * np.float32(new_cell / old_cell)
    shift = cv2.warpAffine(
        rendered.own_shift, pixel_matrix(grid), (SHIFT_GRID, SHIFT_GRID), flags=cv2.INTER_LINEAR
    )
    turned = cv2.transform(shift, transform[:, :2])
    return Rendered(
        np.asarray(patch, np.uint8), np.asarray(mask, np.uint8), np.asarray(turned, np.float32)
    )
