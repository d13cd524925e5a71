"""Losses of IP-LAP's landmark network (paper section 3.4)."""

import torch
from torch import Tensor
from torch.nn import functional


def landmark_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of landmarks, any shape."""
    return functional.l1_loss(prediction, target)


def velocity_loss(prediction: Tensor, target: Tensor, *, frames: int = 5) -> Tensor:
    """How much the motion from frame to frame differs: the paper's continuity loss.

    Args:
        prediction: (clips * frames, 2, landmarks), clip by clip.
        target: Likewise.
        frames: Frames of a clip.

    Returns:
        Scalar, the mean distance of the motions of all landmarks of a frame pair together.

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


def gram_matrix(features: Tensor) -> Tensor:
    """Correlations of channels: the style of a feature map.

    Args:
        features: (B, C, H, W).

    Returns:
        (B, C, C), divided by C * H * W.
    """
    flat = features.flatten(2)
    return torch.bmm(flat, flat.transpose(1, 2)) / flat[0].numel()
