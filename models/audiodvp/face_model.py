"""AudioDVP's parametric face: the basis of Deep3DFaceRecon under another camera and light.

Unlike there, the mean is not centred, large triangles weigh more in the normals, lighting
coefficients are in another order, the ambient light is weaker, and the image's y points down.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from models.deep3d.basis import FaceBasis
from models.deep3d.face_model import BasisModule
from models.deep3d.geometry import Triangles, euler_rotation, shade, vertex_normals
from models.tensors import PerVertex, Points68, Scalar

Gamma = Float[Tensor, "batch 27 1"]  # coefficient major, without the ambient part

AMBIENT = 0.7
"""Added to the first lighting coefficient of each colour."""
IMAGE_SIZE = 256
UNIT = 1e5 / 92156.7
"""Lengths of AudioDVP for one of `BFM_model_front.mat`."""

_FIELD_OF_VIEW_DEGREES = 25.0
_DISTANCE = 8.0
_NEAR, _FAR = 0.01, 100.0
_EYEBROWS_EYES_MOUTH = (*range(17, 27), *range(36, 68))

# fmt: off
LANDMARKS = (
    27440, 27208, 27608, 27816, 35472, 34766, 34312, 34022, 33838, 33654, 33375, 32939, 32244,
    16264, 16467, 16888, 16644, 31716, 31056, 30662, 30454, 30288, 29549, 29382, 29177, 28787,
    28111, 8161, 8177, 8187, 8192, 9883, 9163, 8204, 7243, 6515, 14066, 12383, 11353, 10455,
    11492, 12653, 5828, 4920, 3886, 2215, 3640, 4801, 10795, 10395, 8935, 8215, 7495, 6025, 5522,
    6915, 7636, 8236, 8836, 9555, 10537, 9064, 8223, 7384, 5909, 7629, 8229, 8829,
)
# fmt: on
"""Vertices of the 68 points on the published mesh of 35709 vertices."""


class Face(NamedTuple):
    """A face as the camera sees it.

    Attributes:
        geometry: Vertices before the pose.
        albedo: RGB, about 0..1.
        normals: Unit vectors, before the pose.
        rotation_matrix: World → model, applied to columns.
        world: Vertices in the pose.
        world_normals: Unit vectors in the pose.
        clip: Clip space, for a rasteriser.
        screen: Vertices in the image [px], y down.
        color: Lit albedo; the rasteriser clips it to 0..1.
        landmarks: In the image [px], y down.
    """

    geometry: PerVertex
    albedo: PerVertex
    normals: PerVertex
    rotation_matrix: Float[Tensor, "batch 3 3"]
    world: PerVertex
    world_normals: PerVertex
    clip: Float[Tensor, "batch vertex 4"]
    screen: Float[Tensor, "batch vertex 2"]
    color: PerVertex
    landmarks: Points68


class FaceModel(BasisModule):
    """The parametric face model on a basis; it has no weights of its own.

    Args:
        basis: From `of_published` or `of_own`.
        image_size: Side of the image that landmarks are given in [px].
    """

    lower_triangles: Tensor

    def __init__(self, basis: FaceBasis, image_size: int = IMAGE_SIZE) -> None:
        super().__init__(
            basis,
            mean_texture=basis.mean_texture / 255,
            texture=basis.texture / 255,
            lower_triangles=lower_triangles(basis),
            clip_matrix=clip_matrix(),
        )
        self.image_size = image_size

    def normals(self, geometry: PerVertex) -> PerVertex:
        """The unit normal of each vertex."""
        return vertex_normals(
            geometry, self.triangles, vertex_triangles=self.vertex_triangles, by_area=True
        )

    def color(self, albedo: PerVertex, normals: PerVertex, gamma: Gamma) -> PerVertex:
        """Lit colours, not clipped.

        Args:
            albedo: RGB, about 0..1.
            normals: Unit vectors in the pose.
            gamma: Light, coefficient major, without the ambient part.
        """
        return shade(albedo, normals, gamma.reshape(len(gamma), 9, 3), ambient=AMBIENT)

    def forward(
        self,
        alpha: Float[Tensor, "#batch 80 1"],
        delta: Float[Tensor, "batch 64 1"],
        beta: Float[Tensor, "#batch 80 1"],
        rotation: Float[Tensor, "batch 3 1"],
        translation: Float[Tensor, "batch 3 1"],
        gamma: Gamma,
    ) -> Face:
        """The face that coefficients describe, in full precision under autocast too.

        Args:
            alpha: Identity; a batch of 1 holds for all.
            delta: Expression.
            beta: Albedo; a batch of 1 holds for all.
            rotation: About x, y and z [rad].
            translation: Taken off before the rotation.
            gamma: Light.
        """
        coefficients = alpha, delta, beta, rotation, translation, gamma
        with torch.autocast(delta.device.type, enabled=False):  # half is off by pixels
            return self._face(*(each.to(self.mean_shape.dtype) for each in coefficients))

    def _face(self, *coefficients: Tensor) -> Face:
        alpha, delta, beta, rotation, translation, gamma = coefficients
        batch = len(delta)
        flat = self.mean_shape + alpha[..., 0] @ self.identity.T + delta[..., 0] @ self.expression.T
        geometry = flat.reshape(batch, -1, 3)
        colors = self.mean_texture + beta[..., 0] @ self.texture.T
        albedo = colors.reshape(len(beta), -1, 3).expand(batch, -1, -1)
        normals = self.normals(geometry)
        rotation_matrix = euler_rotation(rotation[..., 0])
        world = (geometry - translation.mT) @ rotation_matrix.mT
        world_normals = normals @ rotation_matrix.mT
        clip = torch.cat([world, torch.ones_like(world[..., :1])], -1) @ self.clip_matrix.T
        screen = (clip[..., :2] / clip[..., 3:] + 1) * (self.image_size / 2)
        return Face(
            geometry=geometry,
            albedo=albedo,
            normals=normals,
            rotation_matrix=rotation_matrix,
            world=world,
            world_normals=world_normals,
            clip=clip,
            screen=screen,
            color=self.color(albedo, world_normals, gamma),
            landmarks=screen[:, self.landmarks],
        )


def of_published(basis: FaceBasis) -> FaceBasis:
    """The basis of `BFM_model_front.mat` in AudioDVP's unit and with its landmarks."""
    if basis.n_vertices <= max(LANDMARKS):
        raise ValueError(f"AudioDVP's landmarks are not on a mesh of {basis.n_vertices} vertices")
    return replace(basis.scaled(UNIT), landmarks=torch.tensor(LANDMARKS))


