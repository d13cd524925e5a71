"""The linear basis of the face model, in the layout that Deep3DFaceRecon publishes.

`BFM_model_front.mat` is made by its user from the Basel Face Model 2009 and the expressions of
Guo et al.; it is licensed to each user, so nothing here ships it. `scipy.io.loadmat` gives the
mapping that `FaceBasis.from_arrays` reads.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

N_IDENTITY = 80
N_EXPRESSION = 64
N_TEXTURE = 80
N_LANDMARKS = 68


@dataclass(frozen=True)
class FaceBasis:
    """Mean and principal components of a mesh's shape and colour.

    Convention: vectors are x0 y0 z0 x1 y1 z1 ... (colour: r0 g0 b0 ...); x is right in the image,
    y up, z towards the camera. Indices begin at 0.

    Attributes:
        mean_shape: (3 vertex,) float32 [dm].
        identity: (3 vertex, 80) float32 [dm per standard deviation].
        expression: (3 vertex, 64) float32, likewise.
        mean_texture: (3 vertex,) float32 RGB, 0..255.
        texture: (3 vertex, 80) float32, likewise.
        triangles: (triangle, 3) int64 vertices.
        vertex_triangles: (vertex, 8) int64 triangles that meet in a vertex; where fewer do, the
            index one past the last triangle.
        landmarks: (68,) int64 vertices of the 68 points.
        front_vertices: (n,) int64 vertices in the region of the photometric loss.
        front_triangles: (m, 3) int64 triangles of that region.
        skin: (vertex,) float32 1 where the albedo should be even.
    """

    mean_shape: Tensor
    identity: Tensor
    expression: Tensor
    mean_texture: Tensor
    texture: Tensor
    triangles: Tensor
    vertex_triangles: Tensor
    landmarks: Tensor
    front_vertices: Tensor
    front_triangles: Tensor
    skin: Tensor

    def __post_init__(self) -> None:
        size = 3 * self.n_vertices
        if size != len(self.mean_shape):
            raise ValueError(f"a mean of {len(self.mean_shape)} numbers is not x, y, z of vertices")
        wanted = {
            "identity": (size, N_IDENTITY),
            "expression": (size, N_EXPRESSION),
            "mean_texture": (size,),
            "texture": (size, N_TEXTURE),
            "triangles": (len(self.triangles), 3),
            "front_triangles": (len(self.front_triangles), 3),
            "landmarks": (N_LANDMARKS,),
            "skin": (self.n_vertices,),
        }
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                found = tuple(getattr(self, name).shape)
                raise ValueError(f"{name} of a face basis is {found}, not {shape}")
        if self.vertex_triangles.ndim != 2 or len(self.vertex_triangles) != self.n_vertices:
            raise ValueError("vertex_triangles of a face basis must have a row per vertex")
        # the triangles' index one past the last is the padding
        limits = dict.fromkeys(
            ("triangles", "front_triangles", "landmarks", "front_vertices"), self.n_vertices
        ) | {"vertex_triangles": len(self.triangles) + 1}
        for name, limit in limits.items():
            index = getattr(self, name)
            if index.numel() and not (index.min() >= 0 and index.max() < limit):
                raise ValueError(f"{name} of a face basis points outside its {limit} entries")

    @property
    def n_vertices(self) -> int:
        """How many vertices the mesh has (35709 in the published one)."""
        return len(self.mean_shape) // 3

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The basis from the arrays of `BFM_model_front.mat`; other keys are ignored.

        Args:
            arrays: Name in the file → array; its indices begin at 1 and may be floats.

        Raises:
            ValueError: an array is missing or has another shape.
        """
        if missing := sorted(_PUBLISHED - set(arrays)):
            raise ValueError(f"not a face basis: without {', '.join(missing)}")
        return cls(
            mean_shape=_floats(arrays["meanshape"]).flatten(),
            identity=_floats(arrays["idBase"]),
            expression=_floats(arrays["exBase"]),
            mean_texture=_floats(arrays["meantex"]).flatten(),
            texture=_floats(arrays["texBase"]),
            triangles=_indices(arrays["tri"]),
            vertex_triangles=_indices(arrays["point_buf"]),
            landmarks=_indices(arrays["keypoints"]).flatten(),
            front_vertices=_indices(arrays["frontmask2_idx"]).flatten(),
            front_triangles=_indices(arrays["tri_mask2"]),
            skin=_floats(arrays["skinmask"]).flatten(),
        )

    def scaled(self, factor: float) -> Self:
        """The same face in another unit of length."""
        return replace(
            self,
            mean_shape=self.mean_shape * factor,
            identity=self.identity * factor,
            expression=self.expression * factor,
        )


_PUBLISHED = {
    "meanshape",
    "idBase",
    "exBase",
    "meantex",
    "texBase",
    "tri",
    "point_buf",
    "keypoints",
    "frontmask2_idx",
    "tri_mask2",
    "skinmask",
}


def _floats(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.array(array, np.float32))


def _indices(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.array(array, np.int64) - 1)
