"""Coefficients in closed form, from points of the face in the picture.

A point projects to (x, y) where -zoom * X - x * w = 0 (and likewise y): linear in the shape, so a
step of Gauss and Newton, with each coefficient drawn to 0 by one standard deviation, is one linear
system a frame. Two or three of them are enough, started at the head pose of the landmarks.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from models.audiodvp.face_model import IMAGE_SIZE, FaceModel

NOISE_PX = 0.5
"""Of a point [px of 256]: so far off is as likely as a coefficient of 1."""
PERSON_STEPS, FRAME_STEPS = 6, 2

Points = Float[Tensor, "frame point 2"]
Rotations = Float[Tensor, "frame 3 3"]


@dataclass(frozen=True)
class Placed:
    """Heads before the camera.

    Attributes:
        rotation: World of the model, applied to columns.
        translation: Taken off before the rotation.
        delta: Expression.
    """

    rotation: Rotations
    translation: Float[Tensor, "frame 3"]
    delta: Float[Tensor, "frame 64"]


class MeshFit:
    """Solves for what points of a face say.

    Args:
        model: Of the face.
        vertices: Vertex of each point.
    """

    def __init__(self, model: FaceModel, vertices: Int64[Tensor, " point"]) -> None:
        def rows(basis: Tensor) -> Tensor:
            return basis.reshape(-1, 3, *basis.shape[1:])[vertices]

        self._mean, self._identity = rows(model.mean_shape), rows(model.identity)
        self._expression = rows(model.expression)
        self._zoom = -float(model.clip_matrix[0, 0])
        self._distance = float(model.clip_matrix[3, 3])

    def start(self, points: Points, rotation: Rotations) -> Placed:
        """Heads with these rotations where the mean face lies best on the points.

        Args:
            points: In the picture [px of 256].
            rotation: For instance that of `models.faces.mesh.align.Pose`: canonical axes and those
                of the own basis in this camera are opposite one by one, so it is the same.
        """
        seen = _rays(points)
        turned = -(self._mean @ rotation.mT)[..., :2]
        a, b = turned - turned.mean(1, keepdim=True), seen - seen.mean(1, keepdim=True)
        scale = (a * b).sum((1, 2)) / a.square().sum((1, 2))
        far = self._zoom / scale[:, None]
        middle = (turned.mean(1) - seen.mean(1) / scale[:, None]).clone()
        moved = torch.cat([middle, self._distance - far], 1)
        return Placed(rotation, -_turned_back(rotation, moved), points.new_zeros(len(points), 64))

    def person(self, points: Points, rotation: Rotations) -> Float[Tensor, "80"]:
        """Identity of one person from frames with a neutral face.

        Args:
            points: In the picture [px of 256].
            rotation: As of `start`.
        """
        placed = self.start(points, rotation)
        alpha = points.new_zeros(80)
        for _ in range(PERSON_STEPS):
            jacobian, off = self._system(points, placed, alpha, self._identity)
            normal, right = _normal(jacobian, off)
            pose, shape = slice(0, 6), slice(6, None)
            solved = torch.linalg.solve(
                normal[:, pose, pose],
                torch.cat([normal[:, pose, shape], right[:, pose, None]], 2),
            )
            left = normal[:, shape, shape] - normal[:, shape, pose] @ solved[..., :-1]
            wanted = right[:, shape] - (normal[:, shape, pose] @ solved[..., -1:])[..., 0]
            ridge = NOISE_PX**2 * torch.eye(80).to(left)
            step = torch.linalg.solve(left.mean(0) + ridge, wanted.mean(0) - NOISE_PX**2 * alpha)
            alpha = alpha + step
            placed = _moved(placed, solved[..., -1] - solved[..., :-1] @ step)
        return alpha

    def frames(self, points: Points, rotation: Rotations, alpha: Float[Tensor, "80"]) -> Placed:
        """Pose and expression of each frame.

        Args:
            points: In the picture [px of 256].
            rotation: As of `start`.
            alpha: Identity.
        """
        placed = self._posed(points, self.start(points, rotation), alpha)
        for _ in range(FRAME_STEPS):
            jacobian, off = self._system(points, placed, alpha, self._expression)
            normal, right = _normal(jacobian, off)
            normal.diagonal(dim1=1, dim2=2)[:, 6:] += NOISE_PX**2
            right[:, 6:] -= NOISE_PX**2 * placed.delta
            step = torch.linalg.solve(normal, right)
            placed = replace(_moved(placed, step[:, :6]), delta=placed.delta + step[:, 6:])
        return placed

    def expression(
        self, points: Points, placed: Placed, alpha: Float[Tensor, "80"]
    ) -> Float[Tensor, "frame 64"]:
        """Expression of heads whose pose is known.

        Args:
            points: In the picture [px of 256].
            placed: Their poses; the expressions are not read.
            alpha: Identity.
        """
        placed = replace(placed, delta=torch.zeros_like(placed.delta))
        for _ in range(FRAME_STEPS):
            jacobian, off = self._system(points, placed, alpha, self._expression)
            normal, right = _normal(jacobian[..., 6:], off)
            normal.diagonal(dim1=1, dim2=2)[:] += NOISE_PX**2
            step = torch.linalg.solve(normal, right - NOISE_PX**2 * placed.delta)
            placed = replace(placed, delta=placed.delta + step)
        return placed.delta

    def pose(
        self,
        points: Points,
        rotation: Rotations,
        alpha: Float[Tensor, "80"],
        delta: Float[Tensor, "frame 64"],
    ) -> Placed:
        """Pose of heads whose shape is known.

        Args:
            points: In the picture [px of 256].
            rotation: As of `start`.
            alpha: Identity.
            delta: Expression.
        """
        placed = replace(self.start(points, rotation), delta=delta)
        for _ in range(PERSON_STEPS):
            placed = self._posed(points, placed, alpha)
        return placed

    def _posed(self, points: Points, placed: Placed, alpha: Tensor) -> Placed:
        jacobian, off = self._system(points, placed, alpha, self._expression[..., :0])
        return _moved(placed, torch.linalg.solve(*_normal(jacobian, off)))

    def _system(
        self, points: Points, placed: Placed, alpha: Tensor, basis: Tensor
    ) -> tuple[Float[Tensor, "frame row unknown"], Float[Tensor, "frame row"]]:
        """Derivatives by rotation (3), translation (3) and coefficients, and what is left [px]."""
        shape = self._mean + self._identity @ alpha + _each(self._expression, placed.delta)
        world = (shape - placed.translation[:, None]) @ placed.rotation.mT
        seen = _rays(points)
        far = self._distance - world[..., 2]
        px = (IMAGE_SIZE / 2 / far)[..., None]
        off = (self._zoom * world[..., :2] + seen * far[..., None]) * px
        # How an equation changes with the point's place in the world (frame, point, equation, xyz)
        by_world = torch.zeros(*points.shape, 3).to(points)
        by_world[..., 0, 0] = by_world[..., 1, 1] = -self._zoom
        by_world[..., 2] = seen
        by_world = by_world * px[..., None]
        by_rotation = torch.cross(world[..., None, :].expand_as(by_world), by_world, dim=-1)
        by_shape = by_world @ placed.rotation[:, None]
        # One product a point for all frames: products of 2 x 3 are slow
        by_basis = by_shape.transpose(0, 1).flatten(1, 2) @ basis
        by_basis = by_basis.reshape(len(basis), len(points), 2, -1).transpose(0, 1)
        jacobian = torch.cat([by_rotation, -by_shape, by_basis], -1)
        return jacobian.flatten(1, 2), off.flatten(1)


def angles(rotation: Rotations) -> Float[Tensor, "frame 3"]:
    """About x, y and z [rad]: the inverse of `euler_rotation` up to 90 degrees of yaw."""
    x = torch.atan2(rotation[:, 2, 1], rotation[:, 2, 2])
    y = torch.asin((-rotation[:, 2, 0]).clamp(-1, 1))
    return torch.stack([x, y, torch.atan2(rotation[:, 1, 0], rotation[:, 0, 0])], -1)


def _rays(points: Points) -> Points:
    """Pictures' px → -1..1."""
    return points * (2 / IMAGE_SIZE) - 1


def _each(basis: Float[Tensor, "point 3 component"], weights: Tensor) -> Tensor:
    return (weights @ basis.flatten(0, 1).T).reshape(len(weights), -1, 3)


def _turned_back(rotation: Rotations, vectors: Float[Tensor, "frame 3"]) -> Tensor:
    return (vectors[:, None] @ rotation)[:, 0]


def _normal(jacobian: Tensor, off: Tensor) -> tuple[Tensor, Tensor]:
    return jacobian.mT @ jacobian, (jacobian.mT @ off[..., None])[..., 0]


def _moved(placed: Placed, step: Float[Tensor, "frame 6"]) -> Placed:
    """Turned a little further, and moved."""
    turn = torch.linalg.matrix_exp(_cross_matrix(step[:, :3]))
    return replace(
        placed,
        rotation=turn @ placed.rotation,
        translation=placed.translation + step[:, 3:],
    )


def _cross_matrix(vectors: Float[Tensor, "frame 3"]) -> Float[Tensor, "frame 3 3"]:
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(-1, 3, 3)
