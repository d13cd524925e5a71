"""AudioDVP's fit: a network that is trained on the pictures of one person, as published."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from models.audiodvp.face_model import FaceModel, landmark_loss
from models.audiodvp.regressor import GROUPS, FaceRegressor
from models.face_fit.coefficients import Coefficients
from models.face_fit.photometric import ALPHA, BATCH, BETA, DELTA, LANDMARK, PHOTO, PRIOR
from models.rasterizer.interpolation import interpolate
from models.rasterizer.visibility import visible_triangles
from models.tensors import Points68, Scalar

_BETAS = 0.5, 0.999
_RATE, _PERSON_RATE = 2e-5, 1e-3


def train(
    network: FaceRegressor,
    model: FaceModel,
    pictures: UInt8[Tensor, "frame side side 3"],
    landmarks: Points68,
    *,
    epochs: int,
    progress: Callable[[int], None] = lambda frames: None,
) -> tuple[Float[Tensor, "80"], Float[Tensor, "80"]]:
    """Train the network in place; what it learns last of the person is alpha and beta.

    Batch normalisation sees each batch's own statistics, as published. Afterwards it takes those
    that it kept, so that a frame comes out the same whatever is beside it.

    Args:
        network: On the device where it shall be trained.
        model: Of the face, there too.
        pictures: RGB 0..255, squares of the fit.
        landmarks: [px of 256].
        epochs: How often each frame is seen.
        progress: Told of frames that were seen.

    Raises:
        FloatingPointError: the loss is no number any more.
    """
    device = model.mean_shape.device
    alpha, beta = (torch.zeros(80, device=device, requires_grad=True) for _ in range(2))
    groups: list[dict[str, Any]] = [
        {"params": network.parameters()},
        {"params": [alpha, beta], "lr": _PERSON_RATE},
    ]
    adam = torch.optim.Adam(groups, lr=_RATE, betas=_BETAS)
    network.train().requires_grad_(True)
    generator = torch.Generator().manual_seed(0)
    for _ in range(epochs):
        order = torch.randperm(len(pictures), generator=generator)
        for rows in torch.split(order, BATCH):
            if len(rows) < BATCH <= len(pictures):
                continue  # as published; another shuffle brings these
            seen = pictures[rows].to(device).permute(0, 3, 1, 2) / 255
            found = of_network(network(seen), alpha, beta)
            loss = _loss(model, found, seen, landmarks[rows].to(device))
            if not torch.isfinite(loss):
                raise FloatingPointError("the loss of the fit is no number any more")
            adam.zero_grad()
            torch.autograd.backward(loss)
            adam.step()
            progress(len(rows))
    network.eval().requires_grad_(False)
    return alpha.detach().cpu(), beta.detach().cpu()


def of_network(
    given: Float[Tensor, "frame 97"], alpha: Float[Tensor, "80"], beta: Float[Tensor, "80"]
) -> Coefficients:
    """What the network gives, of this person."""
    groups = torch.split(given, list(GROUPS.values()), 1)
    return Coefficients(alpha=alpha, beta=beta, **dict(zip(GROUPS, groups, strict=True)))


def _loss(model: FaceModel, found: Coefficients, pictures: Tensor, landmarks: Points68) -> Scalar:
    face, side = found.face(model), pictures.shape[-1]
    seen = visible_triangles(face.clip, model.triangles, side)
    colors = interpolate(face.color, face.clip, model.triangles, seen).clamp(0, 1)
    shown = pictures.permute(0, 2, 3, 1).reshape(-1, 3)[seen.pixel]
    photo = (colors - shown).square().sum() / pictures.numel()
    person = ALPHA * found.alpha.square().sum() + BETA * found.beta.square().sum()
    prior = person + DELTA * found.delta.square().sum()
    points = landmark_loss(face.landmarks, landmarks)
    return PHOTO * photo + LANDMARK * points + PRIOR * prior


def packed(network: nn.Module) -> Float[Tensor, " number"]:
    """All that a network has learnt, one number after the other."""
    return torch.cat([each.flatten().cpu() for each in _learnt(network)])


def unpack(network: nn.Module, numbers: Float[Tensor, " number"]) -> None:
    """Give a network what was `packed` of another."""
    with torch.no_grad():
        parts = torch.split(numbers, [each.numel() for each in _learnt(network)])
        for each, part in zip(_learnt(network), parts, strict=True):
            each.copy_(part.reshape(each.shape))


def _learnt(network: nn.Module) -> list[Tensor]:
    return [each for each in network.state_dict().values() if each.is_floating_point()]
