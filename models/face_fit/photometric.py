"""Coefficients that make the face look like the picture: AudioDVP's losses, without its network.

The published fit trains a network on the frames of one clip; free coefficients for each frame reach
the same optimum in a fraction of the time.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from models.audiodvp.face_model import AMBIENT, FaceModel, landmark_loss
from models.deep3d.geometry import harmonics
from models.face_fit.coefficients import Coefficients, render
from models.rasterizer.interpolation import interpolate
from models.rasterizer.visibility import visible_triangles
from models.tensors import Points68, Scalar

PHOTO, LANDMARK, PRIOR = 1.9, 1.6e-3, 3e-4
"""Weights of the published loss."""
ALPHA, BETA, DELTA = 1.0, 1.7e-3, 0.8
"""Shares of the prior."""
BATCH = 5
"""Frames over which the published loss sums, where it does not average."""
SIDE = 128
"""Of the pictures that are compared [px]."""

_RATES = {
    "delta": 0.05, "gamma": 0.02, "rotation": 2e-3, "translation": 2e-3, "alpha": 0.03, "beta": 0.1
}  # fmt: skip
_STEADY = {"delta": 1.0, "gamma": 10.0, "rotation": 3e3, "translation": 3e3}
"""How much a squared step from frame to frame counts: about 1 / (4 variance of real steps)."""
_TEMPORAL = 1e-4
_BETAS = 0.5, 0.999
_REUSED = 4
"""Steps for which the same triangles are taken to be seen."""
_TOGETHER = 16
"""Frames that are drawn at once: their values stay in a processor's cache."""
_UNEVEN = 0.02
"""How much light from a side is drawn to none at first."""


@dataclass(frozen=True)
class Target:
    """What the faces shall look like.

    Attributes:
        pictures: RGB in 0..1, SIDE px.
        landmarks: [px of 256].
        linked: The frame goes on from the one before.
    """

    pictures: Float[Tensor, "frame 3 side side"]
    landmarks: Points68
    linked: Bool[Tensor, " frame"]


@torch.no_grad()
def first_light(
    model: FaceModel,
    coefficients: Coefficients,
    pictures: Float[Tensor, "frame 3 side side"],
) -> Float[Tensor, "frame 27"]:
    """Light that explains the pictures best, by least squares; the coefficients' own is not read.

    Args:
        model: Of the face.
        coefficients: All but the light.
        pictures: RGB in 0..1.
    """
    face = coefficients.face(model)
    place = face.screen * (2 / model.image_size) - 1
    seen = functional.grid_sample(pictures, place[:, None], align_corners=False)[:, :, 0]
    weight = face.world_normals[..., 2].clamp(min=0) * (place.abs() < 1).all(-1)
    terms = face.albedo.permute(0, 2, 1)[..., None] * harmonics(face.world_normals)[:, None]
    ambient = torch.zeros(9, 1).to(seen)
    ambient[0] = AMBIENT
    weighted = (terms * weight[:, None, :, None]).mT  # frame, colour, harmonic, vertex
    ridge = torch.full((9,), _UNEVEN).to(seen)
    ridge[0] = _UNEVEN / 10
    ridges = torch.diag(ridge) * weight.sum(-1)[:, None, None, None]
    left = seen[..., None] - terms @ ambient
    light: Tensor = torch.linalg.solve(weighted @ terms + ridges, weighted @ left)[..., 0]
    return light.mT.flatten(1)


def fit(
    model: FaceModel,
    target: Target,
    start: Coefficients,
    *,
    iterations: int,
    free: frozenset[str],
    temporal: float = 1.0,
) -> Coefficients:
    """Improve coefficients by Adam.

    Args:
        model: Of the face.
        target: What it shall look like.
        start: Where to begin.
        iterations: Steps.
        free: Names of the coefficients that may change.
        temporal: Weight of steps from a linked frame to the next.
    """
    values = {name: getattr(start, name).clone().requires_grad_() for name in sorted(free)}
    found = replace(start, **values)
    adam = torch.optim.Adam(
        [{"params": [value], "lr": _RATES[name]} for name, value in values.items()], betas=_BETAS
    )
    fade = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: 1 - step / iterations)
    drawn = [
        _Drawn(model, target, slice(at, at + _TOGETHER))
        for at in range(0, len(start.delta), _TOGETHER)
    ]
    for step in range(iterations):
        adam.zero_grad()
        for part in drawn:
            torch.autograd.backward(part.loss(found, look=step % _REUSED == 0))
        torch.autograd.backward(prior(found) + temporal * steadiness(found, target.linked))
        adam.step()
        fade.step()
    return replace(found, **{name: value.detach() for name, value in values.items()})


class _Drawn:
    """Some of the frames, and which triangles are seen in them."""

    def __init__(self, model: FaceModel, target: Target, rows: slice) -> None:
        self._model, self._rows = model, rows
        self._landmarks = target.landmarks[rows]
        self._pictures = target.pictures[rows].permute(0, 2, 3, 1).reshape(-1, 3)
        self._side = target.pictures.shape[-1]

    def loss(self, coefficients: Coefficients, *, look: bool) -> Scalar:
        """Of pictures and landmarks, summed over the frames (the published one times 5 / batch).

        Args:
            coefficients: Of all frames.
            look: Whether to find the triangles that are seen; else those of before are taken.
        """
        face = coefficients.at(self._rows).face(self._model)
        if look:
            self._seen = visible_triangles(face.clip, self._model.triangles, self._side)
        colors = interpolate(face.color, face.clip, self._model.triangles, self._seen).clamp(0, 1)
        off = (colors - self._pictures[self._seen.pixel]).square().sum() / (3 * self._side**2)
        points = landmark_loss(face.landmarks, self._landmarks)
        return PHOTO * off + BATCH * LANDMARK * points


def prior(coefficients: Coefficients) -> Scalar:
    """How unlikely the faces are, as published."""
    person = ALPHA * coefficients.alpha.square().sum() + BETA * coefficients.beta.square().sum()
    delta = coefficients.delta
    return PRIOR * (len(delta) * person + BATCH * DELTA * delta.square().sum())


def steadiness(coefficients: Coefficients, linked: Bool[Tensor, " frame"]) -> Scalar:
    """How far coefficients move from each frame to the next that is linked to it."""
    moved = sum(
        weight * getattr(coefficients, name).diff(dim=0)[linked[1:]].square().sum()
        for name, weight in _STEADY.items()
    )
    return torch.as_tensor(_TEMPORAL * moved)


@torch.no_grad()
def landmark_error(
    model: FaceModel, coefficients: Coefficients, landmarks: Points68
) -> Float[Tensor, " frame"]:
    """Mean distance of the 68 points of each frame [px of 256]."""
    off: Tensor = (coefficients.face(model).landmarks - landmarks).norm(dim=-1).mean(1)
    return off


@torch.no_grad()
def photo_error(
    model: FaceModel,
    coefficients: Coefficients,
    pictures: Float[Tensor, "frame 3 side side"],
) -> Float[Tensor, " frame"]:
    """Root mean square of each frame's difference in colour over the face, RGB in 0..1."""
    drawn = render(model, coefficients, pictures.shape[-1])
    off = ((drawn.image - pictures) * drawn.mask).square().sum((1, 2, 3))
    return (off / (3 * drawn.mask.sum((1, 2, 3))).clamp(min=1)).sqrt()
