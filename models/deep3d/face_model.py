"""257 coefficients → a lit face in front of a camera (Deep3DFaceRecon, section 3.1).

The public implementation is sicxu/Deep3DFaceRecon_pytorch. What is drawn from the vertices is up
to a rasteriser; all that one needs (vertices, clip coordinates, colours, triangles) is here.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.deep3d.basis import N_EXPRESSION, N_IDENTITY, N_TEXTURE, FaceBasis
from models.deep3d.geometry import N_LIGHT, euler_rotation, shade, vertex_normals
from models.tensors import PerVertex, Points68

Light = Float[Tensor, "batch 27"]  # 9 spherical harmonics of red, then of green, then of blue

AMBIENT = 0.8
"""Added to the first lighting coefficient of each colour."""


class Coefficients(NamedTuple):
    """A face in numbers.

    Attributes:
        identity: Shape of the person [standard deviations].
        expression: Change of shape [standard deviations].
        texture: Albedo [standard deviations].
        angles: Pitch, yaw, roll [rad].
        light: 9 spherical harmonics of red, then of green, then of blue.
        translation: x right, y up, z towards the camera [dm].
    """

    identity: Float[Tensor, "batch 80"]
    expression: Float[Tensor, "batch 64"]
    texture: Float[Tensor, "batch 80"]
    angles: Float[Tensor, "batch 3"]
    light: Light
    translation: Float[Tensor, "batch 3"]


_SIZES = (N_IDENTITY, N_EXPRESSION, N_TEXTURE, 3, N_LIGHT, 3)
COEFFICIENTS: Mapping[str, int] = MappingProxyType(
    dict(zip(Coefficients._fields, _SIZES, strict=True))
)
"""Group → how many, in the order in which the regressor gives them."""
N_COEFFICIENTS = sum(COEFFICIENTS.values())


def split(coefficients: Float[Tensor, "batch 257"]) -> Coefficients:
    """The coefficients by groups, as views."""
    if coefficients.ndim != 2 or coefficients.shape[1] != N_COEFFICIENTS:
        raise ValueError(
            f"a face has (batch, {N_COEFFICIENTS}) coefficients, not {tuple(coefficients.shape)}"
        )
    return Coefficients(*torch.split(coefficients, list(COEFFICIENTS.values()), 1))


@dataclass(frozen=True)
class Camera:
    """A pinhole camera on the z axis that looks at the origin.

    Attributes:
        focal: Focal length [px].
        centre: Of the image, x and y [px].
        distance: From the origin [dm].
        near: Nearest depth drawn [dm].
        far: Farthest depth drawn [dm].
    """

    focal: float = 1015.0
    centre: float = 112.0
    distance: float = 10.0
    near: float = 5.0
    far: float = 15.0

    @property
    def field_of_view_degrees(self) -> float:
        """Angle between opposite edges of the image [deg]."""
        return 2 * math.degrees(math.atan(self.centre / self.focal))

    def intrinsics(self) -> Float[Tensor, "3 3"]:
        """The camera matrix, to multiply points [dm] with from the right."""
        return torch.tensor([[self.focal, 0, 0], [0, self.focal, 0], [self.centre, self.centre, 1]])

    def clip_matrix(self) -> Float[Tensor, "4 4"]:
        """Camera space with y down → clip space; applied to columns."""
        depth = self.far - self.near
        zoom = self.focal / self.centre
        return torch.tensor(
            [
                [zoom, 0, 0, 0],
                [0, zoom, 0, 0],
                [0, 0, (self.far + self.near) / depth, -2 * self.far * self.near / depth],
                [0, 0, 1, 0],
            ]
        )


class Face(NamedTuple):
    """A face as the camera sees it.

    Attributes:
        shape: Vertices before the pose [dm].
        albedo: RGB, about 0..1, not clipped.
        normals: Unit vectors, before the pose.
        rotation: Rows of points are multiplied with it from the right.
        world: Vertices in the pose, y up, z towards the camera [dm].
        camera: The same with z the distance from the camera [dm].
        projection: Vertices in the image [px], y UP: the image row is height - 1 - y.
        color: Lit albedo, not clipped.
        landmarks: The 68 points of the projection.
    """

    shape: PerVertex
    albedo: PerVertex
    normals: PerVertex
    rotation: Float[Tensor, "batch 3 3"]
    world: PerVertex
    camera: PerVertex
    projection: Float[Tensor, "batch vertex 2"]
    color: PerVertex
    landmarks: Points68


class BasisModule(nn.Module):
    """Holds a basis as constants, so that they move to a device with the module.

    Args:
        basis: Of the face.
        others: Constants that differ from the basis, or beside it.
    """

    mean_shape: Tensor
    identity: Tensor
    expression: Tensor
    mean_texture: Tensor
    texture: Tensor
    triangles: Tensor
    vertex_triangles: Tensor
    landmarks: Tensor
    skin: Tensor
    clip_matrix: Tensor

    def __init__(self, basis: FaceBasis, **others: Tensor) -> None:
        super().__init__()
        for name, constant in (vars(basis) | others).items():
            self.register_buffer(name, constant, persistent=False)


class FaceModel(BasisModule):
    """The parametric face model on a basis; it has no weights of its own.

    Args:
        basis: As published; its mean is centred here.
        camera: As published, for images of 224 x 224.
    """

    intrinsics: Tensor

    def __init__(self, basis: FaceBasis, camera: Camera | None = None) -> None:
        camera = camera or Camera()
        centred = basis.mean_shape.view(-1, 3)
        super().__init__(
            basis,
            mean_shape=(centred - centred.mean(0)).flatten(),
            intrinsics=camera.intrinsics(),
            clip_matrix=camera.clip_matrix(),
        )
        self.distance = camera.distance

    def shape(
        self, identity: Float[Tensor, "batch 80"], expression: Float[Tensor, "batch 64"]
    ) -> PerVertex:
        """Vertices before the pose [dm]."""
        flat = identity @ self.identity.T + expression @ self.expression.T + self.mean_shape
        return flat.reshape(len(flat), -1, 3)

    def albedo(self, texture: Float[Tensor, "batch 80"]) -> PerVertex:
        """Colours without light, RGB, about 0..1."""
        flat = (texture @ self.texture.T + self.mean_texture) / 255
        return flat.reshape(len(flat), -1, 3)

    def normals(self, shape: PerVertex) -> PerVertex:
        """The unit normal of each vertex; every triangle counts alike."""
        return vertex_normals(
            shape, self.triangles, vertex_triangles=self.vertex_triangles, by_area=False
        )

    def color(self, albedo: PerVertex, normals: PerVertex, light: Light) -> PerVertex:
        """Lit colours, not clipped.

        Args:
            albedo: RGB, about 0..1.
            normals: Unit vectors in the pose.
            light: Colour major, without the ambient part.
        """
        return shade(albedo, normals, light.reshape(len(light), 3, -1).mT, ambient=AMBIENT)

    def to_camera(self, world: PerVertex) -> PerVertex:
        """World coordinates with z turned into distance from the camera [dm]."""
        return torch.cat([world[..., :2], self.distance - world[..., 2:]], -1)

    def project(self, camera: Float[Tensor, "batch point 3"]) -> Float[Tensor, "batch point 2"]:
        """Camera coordinates [dm] → the image [px], y up."""
        homogeneous = camera @ self.intrinsics
        return homogeneous[..., :2] / homogeneous[..., 2:]

    def clip_coordinates(self, camera: PerVertex) -> Float[Tensor, "batch vertex 4"]:
        """Camera coordinates [dm] → clip space, for rasterisers.

        Row 0 of the rasterised image is the upper one when y of clip space points down.
        """
        down = camera * camera.new_tensor([1, -1, 1])
        return torch.cat([down, torch.ones_like(down[..., :1])], -1) @ self.clip_matrix.T

    def forward(self, coefficients: Float[Tensor, "batch 257"]) -> Face:
        """The face that coefficients describe; in full precision under autocast too."""
        with torch.autocast(coefficients.device.type, enabled=False):  # half is off by pixels
            return self._face(split(coefficients.to(self.mean_shape.dtype)))

    def _face(self, parts: Coefficients) -> Face:
        shape = self.shape(parts.identity, parts.expression)
        normals = self.normals(shape)
        rotation = euler_rotation(parts.angles).mT
        world = shape @ rotation + parts.translation[:, None]
        camera = self.to_camera(world)
        projection = self.project(camera)
        albedo = self.albedo(parts.texture)
        color = self.color(albedo, normals @ rotation, parts.light)
        landmarks = projection[:, self.landmarks]
        return Face(shape, albedo, normals, rotation, world, camera, projection, color, landmarks)
