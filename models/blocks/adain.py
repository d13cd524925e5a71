"""Adaptive instance normalisation: statistics of a feature map set by a vector."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.tensors import FeatureMaps, Vectors

HIDDEN = 128
"""Width of the MLP."""


class AdaIN(nn.Module):
    """Instance norm, then a scale and shift per channel that an MLP makes from a vector.

    Huang and Belongie 2017, in the form of PIRender (Ren et al. 2021), which IP-LAP and
    VideoReTalking share: hidden width 128, scale 1 + gamma.

    Args:
        channels: Of the feature map.
        vector_channels: Of the modulating vector.
    """

    def __init__(self, channels: int, vector_channels: int) -> None:
        super().__init__()
        self.mlp_shared = nn.Sequential(nn.Linear(vector_channels, HIDDEN), nn.ReLU())
        self.mlp_gamma = nn.Linear(HIDDEN, channels)
        self.mlp_beta = nn.Linear(HIDDEN, channels)

    def forward(self, features: FeatureMaps, vector: Vectors) -> FeatureMaps:
        """Modulated features.

        Args:
            features: The map to be modulated.
            vector: The modulating vector, with or without axes of length 1.
        """
        hidden = self.mlp_shared(vector.flatten(1))
        gamma: Tensor = self.mlp_gamma(hidden)[:, :, None, None]
        beta: Tensor = self.mlp_beta(hidden)[:, :, None, None]
        return torch.addcmul(beta, functional.instance_norm(features), 1 + gamma)
