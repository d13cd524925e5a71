"""Fast Fourier convolutions modulated by a vector: the residual blocks of L-Net's decoder.

Chi et al., "Fast Fourier Convolution", NeurIPS 2020, in LaMa's form (Suvorov et al. 2022), with
AdaIN for batch norm. Attribute names are those of the published state dicts.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from models.blocks.adain import AdaIN
from models.tensors import FeatureMaps, Vectors

Local = Float[Tensor, "batch local height width"]  # the local channels
Wide = Float[Tensor, "batch wide height width"]  # the global channels

GLOBAL_SHARE = 0.75
"""Of the channels, the last ones; the first are local."""


class FourierUnit(nn.Module):
    """1 x 1 convolution, batch norm and ReLU on the Fourier transform: sees the whole image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_layer = nn.Conv2d(2 * channels, 2 * channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(2 * channels)

    def forward(self, features: FeatureMaps) -> FeatureMaps:
        """Features in which each pixel depends on the whole image."""
        size = features.shape[-2:]
        # Transforms know no bfloat16, and float16 only for powers of two; autocast leaves them be.
        wide = features.to(torch.promote_types(features.dtype, torch.float32))
        spectrum = torch.view_as_real(torch.fft.rfft2(wide, norm="ortho")).permute(0, 1, 4, 2, 3)
        # Channels of the convolution: real and imaginary part of the first, of the second, ...
        parts = spectrum.flatten(1, 2).to(features.dtype)
        parts = functional.relu(self.bn(self.conv_layer(parts)))
        pairs = parts.reshape(spectrum.shape).permute(0, 1, 3, 4, 2).to(wide.dtype).contiguous()
        found: Tensor = torch.fft.irfft2(torch.view_as_complex(pairs), s=size, norm="ortho")
        return found.to(features.dtype)


class SpectralTransform(nn.Module):
    """Fourier unit in a bottleneck of half the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // 2
        self.conv1 = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU()
        )
        self.fu = FourierUnit(hidden)
        self.conv2 = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, features: FeatureMaps) -> FeatureMaps:
        """Features in which each pixel depends on the whole image."""
        hidden: Tensor = self.conv1(features)
        found: Tensor = self.conv2(hidden + self.fu(hidden))
        return found


class FourierConv(nn.Module):
    """Local and global channels, each made of both."""

    def __init__(self, local: int, wide: int) -> None:
        super().__init__()
        self.convl2l = nn.Conv2d(local, local, 3, bias=False)
        self.convl2g = nn.Conv2d(local, wide, 3, bias=False)
        self.convg2l = nn.Conv2d(wide, local, 3, bias=False)
        self.convg2g = SpectralTransform(wide)

    def forward(self, local: Local, wide: Wide) -> tuple[Local, Wide]:
        """Convolved local and global features."""
        padded = functional.pad(local, (1, 1, 1, 1), mode="reflect")
        padded_wide = functional.pad(wide, (1, 1, 1, 1), mode="reflect")
        new_local = self.convl2l(padded) + self.convg2l(padded_wide)
        new_wide = self.convl2g(padded) + self.convg2g(wide)
        return new_local, new_wide


class ModulatedFourierConv(nn.Module):
    """Fourier convolution, AdaIN, leaky ReLU.

    The slope is 0.01, not the 0.1 of the rest of the network: the published code passes the
    activation at another argument's place.
    """

    def __init__(self, local: int, wide: int, vector_channels: int) -> None:
        super().__init__()
        self.ffc = FourierConv(local, wide)
        self.bn_l = AdaIN(local, vector_channels)
        self.bn_g = AdaIN(wide, vector_channels)

    def forward(self, local: Local, wide: Wide, vector: Vectors) -> tuple[Local, Wide]:
        """Convolved and modulated local and global features."""
        local, wide = self.ffc(local, wide)
        return (
            functional.leaky_relu(self.bn_l(local, vector), 0.01),
            functional.leaky_relu(self.bn_g(wide, vector), 0.01),
        )


class FourierResidual(nn.Module):
    """Two modulated Fourier convolutions, added to the input.

    Args:
        channels: Of the features.
        vector_channels: Of the modulating vector.
    """

    def __init__(self, channels: int, vector_channels: int) -> None:
        super().__init__()
        wide = int(channels * GLOBAL_SHARE)
        self.split = [channels - wide, wide]
        self.conv1 = ModulatedFourierConv(channels - wide, wide, vector_channels)
        self.conv2 = ModulatedFourierConv(channels - wide, wide, vector_channels)

    def forward(self, features: FeatureMaps, vector: Vectors) -> FeatureMaps:
        """The features and their modulated change."""
        local, wide = torch.split(features, self.split, dim=1)
        local, wide = self.conv1(local, wide, vector)
        local, wide = self.conv2(local, wide, vector)
        return features + torch.cat((local, wide), 1)
