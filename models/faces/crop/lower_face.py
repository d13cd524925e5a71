"""The lower-face mesh that all warps share: triangles, opacity, spread of mouth motion.

All of it is derived once from the canonical mean face, so that no list of triangles has to be kept.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int32
from numpy.typing import NDArray

from models.arrays import Mesh
from models.faces.crop.crop import CROP_CENTRE, CROP_SIDE
from models.faces.mesh.indices import JAW, LIPS, MOUTH

_Floats = NDArray[np.float32]
_Ints = NDArray[np.int32]

BORDER_POINTS = 16
"""Points on the crop's border; they never move."""

_TOP = 0.06
"""Mesh points above this (canonical y: below the eyes) take no part."""

_JAW_TAPER = 0.30
"""Jaw points higher than this (canonical y) stay: they belong to the ears, not to the jaw."""


@dataclass(frozen=True)
class LowerFace:
    """A mesh of the lower face; its vertices are landmarks, then points on the crop's border.

    Attributes:
        points: numbers of the landmarks among the vertices.
        triangles: rows of the vertices.
        spread: displacement of each landmark vertex = spread @ mouth displacement.
        mask: 0..1, opacity of the new face at each vertex.
        border: x, y of the border vertices, in crop px over the crop's side.
    """

    points: Int32[np.ndarray, " point"]
    triangles: Int32[np.ndarray, "triangle 3"]
    spread: Float32[np.ndarray, "point 57"]
    mask: Float32[np.ndarray, " vertex"]
    border: Float32[np.ndarray, "16 2"]


@lru_cache(maxsize=2)
def _build(mean_bytes: bytes) -> LowerFace:
    mean = np.frombuffer(mean_bytes, np.float32).reshape(478, 3)
    points = np.flatnonzero(mean[:468, 1] > _TOP).astype(np.int32)
    corner = np.array(CROP_CENTRE[:2]) - CROP_SIDE / 2
    flat = (mean[points, :2] - corner) / CROP_SIDE
    inside = (flat > 0.01).all(1) & (flat < 0.99).all(1)
    points, flat = points[inside], flat[inside]
    border = _border()
    triangles = _delaunay(np.concatenate([flat, border]).astype(np.float32))
    mask = np.concatenate([_mask(mean, points), np.zeros(len(border))]).astype(np.float32)
    return LowerFace(points, triangles, _spread(mean, points), mask, border.astype(np.float32))


def lower_face(mean_face: Mesh) -> LowerFace:
    """The mesh of a canonical mean face; built once per mean face."""
    return _build(np.ascontiguousarray(mean_face, np.float32).tobytes())


def _delaunay(points: _Floats) -> _Ints:
    """Triangles of points in the unit square, rows of the points.

    They are enlarged, since OpenCV's test is none for small coordinates
    (findings/subdiv2d_of_small_coordinates_is_not_delaunay.sh); SciPy's triangulation, which takes
    half a second to import, is the same.
    """
    side = 1024
    mesh = cv2.Subdiv2D((-side, -side, 3 * side, 3 * side))
    number = {}
    for row, point in enumerate((points * side).tolist()):
        mesh.insert(point)
        number[tuple(point)] = row
    corners = np.reshape(mesh.getTriangleList(), (-1, 3, 2)).tolist()
    found = [[number.get(tuple(corner)) for corner in each] for each in corners]
    return np.array(sorted(each for each in found if None not in each), np.int32)


def _border() -> NDArray[np.float64]:
    along = np.linspace(0, 1, BORDER_POINTS // 4 + 1)[:-1]
    zero, one = np.zeros_like(along), np.ones_like(along)
    sides = [(along, zero), (one, along), (1 - along, one), (zero, 1 - along)]
    return np.concatenate([np.stack(side, 1) for side in sides])


def _mask(mean: _Floats, points: _Ints) -> _Floats:
    """Opacity: 1 around mouth and chin, 0 on the nose, the cheeks' upper part and the contour."""
    x, y = mean[points, 0], mean[points, 1]
    nose_base = float(mean[2, 1])
    down = np.clip((y - nose_base) / 0.05, 0, 1)
    contour = mean[list(JAW), :2]
    to_edge = np.linalg.norm(mean[points, None, :2] - contour, axis=-1).min(1)
    inwards = np.clip((to_edge - 0.012) / 0.06, 0, 1)
    aside = np.clip((0.33 - np.abs(x)) / 0.10, 0, 1)
    return np.asarray(_ease(down) * _ease(inwards) * _ease(aside), np.float32)


def _ease(x: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    return np.asarray(x * x * (3 - 2 * x))


def _spread(mean: _Floats, points: _Ints) -> _Floats:
    """Interpolation of mouth motion over the face: exact at lips and jaw, nothing at the nose."""
    moving = np.array(MOUTH)
    still = np.array([i for i in range(468) if mean[i, 1] < 0.275 and i not in MOUTH], dtype=int)
    nodes = np.concatenate([moving, still])
    at = mean[nodes].astype(np.float64) * [1, 1, 0.5]
    kernel = _kernel(at, at) + 1e-6 * np.eye(len(nodes))
    wanted = np.zeros((len(nodes), len(moving)))
    wanted[: len(moving)] = np.diag(_jaw_taper(mean))
    weights = np.linalg.solve(kernel, wanted)
    spread = _kernel(mean[points].astype(np.float64) * [1, 1, 0.5], at) @ weights
    return np.asarray(spread, np.float32)


def _jaw_taper(mean: _Floats) -> _Floats:
    height = mean[list(MOUTH), 1]
    taper = _ease(np.clip((height - _JAW_TAPER) / 0.25, 0, 1))
    taper[[MOUTH.index(i) for i in LIPS]] = 1
    return taper


def _kernel(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear (biharmonic) kernel: interpolates without overshoot between dense points."""
    return np.asarray(-np.linalg.norm(a[:, None] - b, axis=-1))
