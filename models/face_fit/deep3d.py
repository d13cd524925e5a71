"""What Deep3D's regressor says of a face, in the coefficients of AudioDVP's face model.

On the basis `deep3d` both draw the same shape and albedo. Deep3D's camera stands farther off and
sees another square, so the pose is solved for anew; its light and normals differ a little.
"""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from models.audiodvp.face_model import AMBIENT
from models.deep3d import face_model as deep3d
from models.deep3d.alignment import (
    CROP_SIZE,
    FACE_SIZE_PX,
    STANDARD_POINTS,
    five_points,
    orthographic_pose,
)
from models.deep3d.basis import FaceBasis
from models.deep3d.geometry import euler_rotation
from models.face_fit.coefficients import Coefficients
from models.face_fit.mesh import MeshFit

_ODD_IN_X = [3, 4, 7]
"""Spherical harmonics that change sign where x is turned round."""


def aligned(landmarks: Float32[np.ndarray, "68 2"]) -> Float32[np.ndarray, "2 3"]:
    """Frame px → 224 px of Deep3D's square, as `models.deep3d.alignment.align`, but not rounded.

    Args:
        landmarks: [frame px].
    """
    points = five_points(landmarks * np.array([1, -1], np.float32))
    size_px, x, y = orthographic_pose(points, STANDARD_POINTS)
    zoom = FACE_SIZE_PX / size_px
    middle = CROP_SIZE / 2
    return np.array([[zoom, 0, middle - zoom * x], [0, zoom, middle + zoom * y]], np.float32)


class Converter:
    """Turns Deep3D's coefficients into AudioDVP's.

    Args:
        basis: As Deep3D takes it.
        mesh: Of the same basis as AudioDVP takes it (`deep3d`), by its 68 points.
    """

    def __init__(self, basis: FaceBasis, mesh: MeshFit) -> None:
        self._model, self._mesh = deep3d.FaceModel(basis), mesh

    @torch.no_grad()
    def __call__(
        self,
        given: Float[Tensor, "frame 257"],
        to_square: Float[Tensor, "frame 2 3"],
        who: Coefficients,
    ) -> Coefficients:
        """The same faces.

        Args:
            given: Of the regressor.
            to_square: Its px → px of 256 of the fit's square.
            who: The person, whose identity and albedo hold for all frames.
        """
        parts = deep3d.split(given)
        rotation, turn = euler_rotation(parts.angles), given.new_tensor([-1.0, 1, 1]).diag()
        solid = self._model.shape(parts.identity, parts.expression)[:, self._model.landmarks]
        camera = self._model.to_camera(solid @ rotation.mT + parts.translation[:, None])
        up = self._model.project(camera)
        points = torch.stack([up[..., 0], CROP_SIZE - up[..., 1]], -1)
        points = points @ to_square[..., :2].mT + to_square[:, None, :, 2]
        placed = self._mesh.pose(points, turn @ rotation @ turn, who.alpha, parts.expression)
        return replace(who.of(placed), gamma=_light(parts.light))


def person(given: Float[Tensor, "frame 257"]) -> Coefficients:
    """Whom the regressor sees: the median of what it says of some frames."""
    parts = deep3d.split(given)
    return replace(
        Coefficients.nobody(),
        alpha=parts.identity.median(0).values,
        beta=parts.texture.median(0).values,
    )


def _light(light: Float[Tensor, "frame 27"]) -> Float[Tensor, "frame 27"]:
    by_colour = light.reshape(-1, 3, 9).clone()
    by_colour[..., _ODD_IN_X] *= -1
    by_colour[..., 0] += deep3d.AMBIENT - AMBIENT
    return by_colour.mT.flatten(1)