def of_own(basis: FaceBasis) -> FaceBasis:
    """The basis of `models.face_basis` in AudioDVP's unit, and with x to the left.

    Its camera stands on its head and its image is turned round again, so x runs left in it: it is
    the mirror image of a face whose x is right (its landmarks of the published mesh are in that
    order). Turning x round instead leaves each vertex and landmark on its own side.
    """
    scaled = basis.scaled(UNIT)
    left = torch.tensor([-1.0, 1, 1]).repeat(basis.n_vertices)
    return replace(
        scaled,
        mean_shape=scaled.mean_shape * left,
        identity=scaled.identity * left[:, None],
        expression=scaled.expression * left[:, None],
        triangles=basis.triangles.flip(1),
        front_triangles=basis.front_triangles.flip(1),
    )


def lower_triangles(basis: FaceBasis) -> Triangles:
    """Triangles of the lower face: those with a vertex below the middle of the mean."""
    height = basis.mean_shape[1::3]
    return basis.triangles[(height < height.mean())[basis.triangles].any(1)]


def clip_matrix() -> Float[Tensor, "4 4"]:
    """World → clip space, of a camera on the z axis whose image has y pointing down."""
    zoom = 1 / math.tan(math.radians(_FIELD_OF_VIEW_DEGREES) / 2)
    depth = _FAR - _NEAR
    slope, offset = -(_FAR + _NEAR) / depth, -2 * _FAR * _NEAR / depth
    return torch.tensor(
        [
            [-zoom, 0, 0, 0],
            [0, -zoom, 0, 0],
            [0, 0, slope, offset - slope * _DISTANCE],
            [0, 0, -1, _DISTANCE],
        ]
    )


def landmark_weights() -> Float[Tensor, "68"]:
    """How much each point counts: 50 for eyebrows, eyes and mouth, else 1."""
    weights = torch.ones(len(LANDMARKS))
    weights[list(_EYEBROWS_EYES_MOUTH)] = 50
    return weights


def landmark_loss(points: Points68, target: Points68) -> Scalar:
    """Weighted sum of squares over the batch, divided by the number of points only.

    Args:
        points: In the image [px].
        target: Likewise.
    """
    weights = landmark_weights().to(points)
    return (weights[:, None] * (points - target).square()).sum() / len(weights)
