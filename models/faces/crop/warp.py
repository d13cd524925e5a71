"""Piecewise-linear warps between two shapes of one mesh, as dense maps for cv2.remap.

Vertices and displacements are in crop px (see `models.faces`), x first. Triangles are drawn on a
grid coarser than the crop, and the field of displacements is interpolated from there.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, Int32, Shaped, UInt8
from numpy.typing import NDArray

from models.arrays import Mask

GridField = Float32[np.ndarray, "grid grid c"]  # numbers for each cell of the raster

_Floats = NDArray[np.float32]
_Ints = NDArray[np.int32]

_SUBPIXEL_BITS = 4


@dataclass(frozen=True)
class Raster:
    """Which triangle covers each grid cell, and where in it the cell's centre lies.

    Attributes:
        triangle: row of `triangles`; -1 where none.
        weight: barycentric coordinates in that triangle.
        triangles: rows of the vertices.
    """

    triangle: Int32[np.ndarray, "grid grid"]
    weight: Float32[np.ndarray, "grid grid 3"]
    triangles: Int32[np.ndarray, "triangle 3"]

    def interpolate(self, values: Float32[np.ndarray, "vertex c"]) -> GridField:
        """Values at the vertices → values at the grid's cells, linear in each triangle."""
        corners = values[self.triangles[self.triangle]]
        return np.asarray(np.einsum("yxk,yxkc->yxc", self.weight, corners), np.float32)


def rasterise(
    vertices: Float32[np.ndarray, "vertex 2"],
    triangles: Int32[np.ndarray, "triangle 3"],
    *,
    depth: Float32[np.ndarray, " vertex"],
    size: int,
    grid: int,
) -> Raster:
    """Draw the mesh on a grid x grid raster of a size x size crop, far triangles first.

    Args:
        vertices: [crop px].
        triangles: rows of the vertices.
        depth: larger is farther.
        size: side of the crop [px].
        grid: side of the raster [cells].
    """
    scale = grid / size
    corners = vertices[triangles] * scale
    order = np.argsort(-depth[triangles].mean(1), kind="stable")
    fixed = np.round((corners - 0.5) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    index = np.full((grid, grid), -1, np.int32)
    for triangle in order.tolist():
        cv2.fillConvexPoly(index, fixed[triangle], triangle, shift=_SUBPIXEL_BITS)
    return Raster(index, _weights(index, corners), triangles)


def _weights(index: _Ints, corners: _Floats) -> _Floats:
    """Barycentric coordinates (grid, grid, 3) of the cells' centres."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    ab, ac = b - a, c - a
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    area = np.where(np.abs(area) < 1e-4, np.float32(np.inf), area)
    x, y = np.meshgrid(*[np.arange(len(index), dtype=np.float32) + 0.5] * 2)
    at = index
    px, py = x - a[at, 0], y - a[at, 1]
    v = (px * ac[at, 1] - py * ac[at, 0]) / area[at]
    w = (py * ab[at, 0] - px * ab[at, 1]) / area[at]
    # Cells on a thin triangle's rim may lie a little outside of it; far outside is never meant.
    v, w = np.clip(v, -0.5, 1.5), np.clip(w, -0.5, 1.5)
    return np.asarray(np.stack([1 - v - w, v, w], axis=-1), np.float32)


def full_size(field: GridField, size: int) -> Float32[np.ndarray, "{size} {size} c"]:
    """A field of the grid's cells → one of the crop's pixels, by linear interpolation."""
    large = np.asarray(cv2.resize(field, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)
    return large.reshape(size, size, field.shape[2])


@dataclass(frozen=True)
class Box:
    """A rectangle of whole pixels, [y0, y1) x [x0, x1)."""

    y0: int
    y1: int
    x0: int
    x1: int

    def of(self, array: Shaped[np.ndarray, "h w *rest"]) -> Shaped[np.ndarray, "y x *rest"]:
        """The part of an array inside the box, as a view."""
        return array[self.y0 : self.y1, self.x0 : self.x1]


def active_box(amount: Mask, *, margin: int) -> Box | None:
    """The smallest box around all values above 0, grown by a margin [px]; None if there is none."""
    rows = np.flatnonzero(cv2.reduce(amount, 1, cv2.REDUCE_MAX))
    columns = np.flatnonzero(cv2.reduce(amount, 0, cv2.REDUCE_MAX))
    if len(rows) == 0:
        return None
    h, w = amount.shape
    return Box(
        max(0, int(rows[0]) - margin),
        min(h, int(rows[-1]) + 1 + margin),
        max(0, int(columns[0]) - margin),
        min(w, int(columns[-1]) + 1 + margin),
    )


def remap(
    image: UInt8[np.ndarray, "size size c"],
    shift: Float32[np.ndarray, "size size 2"],
    box: Box,
    *,
    sharp: bool = True,
) -> UInt8[np.ndarray, "h w c"]:
    """Move pixels: out(p) = image(p + shift(p)) inside a box.

    Args:
        image: any colours.
        shift: x, y [crop px].
        box: the part that is wanted.
        sharp: cubic rather than linear interpolation, at six times the cost.
    """
    moved = box.of(shift)
    x = np.arange(box.x0, box.x1, dtype=np.float32)
    y = np.arange(box.y0, box.y1, dtype=np.float32)[:, None]
    map_x: _Floats = moved[..., 0] + x
    map_y: _Floats = moved[..., 1] + y
    how = cv2.INTER_CUBIC if sharp else cv2.INTER_LINEAR
    out = cv2.remap(image, map_x, map_y, how, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out, np.uint8)
