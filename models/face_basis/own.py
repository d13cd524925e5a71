"""The shipped face basis → `FaceBasis`.

Its shapes are known on the 468 points of the face mesh, eyes filled and mouth open; between them
Loop's surface through these points is drawn. `MODEL_CARD.md` says whose faces it was made of.
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor
from torch.nn import functional

from models.deep3d.basis import N_EXPRESSION, N_IDENTITY, N_TEXTURE, FaceBasis
from models.face_basis.subdivision import subdivide

N_POINTS = 468
"""Points of the face mesh, without the irises."""
FACE_HEIGHT = 1.665
"""Of the canonical coordinates, as long as the basis has it [dm]."""
LEVELS = 2
"""How often each triangle is divided in four, for a surface that looks smooth."""

# fmt: off
LANDMARKS = (
    127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356,
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,
    168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,
)
# fmt: on
"""Points of the face mesh for the 68 points of iBUG (contour, brows, nose, eyes, lips)."""


class Surface:
    """The fine mesh through the points.

    Args:
        triangles: Of the points, facing outward.
        levels: How often each is divided in four.

    Attributes:
        triangles: Of the fine mesh, whose first vertices are the points.
    """

    def __init__(self, triangles: Int64[np.ndarray, "triangle 3"], levels: int = LEVELS) -> None:
        weights, self.triangles = subdivide(triangles, N_POINTS, levels)
        self._smooth = weights.toarray()
        self._through = self._smooth @ np.linalg.inv(self._smooth[:N_POINTS])

    def through(
        self, points: Float[np.ndarray, "*batch 468 axis"]
    ) -> Float[np.ndarray, "*batch vertex axis"]:
        """The vertices of the surface that goes through the points."""
        flat = np.moveaxis(points, -2, 0)
        found = self._through @ flat.reshape(N_POINTS, -1)
        return np.moveaxis(found.reshape(-1, *flat.shape[1:]), 0, -2)

    def within(self, points: Shaped[np.ndarray, " 468"]) -> Bool[np.ndarray, " vertex"]:
        """Vertices that lie among points that are not 0."""
        return np.asarray(self._smooth @ (points != 0) > 0.5)

    @property
    def vertex_triangles(self) -> Int64[np.ndarray, "vertex around"]:
        """Triangles about each vertex; padded with the index one past the last."""
        around = self.triangles.reshape(-1)
        order = np.argsort(around, kind="stable")
        vertex, count = around[order], np.bincount(around)
        table = np.full((len(count), count.max()), len(self.triangles))
        table[vertex, np.arange(len(vertex)) - (count.cumsum() - count)[vertex]] = order // 3
        return table


def basis_of(arrays: Mapping[str, np.ndarray], levels: int = LEVELS) -> FaceBasis:
    """The basis from the arrays of `face_basis.safetensors`.

    Components that it does not have are 0. Lengths are dm: a face is 1.66 dm from forehead (point
    10) to chin (152), the origin that of the canonical coordinates (see `models.faces`), but y up
    and z towards the camera. Component 0 of the expression opens the mouth where it is negative.

    Args:
        arrays: `triangles` (880, 3); `mean_shape` (468, 3), `identity` and `expression`
            (component, 468, 3) [dm]; `mean_texture` (vertex, 3) and `texture` (component, vertex,
            3), RGB in 0..255; `front` and `skin` (468,), which are not 0 in these regions.
        levels: How often each triangle is divided in four. The same coefficients on 1 give the same
            face in a quarter of the time, coarser by about 3 px of 256.
    """
    surface = Surface(arrays["triangles"].astype(np.int64), levels)
    shapes = {
        name: torch.from_numpy(surface.through(arrays[name].astype(np.float64)))
        for name in ("mean_shape", "identity", "expression")
    }
    vertices = shapes["mean_shape"].shape[0]  # the finest mesh's first ones are the coarser's
    triangles = torch.from_numpy(surface.triangles)
    front = torch.from_numpy(surface.within(arrays["front"]))
    return FaceBasis(
        mean_shape=shapes["mean_shape"].float().flatten(),
        identity=_columns(shapes["identity"], N_IDENTITY),
        expression=_columns(shapes["expression"], N_EXPRESSION),
        mean_texture=torch.from_numpy(arrays["mean_texture"][:vertices]).float().flatten(),
        texture=_columns(torch.from_numpy(arrays["texture"][:, :vertices]), N_TEXTURE),
        triangles=triangles,
        vertex_triangles=torch.from_numpy(surface.vertex_triangles),
        landmarks=torch.tensor(LANDMARKS),
        front_vertices=torch.nonzero(front)[:, 0],
        front_triangles=triangles[front[triangles].all(1)],
        skin=torch.from_numpy(surface.within(arrays["skin"])).float(),
    )


def _columns(
    components: Float[Tensor, "component vertex 3"], count: int
) -> Float[Tensor, "coordinate {count}"]:
    flat = components.float().flatten(1).T
    return functional.pad(flat, (0, count - flat.shape[1])).contiguous()
