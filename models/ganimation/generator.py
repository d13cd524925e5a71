"""GANimation's generator: a face with given facial action units.

Pumarola et al. 2018, equation 1, in the form that VideoReTalking ships (six residual blocks, 17
action units; it feeds BGR) or in another size. Attribute names are those of the published state
dict.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.ganimation.settings import GANimationSize
from models.tensors import FeatureMaps, Images

ACTION_UNITS = 17
"""Intensities of AU 1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45."""

_PUBLISHED = GANimationSize()


class Layers(NamedTuple):
    """The generated face, and the share of the original to keep at each pixel.

    Attributes:
        color: In -1..1, in the colour order of the input.
        attention: Share of the original image, 0..1.
    """

    color: Images
    attention: Float[Tensor, "batch 1 height width"]

    def over(self, image: Images) -> Images:
        """The changed image, -1..1."""
        return self.attention * image + (1 - self.attention) * self.color


class ResidualBlock(nn.Module):
    """Two convolutions with instance norms, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.InstanceNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, features: FeatureMaps) -> FeatureMaps:
        """The features and their change."""
        change: Tensor = self.conv_block(features)
        return features + change


def _normed(conv: nn.Module, channels: int) -> list[nn.Module]:
    return [conv, nn.InstanceNorm2d(channels), nn.ReLU()]


class Generator(nn.Module):
    """Image and action units → colour and attention maps.

    Attributes:
        side: Of the faces that it was trained on [px].
        colours: Their order.
    """

    def __init__(self, size: GANimationSize = _PUBLISHED) -> None:
        super().__init__()
        self.side, self.colours = size.side, size.colours
        fine, middle, coarse = (size.width * factor for factor in (1, 2, 4))
        self.model = nn.Sequential(
            *_normed(nn.Conv2d(3 + ACTION_UNITS, fine, 7, padding=3), fine),
            *_normed(nn.Conv2d(fine, middle, 4, stride=2, padding=1), middle),
            *_normed(nn.Conv2d(middle, coarse, 4, stride=2, padding=1), coarse),
            *(ResidualBlock(coarse) for _ in range(size.residuals)),
            *_normed(nn.ConvTranspose2d(coarse, middle, 4, stride=2, padding=1), middle),
            *_normed(nn.ConvTranspose2d(middle, fine, 4, stride=2, padding=1), fine),
        )
        self.color_top = nn.Sequential(nn.Conv2d(fine, 3, 7, padding=3, bias=False), nn.Tanh())
        self.au_top = nn.Sequential(nn.Conv2d(fine, 1, 7, padding=3, bias=False), nn.Sigmoid())

    def forward(self, image: Images, action_units: Float[Tensor, "batch 17"]) -> Layers:
        """The changed face, and where to keep the original.

        Args:
            image: -1..1, in the order of `colours`; sides are multiples of 4.
            action_units: Intensities in 0..1, in the order of ACTION_UNITS.

        Returns:
            Colour and attention; `.over(image)` is the changed image.
        """
        if image.shape[-1] % 4 or image.shape[-2] % 4:
            raise ValueError(f"sides must be multiples of 4, not {tuple(image.shape[-2:])}")
        spread = action_units[:, :, None, None].expand(-1, -1, *image.shape[-2:])
        features = self.model(torch.cat((image, spread.to(image.dtype)), 1))
        return Layers(self.color_top(features), self.au_top(features))
