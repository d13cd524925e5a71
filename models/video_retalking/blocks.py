"""Blocks that D-Net and L-Net share: conv, layer norm, leaky ReLU; the decoder of a U-Net.

Attribute names are those of the published state dicts.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.spectral_norm import spectral_norm

from models.tensors import FeatureMaps, Images, OutputMaps, Vectors

SLOPE = 0.1
"""Of the leaky ReLUs outside the Fourier convolutions."""


class LayerNorm2d(nn.GroupNorm):
    """Layer norm over channels and pixels together, scale and shift per channel.

    The same as one group of channels, which (unlike a layer norm) keeps channels-last memory.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(num_groups=1, num_channels=channels)
        self.weight = nn.Parameter(self.weight.detach().view(channels, 1, 1))
        self.bias = nn.Parameter(self.bias.detach().view(channels, 1, 1))

    def forward(self, features: FeatureMaps) -> FeatureMaps:
        """Normalised features."""
        return functional.group_norm(
            features, 1, self.weight.flatten(), self.bias.flatten(), self.eps
        )


def _conv(inputs: int, outputs: int, *, kernel: int, spectral: bool) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    return spectral_norm(conv) if spectral else conv


class ConvLayerNorm(nn.Module):
    """Convolution, layer norm, leaky ReLU.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        kernel: Side of the kernel, odd; the size is kept.
        resample: "down" averages 2 x 2 pixels at the end, "up" doubles pixels at the start.
        spectral: Divide the weights by their spectral norm.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int = 3,
        resample: Literal["none", "down", "up"] = "none",
        spectral: bool = False,
    ) -> None:
        super().__init__()
        self.model = nn.Sequential(
            _conv(inputs, outputs, kernel=kernel, spectral=spectral),
            LayerNorm2d(outputs),
            nn.LeakyReLU(SLOPE),
        )
        if resample == "down":
            self.model.append(nn.AvgPool2d(2))
        self.doubled = resample == "up"

    def forward(self, features: FeatureMaps) -> OutputMaps:
        """Activated features, resampled as the layer was made to."""
        if self.doubled:
            features = functional.interpolate(features, scale_factor=2, mode="nearest")
        found: Tensor = self.model(features)
        return found


class OutputConv(nn.Module):
    """The last convolution, 7 x 7, and its activation.

    Args:
        channels: Channels of the input.
        activation: Sets the range of values.
        spectral: Divide the weights by their spectral norm.
    """

    def __init__(self, channels: int, *, activation: nn.Module, spectral: bool) -> None:
        super().__init__()
        self.model = nn.Sequential(_conv(channels, 3, kernel=7, spectral=spectral), activation)

    def forward(self, features: FeatureMaps) -> Images:
        """The image, in the range of the activation."""
        image: Tensor = self.model(features)
        return image


class ModulatedStage(nn.Module):
    """Residual blocks one after the other, all modulated by the same vector.

    Args:
        blocks: Called with features and vector; named `res0`, `res1` and so on.
    """

    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        for place, block in enumerate(blocks):
            self.add_module(f"res{place}", block)

    def forward(self, features: FeatureMaps, vector: Vectors) -> FeatureMaps:
        """Modulated features."""
        for block in self.children():
            features = block(features, vector)
        return features


class SkipDecoder(nn.Module):
    """Modulated residual blocks, doubling, a skip connection: from the coarsest level up.

    Args:
        widths: Channels of the encoder's levels, finest first; the last is the input's.
        make_stage: Channels → the residual blocks of a level.
        activation: Of the image.
        spectral: Divide the weights of plain convolutions by their spectral norm.
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        make_stage: Callable[[int], ModulatedStage],
        activation: nn.Module,
        spectral: bool,
    ) -> None:
        super().__init__()
        self.levels = len(widths) - 1
        for level in reversed(range(self.levels)):
            coarse, fine = widths[level + 1], widths[level]
            up = ConvLayerNorm(coarse, fine, resample="up", spectral=spectral)
            self.add_module(f"up{level}", up)
            self.add_module(f"res{level}", make_stage(coarse))
            self.add_module(f"jump{level}", ConvLayerNorm(fine, fine, spectral=spectral))
        self.final = OutputConv(widths[0], activation=activation, spectral=spectral)

    def forward(
        self, features: Sequence[Float[Tensor, "batch _width _height _width"]], vector: Vectors
    ) -> Images:
        """The image, in the range of the activation.

        Args:
            features: For every level, finest first, each half as large as the one before.
            vector: The modulating vector, with or without axes of length 1 behind.
        """
        found = features[-1]
        for level in reversed(range(self.levels)):
            found = self.get_submodule(f"res{level}")(found, vector)
            found = self.get_submodule(f"up{level}")(found)
            found = self.get_submodule(f"jump{level}")(features[level]) + found
        image: Tensor = self.final(found)
        return image
