"""The linear basis of the face model, in the layout that Deep3DFaceRecon publishes.

`BFM_model_front.mat` is made by its user from the Basel Face Model 2009 and the expressions of
Guo et al.; it is licensed to each user, so nothing here ships it. `scipy.io.loadmat` gives the
mapping that `FaceBasis.from_arrays` reads.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
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
        mean_shape: x, y, z of each vertex [dm].
        identity: [dm per standard deviation].
        expression: [dm per standard deviation].
        mean_texture: RGB of each vertex, 0..255.
        texture: RGB, 0..255 [per standard deviation].
        triangles: Three vertices each.
        vertex_triangles: Triangles that meet in a vertex; where fewer do, the index one past the
            last triangle.
        landmarks: Vertices of the 68 points.
        front_vertices: Vertices in the region of the photometric loss.
        front_triangles: Triangles of that region.
        skin: 1 where the albedo should be even.
    """

    mean_shape: Float32[Tensor, " coordinate"]
    identity: Float32[Tensor, "coordinate 80"]
    expression: Float32[Tensor, "coordinate 64"]
    mean_texture: Float32[Tensor, " coordinate"]
    texture: Float32[Tensor, "coordinate 80"]
    triangles: Int64[Tensor, "triangle 3"]
    vertex_triangles: Int64[Tensor, "vertex around"]
    landmarks: Int64[Tensor, "68"]
    front_vertices: Int64[Tensor, " front_vertex"]
    front_triangles: Int64[Tensor, "front_triangle 3"]
    skin: Float32[Tensor, " vertex"]

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
    def from_arrays(cls, arrays: Mapping[str, Any]) -> "FaceBasis":
        """The basis from the arrays of `BFM_model_front.mat`; other keys are ignored.

        Args:
            arrays: Name in the file → array; indices begin at 1 and may be floats.

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

    def scaled(self, factor: float) -> "FaceBasis":
        """The same face in another unit of length."""
        return replace(
            self,
            mean_shape=self.mean_shape * factor,
            identity=self.identity * factor,
            expression=self.expression * factor,
        )


_PUBLISHED = {
    *("meanshape", "idBase", "exBase", "meantex", "texBase", "tri"),
    *("point_buf", "keypoints", "frontmask2_idx", "tri_mask2", "skinmask"),
}


def _floats(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.array(array, np.float32))


def _indices(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.array(array, np.int64) - 1)
