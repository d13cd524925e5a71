"""The layers of StyleGAN2 (Karras et al. 2020), as rosinality/stylegan2-pytorch stores them.

Convention: weights are stored with unit variance and scaled by 1 / sqrt(fan in) at run time
("equalised", Karras et al. 2018, section 4.1).
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from models.tensors import FeatureMaps, Images, OutputMaps

Styles = Float[Tensor, "batch style"]  # what modulates a layer, for each sample
# The colours of the level below, half as large:
ColourSkip = Float[Tensor, "batch 3 height//2 width//2"]
OutputNoise = Float[Tensor, "#batch noise_channel out_height out_width"]  # as large as the output
Weights = Float[Tensor, "out_channel channel kernel kernel"]  # of a convolution

SLOPE = 0.2
GAIN = math.sqrt(2)
"""Of a leaky ReLU, so that it keeps the variance."""
EPS = 1e-8
TAPS = (1.0, 3.0, 3.0, 1.0)
"""Of the low-pass filter, along each axis."""


def leaky_relu(
    image: Float[Tensor, "*image"], bias: Float[Tensor, "..."] | None = None
) -> Float[Tensor, "*image"]:
    """A leaky ReLU of image + bias, times sqrt(2); the bias must broadcast."""
    return F.leaky_relu(image if bias is None else image + bias, SLOPE) * GAIN


def modulated_conv2d(
    image: FeatureMaps,
    weight: Weights,
    style: Float[Tensor, "batch channel"],
    *,
    demodulate: bool = True,
    transposed: bool = False,
) -> OutputMaps:
    """A convolution whose input channels are scaled by a style (Karras et al. 2020, section 2.2).

    Scales the activations instead of the weights, so that a batch shares one convolution: the same
    function up to rounding.

    Args:
        image: Features.
        weight: As it is to act (already scaled).
        style: The scale of each input channel.
        demodulate: Divide each output channel by the norm of its modulated weights.
        transposed: Stride 2 upwards, without padding: 2 height + kernel - 2 rows. Otherwise the
            size stays.
    """
    out = image * style[:, :, None, None].to(image.dtype)
    if transposed:
        out = F.conv_transpose2d(out, weight.transpose(0, 1), stride=2)
    else:
        out = F.conv2d(out, weight, padding=weight.shape[-1] // 2)
    if demodulate:
        energy = F.linear(style.square(), weight.square().sum((2, 3)))
        energy = energy.to(torch.promote_types(energy.dtype, torch.float32))  # EPS is 0 in half
        out = out * torch.rsqrt(energy + EPS)[:, :, None, None].to(out.dtype)
    return out


class PixelNorm(nn.Module):
    """Scales each sample to unit mean square over its channels."""

    def forward(self, features: Float[Tensor, "batch channel"]) -> Float[Tensor, "batch channel"]:
        """Scaled features."""
        return features * torch.rsqrt(features.square().mean(1, keepdim=True) + EPS)


class _Filter(nn.Module):
    """Holds the kernel of the low-pass filter, a constant that the published files carry."""

    kernel: Tensor

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        taps = torch.tensor(TAPS)
        kernel = torch.outer(taps, taps)
        self.register_buffer("kernel", kernel / kernel.sum() * gain)

    def _per_channel(self, channels: int) -> Tensor:
        return self.kernel.expand(channels, 1, -1, -1)


class Blur(_Filter):
    """Low-pass filter.

    Args:
        pad: Zeros (before, after) each axis; the image changes size by their sum - 3.
        gain: Of the filter; 4 after zeros were inserted along both axes.
    """

    def __init__(self, pad: tuple[int, int], gain: float = 1.0) -> None:
        super().__init__(gain)
        self.pad = pad

    def forward(self, image: FeatureMaps) -> Float[Tensor, "batch channel out_height out_width"]:
        """The filtered image."""
        channels = image.shape[1]
        image = F.pad(image, self.pad * 2)
        return F.conv2d(image, self._per_channel(channels).flip(2, 3), groups=channels)


class Upsample(_Filter):
    """Twice as large: zeros between the samples, then the low-pass filter."""

    def __init__(self) -> None:
        super().__init__(gain=4.0)

    def forward(self, image: FeatureMaps) -> Float[Tensor, "batch channel 2*height 2*width"]:
        """The image at twice its size."""
        channels = image.shape[1]
        return F.conv_transpose2d(
            image, self._per_channel(channels), stride=2, padding=1, groups=channels
        )


class EqualLinear(nn.Module):
    """Equalised linear layer.

    Args:
        bias_init: Where the biases start.
        lr_mul: Weights and biases are stored divided by this, which slows their learning.
        activate: A leaky ReLU follows.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        bias_init: float = 0.0,
        lr_mul: float = 1.0,
        activate: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_mul)
        self.bias = nn.Parameter(torch.full((outputs,), bias_init))
        self.scale = lr_mul / math.sqrt(inputs)
        self.lr_mul = lr_mul
        self.activate = activate

    def forward(
        self, features: Float[Tensor, "batch in_feature"]
    ) -> Float[Tensor, "batch out_feature"]:
        """Linear function of the features."""
        out = F.linear(features, self.weight * self.scale, self.bias * self.lr_mul)
        return leaky_relu(out) if self.activate else out


