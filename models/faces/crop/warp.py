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

GridField = Float32[np.ndarray, "c grid grid"]  # numbers for each cell of the raster

_Floats = NDArray[np.float32]
_Ints = NDArray[np.int32]

_SUBPIXEL_BITS = 4


@dataclass(frozen=True)
class Raster:
    """Which triangle covers each grid cell, and where in it the cell's centre lies.

    Attributes:
        triangle: row of `triangles`; -1 where none.
        along: how far the centre lies along the triangle's two edges from its first corner, in
            their lengths.
        triangles: rows of the vertices.
    """

    triangle: Int32[np.ndarray, "grid grid"]
    along: Float32[np.ndarray, "2 grid grid"]
    triangles: Int32[np.ndarray, "triangle 3"]

    def interpolate(self, values: Float32[np.ndarray, "vertex c"]) -> GridField:
        """Values at the vertices → values at the grid's cells, linear in each triangle; else 0."""
        a, b, c = (values[self.triangles[:, corner]].T for corner in range(3))
        table = np.stack([a, b - a, c - a])
        table = np.concatenate([table, np.zeros_like(table[..., :1])], axis=-1)  # the one of -1
        field, one, other = np.take(table, self.triangle, axis=-1)
        one *= self.along[0]
        other *= self.along[1]
        field += one
        field += other
        return np.asarray(field)


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
    fill, each = cv2.fillConvexPoly, list(fixed)  # by place: names cost as much as the drawing
    for triangle in order.tolist():
        fill(index, each[triangle], triangle, cv2.LINE_8, _SUBPIXEL_BITS)
    return Raster(index, _along(index, corners), triangles)


def _along(index: _Ints, corners: _Floats) -> _Floats:
    """Where the cells' centres lie along the edges of their triangles (2, grid, grid)."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    ab, ac = b - a, c - a
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    area = np.where(np.abs(area) < 1e-4, np.float32(np.inf), area)
    by_x = np.stack([ac[:, 1], -ab[:, 1]]) / area
    by_y = np.stack([-ac[:, 0], ab[:, 0]]) / area
    start = -(a[:, 0] * by_x + a[:, 1] * by_y)
    along, x, y = np.take(np.stack([start, by_x, by_y]), index, axis=-1)
    cells = np.arange(len(index), dtype=np.float32) + np.float32(0.5)
    x *= cells
    y *= cells[:, None]
    along += x
    along += y
    # Cells on a thin triangle's rim may lie a little outside of it; far outside is never meant.
    return np.asarray(np.clip(along, -0.5, 1.5, out=along))


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


def part_of_field(
    field: Float32[np.ndarray, "grid grid 2"], box: Box, size: int
) -> Float32[np.ndarray, "{box.y1}-{box.y0} {box.x1}-{box.x0} 2"]:
    """Linear interpolation of a field of the grid's cells at the crop's pixels inside a box.

    Args:
        field: x, y on a raster.
        box: [crop px].
        size: side of the crop [px].
    """
    cell = len(field) / size
    start = [cell * (low + 0.5) - 0.5 for low in (box.x0, box.y0)]
    matrix = np.array([[cell, 0, start[0]], [0, cell, start[1]]])
    part = cv2.warpAffine(
        field,
        matrix,
        (box.x1 - box.x0, box.y1 - box.y0),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(part, np.float32)


def remap(
    image: UInt8[np.ndarray, "size size c"],
    shift: Float32[np.ndarray, "h w 2"],
    box: Box,
    *,
    sharp: bool = True,
) -> UInt8[np.ndarray, "h w c"]:
    """Move pixels: out(p) = image(p + shift(p)) inside a box.

    Args:
        image: any colours.
        shift: x, y [crop px], in the box.
        box: the part that is wanted.
        sharp: cubic rather than linear interpolation, at six times the cost.
    """
    map_x: _Floats = shift[..., 0] + np.arange(box.x0, box.x1, dtype=np.float32)
    map_y: _Floats = shift[..., 1] + np.arange(box.y0, box.y1, dtype=np.float32)[:, None]
    how = cv2.INTER_CUBIC if sharp else cv2.INTER_LINEAR
    out = cv2.remap(image, map_x, map_y, how, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out, np.uint8)
