"""StyleGAN2's critic (Karras et al. 2020), as rosinality/stylegan2-pytorch publishes it."""

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.stylegan2.layers import EPS, ConvLayer, EqualLinear
from models.stylegan2.pyramid import channels_of
from models.tensors import FeatureMaps, HalvedMaps

STDDEV_GROUP = 4
"""Samples among which the standard deviation is taken."""


class ResBlock(nn.Module):
    """Two convolutions and a shortcut, half as large on output."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = ConvLayer(inputs, inputs, 3)
        self.conv2 = ConvLayer(inputs, outputs, 3, downsample=True)
        self.skip = ConvLayer(inputs, outputs, 1, downsample=True, activate=False)

    def forward(self, image: FeatureMaps) -> HalvedMaps:
        """Features at half the size."""
        out: Tensor = self.conv2(self.conv1(image)) + self.skip(image)
        return out / math.sqrt(2)


def append_stddev(features: FeatureMaps) -> Float[Tensor, "batch channel+1 height width"]:
    """Appends the minibatch standard deviation as a channel.

    Samples i, i + N / G, i + 2 N / G, ... form a group of G = min(N, 4) (Karras et al. 2018,
    section 3).
    """
    batch, _, height, width = features.shape
    group = min(batch, STDDEV_GROUP)
    if batch % group:
        raise ValueError(f"a batch of {batch} does not divide into groups of {group}")
    grouped = features.reshape(group, batch // group, -1)
    stddev = (grouped.var(0, correction=0) + EPS).sqrt().mean(1)
    stddev = stddev.repeat(group).view(batch, 1, 1, 1).expand(-1, 1, height, width)
    return torch.cat([features, stddev.to(features.dtype)], 1)


class Discriminator(nn.Module):
    """Scores how real images look.

    Args:
        size: Side of the images, a power of 2 [px].
        channel_multiplier: Of the channels from 64 px on; 2 in the published files.
    """

    def __init__(self, size: int, channel_multiplier: int = 2) -> None:
        super().__init__()
        channels = channels_of(size, channel_multiplier)[::-1]
        blocks = [ResBlock(*pair) for pair in pairwise(channels)]
        self.convs = nn.Sequential(ConvLayer(3, channels[0], 1), *blocks)
        last = channels[-1]
        self.final_conv = ConvLayer(last + 1, last, 3)
        self.final_linear = nn.Sequential(
            EqualLinear(last * 4 * 4, last, activate=True), EqualLinear(last, 1)
        )

    def forward(self, input: Float[Tensor, "batch 3 size size"]) -> Float[Tensor, "batch 1"]:
        """Scores of images, RGB -1..1; a batch of more than 4 must be a multiple of 4."""
        features: Tensor = self.final_conv(append_stddev(self.convs(input)))
        score: Tensor = self.final_linear(features.flatten(1))
        return score
