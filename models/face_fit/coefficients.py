"""The faces of one person in numbers, as AudioDVP's face model takes them, and their pictures."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from models.audiodvp.face_model import Face, FaceModel
from models.deep3d.geometry import N_LIGHT
from models.face_fit.mesh import Placed, angles
from models.rasterizer.interpolation import Rendered, rasterize

MOVING = frozenset(("delta", "gamma", "rotation", "translation"))
"""Coefficients that each frame has of its own."""


@dataclass(frozen=True)
class Coefficients:
    """Faces of one person in numbers.

    Attributes:
        alpha: Identity.
        beta: Albedo.
        delta: Expression.
        gamma: Light, coefficient major.
        rotation: About x, y and z [rad].
        translation: Taken off before the rotation.
    """

    alpha: Float[Tensor, "80"]
    beta: Float[Tensor, "80"]
    delta: Float[Tensor, "frame 64"]
    gamma: Float[Tensor, "frame 27"]
    rotation: Float[Tensor, "frame 3"]
    translation: Float[Tensor, "frame 3"]

    @classmethod
    def nobody(cls) -> "Coefficients":
        """The mean face, in no frame."""
        sizes = {"delta": 64, "gamma": N_LIGHT, "rotation": 3, "translation": 3}
        frames = {name: torch.zeros(0, size) for name, size in sizes.items()}
        return cls(alpha=torch.zeros(80), beta=torch.zeros(80), **frames)

    def of(self, placed: Placed) -> "Coefficients":
        """This person so placed, in ambient light."""
        return replace(
            self,
            delta=placed.delta,
            gamma=placed.delta.new_zeros(len(placed.delta), N_LIGHT),
            rotation=angles(placed.rotation),
            translation=placed.translation,
        )

    def at(self, rows: slice | Int64[Tensor, " row"]) -> "Coefficients":
        """Those of some frames."""
        return replace(self, **{name: getattr(self, name)[rows] for name in MOVING})

    def face(self, model: FaceModel) -> Face:
        """What the camera sees."""
        face: Face = model(
            self.alpha[None, :, None],
            self.delta[..., None],
            self.beta[None, :, None],
            self.rotation[..., None],
            self.translation[..., None],
            self.gamma[..., None],
        )
        return face


def render(model: FaceModel, coefficients: Coefficients, side: int) -> Rendered:
    """Pictures of the faces."""
    face = coefficients.face(model)
    return rasterize(face.clip, model.triangles, face.color, side)
