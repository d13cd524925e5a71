"""Spatially adaptive normalisation: statistics of a feature map set by another map."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

SampleMaps = Float[Tensor, "sample channel height width"]  # several of one batch


class Spade(nn.Module):
    """Instance norm, then a scale and shift per pixel that convolutions make from a map.

    Park et al. 2019, in IP-LAP's form: no nonlinearity after the first convolution.

    Args:
        channels: Of the feature map.
        map_channels: Of the modulating map.
        hidden: Channels between the convolutions.
    """

    def __init__(self, channels: int, map_channels: int, *, hidden: int = 256) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(map_channels, hidden, 3, padding=1)
        self.gamma = nn.Conv2d(hidden, channels, 3, padding=1)
        self.beta = nn.Conv2d(hidden, channels, 3, padding=1)

    def forward(
        self, features: SampleMaps, modulation: Float[Tensor, "batch map_channel height width"]
    ) -> SampleMaps:
        """Modulated features.

        Args:
            features: The maps to be modulated: as many as modulating maps, or a multiple.
            modulation: The modulating maps, each for as many maps that follow each other.
        """
        hidden = self.conv1(modulation)
        gamma: Tensor = self.gamma(hidden)[:, None]
        beta: Tensor = self.beta(hidden)[:, None]
        normed = functional.instance_norm(features)
        shared = normed.reshape(len(modulation), -1, *normed.shape[1:])
        return torch.addcmul(beta, shared, 1 + gamma).flatten(0, 1)