class EqualConv2d(nn.Module):
    """Equalised convolution, without a bias; it halves the size, unpadded, or keeps it."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, downsample: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.scale = 1 / math.sqrt(inputs * kernel**2)
        self.stride = 2 if downsample else 1
        self.padding = 0 if downsample else kernel // 2

    def forward(self, image: FeatureMaps) -> OutputMaps:
        """Convolved features."""
        weight = self.weight * self.scale
        return F.conv2d(image, weight, stride=self.stride, padding=self.padding)


class BiasedLeakyReLU(nn.Module):
    """Bias, leaky ReLU, gain ("FusedLeakyReLU").

    Args:
        flat: The bias is stored as C (rosinality, GPEN), else as 1 x C x 1 x 1 (PC-AVS).
    """

    def __init__(self, channels: int, *, flat: bool = True) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels if flat else (1, channels, 1, 1)))

    def forward(self, image: FeatureMaps) -> FeatureMaps:
        """Activated features."""
        return leaky_relu(image, self.bias.view(-1, 1, 1))


class ConvLayer(nn.Sequential):
    """Convolution and leaky ReLU, of the critic and of encoders; optionally halving the size.

    Args:
        activate: Bias and leaky ReLU follow; else neither.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        downsample: bool = False,
        activate: bool = True,
    ) -> None:
        layers: list[nn.Module] = []
        if downsample:
            pad = kernel + 1
            layers.append(Blur(((pad + 1) // 2, pad // 2)))
        layers.append(EqualConv2d(inputs, outputs, kernel, downsample=downsample))
        if activate:
            layers.append(BiasedLeakyReLU(outputs))
        super().__init__(*layers)


class ModulatedWeight(nn.Module):
    """Holds the weights of a convolution, which published files keep with a leading axis of 1.

    With five axes no network that has them could be made channels-last.
    """

    def __init__(self, weight: Weights) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.register_state_dict_post_hook(_add_axis)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_drop_axis)  # type: ignore[no-untyped-call]


def _add_axis(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    state[f"{prefix}weight"] = state[f"{prefix}weight"][None]


def _drop_axis(module: nn.Module, state: dict[str, Any], prefix: str, *others: Any) -> None:
    weight = state.get(f"{prefix}weight")
    if weight is not None and weight.ndim == 5 and len(weight) == 1:
        state[f"{prefix}weight"] = weight[0]


class ModulatedConv2d(ModulatedWeight):
    """Convolution modulated by a style; optionally doubling the size."""

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
        super().__init__(torch.randn(outputs, inputs, kernel, kernel))
        if upsample:
            pad = 3 - kernel
            self.blur = Blur(((pad + 1) // 2 + 1, pad // 2 + 1), gain=4.0)
        self.modulation = EqualLinear(style_dim, inputs, bias_init=1.0)
        self.scale = 1 / math.sqrt(inputs * kernel**2)
        self.demodulate = demodulate
        self.upsample = upsample

    def forward(self, image: FeatureMaps, style: Styles) -> OutputMaps:
        """Convolved features."""
        out = modulated_conv2d(
            image,
            self.weight * self.scale,
            self.modulation(style),
            demodulate=self.demodulate,
            transposed=self.upsample,
        )
        return self.blur(out) if self.upsample else out


class NoiseInjection(nn.Module):
    """Adds noise of learned strength, fresh normal noise if none is given.

    Args:
        concat: Appends it as channels instead (GPEN, where it is the encoder's features).
    """

    def __init__(self, *, concat: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.concat = concat

    def forward(
        self,
        image: FeatureMaps,
        noise: Float[Tensor, "#batch noise_channel height width"] | None = None,
    ) -> Float[Tensor, "batch out_channel height width"]:
        """Noisy features, or features and noise."""
        if noise is None:
            shape = image.shape if self.concat else (len(image), 1, *image.shape[2:])
            noise = torch.randn(shape, dtype=image.dtype, device=image.device)
        noise = self.weight * noise
        return torch.cat([image, noise.to(image.dtype)], 1) if self.concat else image + noise


class ConstantInput(nn.Module):
    """The learned image from which synthesis starts, repeated for the batch."""

    def __init__(self, channels: int, size: int = 4) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.randn(1, channels, size, size))

    def forward(self, batch: int) -> Float[Tensor, "{batch} channel size size"]:
        """As many copies as the batch has samples."""
        return self.input.expand(batch, -1, -1, -1)


class StyledConv(nn.Module):
    """Modulated convolution (3 x 3), noise, bias, leaky ReLU.

    Args:
        concat_noise: See NoiseInjection; the output then has twice outputs channels.
        flat_bias: See BiasedLeakyReLU.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        style_dim: int,
        *,
        upsample: bool = False,
        concat_noise: bool = False,
        flat_bias: bool = True,
    ) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(inputs, outputs, 3, style_dim, upsample=upsample)
        self.noise = NoiseInjection(concat=concat_noise)
        self.activate = BiasedLeakyReLU(outputs * (1 + concat_noise), flat=flat_bias)

    def forward(
        self, image: FeatureMaps, style: Styles, noise: OutputNoise | None = None
    ) -> OutputMaps:
        """Activated features."""
        out: Tensor = self.activate(self.noise(self.conv(image, style), noise))
        return out


class ToRGB(nn.Module):
    """Features to colours, added to the colours of the level below, which are half as large."""

    def __init__(self, inputs: int, style_dim: int, *, upsample: bool = True) -> None:
        super().__init__()
        if upsample:
            self.upsample = Upsample()
        self.conv = ModulatedConv2d(inputs, 3, 1, style_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, image: FeatureMaps, style: Styles, skip: ColourSkip | None = None) -> Images:
        """RGB, -1..1, not clipped."""
        out: Tensor = self.conv(image, style) + self.bias
        return out if skip is None else out + self.upsample(skip)
