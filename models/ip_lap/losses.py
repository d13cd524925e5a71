"""Losses of IP-LAP's two networks (paper sections 3.2 to 3.4)."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from models.tensors import AnyMaps, FeatureMaps, Scalar

ClipLandmarks = Float[Tensor, "frame 2 landmark"]  # of the frames of clips, clip by clip: x, y

Judged = list[list[AnyMaps]]
"""What the critic gives: for each scale the output of each layer, the last the verdict."""


def landmark_loss(
    prediction: Float[Tensor, "*landmark"], target: Float[Tensor, "*landmark"]
) -> Scalar:
    """Mean absolute difference of landmarks."""
    return functional.l1_loss(prediction, target)


def velocity_loss(prediction: ClipLandmarks, target: ClipLandmarks, *, frames: int = 5) -> Scalar:
    """How much the motion from frame to frame differs: the paper's continuity loss.

    Args:
        prediction: Frames of clips, clip by clip.
        target: Likewise.
        frames: Frames of a clip.

    Returns:
        The mean distance of the motions of all landmarks of a frame pair together.

    Raises:
        ValueError: frames do not make up whole clips.
    """
    if len(prediction) % frames:
        raise ValueError(f"{len(prediction)} frames are not whole clips of {frames}")
    motions = [
        landmarks.reshape(-1, frames, *landmarks.shape[1:]).diff(dim=1).flatten(2)
        for landmarks in (prediction, target)
    ]
    return functional.pairwise_distance(motions[0], motions[1]).mean()


def gram_matrix(features: FeatureMaps) -> Float[Tensor, "batch channel channel"]:
    """Correlations of channels, the style of a feature map, divided by the size of the map."""
    flat = features.flatten(2)
    return torch.bmm(flat, flat.transpose(1, 2)) / flat[0].numel()


def adversarial_loss(judged: Judged, *, real: bool) -> Scalar:
    """Least squares: how far the verdicts are from 1 for real or 0 for generated pictures.

    Args:
        judged: What `PatchCritic` gives: of each scale all layers, the last the verdict.
        real: What the verdicts should be.

    Returns:
        The sum over the scales of mean squares.
    """
    verdicts = [layers[-1] for layers in judged]
    wanted = [torch.full_like(verdict, float(real)) for verdict in verdicts]
    squares = [functional.mse_loss(v, w) for v, w in zip(verdicts, wanted, strict=True)]
    return torch.stack(squares).sum()


def feature_matching_loss(judged: Judged, real: Judged) -> Scalar:
    """Mean absolute difference of the critic's features of two pictures (pix2pixHD).

    Args:
        judged: Of the generated picture, as in `adversarial_loss`.
        real: Of the true one; no gradient goes there.

    Returns:
        The sum over layers but the last, times 4 over their number, mean over the scales.
    """
    loss = judged[0][0].new_zeros(())
    for ours, theirs in zip(judged, real, strict=True):
        share = 4 / (len(ours) - 1) / len(judged)
        for found, wanted in zip(ours[:-1], theirs[:-1], strict=True):
            loss = loss + share * functional.l1_loss(found, wanted.detach())
    return loss
