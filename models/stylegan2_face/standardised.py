"""Numbers about their mean, in standard deviations, as a training has seen them."""

import torch
from torch import Tensor, nn

from models.stylegan2_face.encoders import Features

_KEPT, _LEAST = 1000, 1e-5


class Standardised(nn.Module):
    """Features about their mean, in standard deviations: of all that were seen in training.

    Args:
        features: Numbers of a feature.

    Attributes:
        running_mean: Of each number.
        running_var: Likewise, variance.
        seen: Batches, a thousand at most; of more, these count.
    """

    running_mean: Tensor
    running_var: Tensor
    seen: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    def forward(self, features: Features) -> Features:
        """The features, standardised."""
        if self.training:
            self._learn(features.detach().float())
        return (features - self.running_mean) * torch.rsqrt(self.running_var + _LEAST)

    def _learn(self, features: Features) -> None:
        share = 1 / self.seen.add_(1).clamp_(max=_KEPT).float()
        off = features - self.running_mean
        self.running_mean.add_(off.mean(0) * share)
        self.running_var.lerp_((off * (features - self.running_mean)).mean(0), share)
