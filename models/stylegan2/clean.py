"""StyleGAN2's layers without filters, as GFPGAN's "clean" version and VideoReTalking store them.

Against models.stylegan2.layers: weights are stored as they act, sizes change bilinearly before the
convolution, the output of a modulated convolution is multiplied by sqrt(2) and the leaky ReLU is
plain, and the strength of the noise and the bias belong to the styled convolution itself.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from models.stylegan2.layers import (
    GAIN,
    SLOPE,
    ColourSkip,
    ModulatedWeight,
    Styles,
    modulated_conv2d,
)
from models.tensors import FeatureMaps, Images, OutputMaps


def twice(image: FeatureMaps) -> Float[Tensor, "batch channel 2*height 2*width"]:
    """The image at twice its size, interpolated bilinearly."""
    return F.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)


class ModulatedConv2d(ModulatedWeight):
    """Convolution modulated by a style; optionally doubling the size first."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        style_dim: int,
        *,
        demodulate: bool = True,
        upsample: bool = False,
    ) -> None:
        fan_in = inputs * kernel**2
        weight = torch.randn(outputs, inputs, kernel, kernel)
        super().__init__(weight / math.sqrt(fan_in))
        self.modulation = nn.Linear(style_dim, inputs)
        nn.init.kaiming_normal_(self.modulation.weight, nonlinearity="linear")
        nn.init.ones_(self.modulation.bias)
        self.demodulate = demodulate
        self.upsample = upsample

    def forward(self, image: FeatureMaps, style: Styles) -> OutputMaps:
        """Convolved features."""
        return modulated_conv2d(
            twice(image) if self.upsample else image,
            self.weight,
            self.modulation(style),
            demodulate=self.demodulate,
        )


class StyleConv(nn.Module):
    """Modulated convolution (3 x 3), sqrt(2), noise (fresh if none is given), bias, leaky ReLU."""

    def __init__(
        self, inputs: int, outputs: int, style_dim: int, *, upsample: bool = False
    ) -> None:
        super().__init__()
        self.modulated_conv = ModulatedConv2d(inputs, outputs, 3, style_dim, upsample=upsample)
        self.weight = nn.Parameter(torch.zeros(1))
        self.bias = nn.Parameter(torch.zeros(1, outputs, 1, 1))

    def forward(
        self, image: FeatureMaps, style: Styles, noise: Float[Tensor, "..."] | None = None
    ) -> OutputMaps:
        """Activated features."""
        out: Tensor = self.modulated_conv(image, style) * GAIN
        if noise is None:
            shape = (len(out), 1, *out.shape[2:])
            noise = torch.randn(shape, dtype=out.dtype, device=out.device)
        return F.leaky_relu(out + self.weight * noise + self.bias, SLOPE)


class ToRGB(nn.Module):
    """Features to colours, added to the colours of the level below, which are half as large."""

    def __init__(self, inputs: int, style_dim: int) -> None:
        super().__init__()
        self.modulated_conv = ModulatedConv2d(inputs, 3, 1, style_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, image: FeatureMaps, style: Styles, skip: ColourSkip | None = None) -> Images:
        """RGB, -1..1, not clipped."""
        out: Tensor = self.modulated_conv(image, style) + self.bias
        return out if skip is None else out + twice(skip)
