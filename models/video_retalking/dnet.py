"""D-Net: a face with the expression and pose of given 3DMM coefficients.

VideoReTalking, section 3.2 (there for a neutral expression: the stabilised reference); the
architecture is PIRender's (Ren et al., ICCV 2021). Public repository: OpenTalker/video-retalking.
Attribute names are those of the published state dict.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from models.blocks.adain import AdaIN
from models.blocks.flow_warp import flow_to_grid, warp
from models.tensors import AnyMaps, FeatureMaps, HalvedMaps, Images
from models.video_retalking.blocks import (
    SLOPE,
    ConvLayerNorm,
    LayerNorm2d,
    ModulatedStage,
    SkipDecoder,
)
from models.video_retalking.settings import DNetSize
from models.video_retalking.steps import WINDOW_COEFFICIENTS

DoubledMaps = Float[Tensor, "batch out_channel 2*height 2*width"]  # features at twice the size
QuarterMaps = Float[
    Tensor, "batch _channel height//4 width//4"
]  # features at a quarter of the size
Flow = Float[Tensor, "batch 2 height//4 width//4"]  # x, y [px of its own size]
Motion = Float[Tensor, "batch motion 1"]  # what moves, and how
CoefficientWindow = Float[Tensor, "batch 73 frame"]  # of a window of frames

PUBLISHED = DNetSize()
VECTOR = 8
"""Channels of the motion descriptor; here and below as multiples of the network's width."""
WARP_WIDTHS = (1, 2, 4, 8, 8, 8)
WARP_DECODED = 3
"""Levels that the flow's decoder climbs: the flow is a quarter of the image in size."""
EDIT_WIDTHS = (2, 4, 8, 8)
USUAL = ((64, 0.0, 1.0), (3, 0.0, 0.2), (3, 0.0, 0.3), (1, 1.0, 0.1), (2, 128.0, 32.0))
"""Coefficients: how many of a kind, their usual mean and spread: expression, angles [rad],
translation, scale, and place in the cut [px]."""


def _scaled(coefficients: CoefficientWindow) -> CoefficientWindow:
    usual = [[mean, spread] for count, mean, spread in USUAL for _ in range(count)]
    mean, spread = coefficients.new_tensor(usual).T[..., None]
    scaled: Tensor = (coefficients - mean) / spread
    return scaled


def _leaky(features: Tensor) -> Tensor:
    return functional.leaky_relu(features, SLOPE)


class MappingNet(nn.Module):
    """Coefficients of a window of frames → motion descriptor."""

    def __init__(self, vector: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv1d(WINDOW_COEFFICIENTS, vector, 7))
        for layer in range(3):
            block = nn.Sequential(nn.LeakyReLU(SLOPE), nn.Conv1d(vector, vector, 3, dilation=3))
            self.add_module(f"encoder{layer}", block)

    def forward(self, coefficients: CoefficientWindow) -> Motion:
        """The motion descriptor of a window of 25 frames or more."""
        found: Tensor = self.first(coefficients)
        for layer in range(3):
            # Valid convolutions: what is added loses the same three frames at both ends.
            found = self.get_submodule(f"encoder{layer}")(found) + found[:, :, 3:-3]
        return found.mean(2, keepdim=True)


class DownBlock(nn.Module):
    """Halves the size: AdaIN, leaky ReLU, convolution, twice."""

    def __init__(self, inputs: int, outputs: int, vector: int) -> None:
        super().__init__()
        self.conv_0 = nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)
        self.conv_1 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.norm_0 = AdaIN(inputs, vector)
        self.norm_1 = AdaIN(outputs, vector)

    def forward(self, features: FeatureMaps, vector: Motion) -> HalvedMaps:
        """Features at half the size."""
        features = self.conv_0(_leaky(self.norm_0(features, vector)))
        features = self.conv_1(_leaky(self.norm_1(features, vector)))
        return features


class UpBlock(nn.Module):
    """Doubles the size: a residual block whose shortcut is a convolution too."""

    def __init__(self, inputs: int, outputs: int, vector: int) -> None:
        super().__init__()
        self.conv_0 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv_1 = nn.ConvTranspose2d(outputs, outputs, 3, 2, 1, output_padding=1)
        self.conv_s = nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, output_padding=1)
        self.norm_0 = AdaIN(inputs, vector)
        self.norm_1 = AdaIN(outputs, vector)
        self.norm_s = AdaIN(inputs, vector)

    def forward(self, features: FeatureMaps, vector: Motion) -> DoubledMaps:
        """Features at twice the size."""
        shortcut: Tensor = self.conv_s(_leaky(self.norm_s(features, vector)))
        found: Tensor = self.conv_0(_leaky(self.norm_0(features, vector)))
        found = self.conv_1(_leaky(self.norm_1(found, vector)))
        return shortcut + found


class HourglassEncoder(nn.Module):
    """Image → features at six sizes."""

    def __init__(self, widths: Sequence[int], vector: int) -> None:
        super().__init__()
        self.input_layer = nn.Conv2d(3, widths[0], 7, padding=3)
        self.levels = len(widths) - 1
        for level in range(self.levels):
            block = DownBlock(widths[level], widths[level + 1], vector)
            self.add_module(f"encoder{level}", block)

    def forward(self, image: Images, vector: Motion) -> list[AnyMaps]:
        """Features at six sizes, finest first, each half as large as the one before."""
        features = [self.input_layer(image)]
        for level in range(self.levels):
            features.append(self.get_submodule(f"encoder{level}")(features[-1], vector))
        return features


class HourglassDecoder(nn.Module):
    """Climbs three levels, with the encoder's features beside at each."""

    def __init__(self, widths: Sequence[int], vector: int) -> None:
        super().__init__()
        levels = len(widths) - 1
        self.climbed = tuple(reversed(range(levels - WARP_DECODED, levels)))
        for level in self.climbed:
            beside = 1 if level == levels - 1 else 2
            block = UpBlock(beside * widths[level + 1], widths[level], vector)
            self.add_module(f"decoder{level}", block)
        self.channels = 2 * widths[self.climbed[-1]]

    def forward(
        self, features: list[AnyMaps], vector: Motion
    ) -> Float[Tensor, "batch _channel _height _width"]:
        """From the encoder's features, those at a quarter of the image's size."""
        found = features[-1]
        for level in self.climbed:
            found = self.get_submodule(f"decoder{level}")(found, vector)
            found = torch.cat((found, features[level]), 1)
        return found


class Hourglass(nn.Module):
    """Encoder and decoder of the flow."""

    def __init__(self, widths: Sequence[int], vector: int) -> None:
        super().__init__()
        self.encoder = HourglassEncoder(widths, vector)
        self.decoder = HourglassDecoder(widths, vector)

    def forward(self, image: Images, vector: Motion) -> QuarterMaps:
        """Features at a quarter of the image's size."""
        found: Tensor = self.decoder(self.encoder(image, vector), vector)
        return found


class WarpingNet(nn.Module):
    """Image and motion → flow at a quarter of the size, and the image warped by it."""

    def __init__(self, widths: Sequence[int], vector: int) -> None:
        super().__init__()
        self.hourglass = Hourglass(widths, vector)
        channels = self.hourglass.decoder.channels
        self.flow_out = nn.Sequential(
            LayerNorm2d(channels), nn.LeakyReLU(SLOPE), nn.Conv2d(channels, 2, 7, padding=3)
        )

    def forward(self, image: Images, vector: Motion) -> tuple[Flow, Images]:
        """The flow, x first [px of its own size], and the warped image."""
        flow: Tensor = self.flow_out(self.hourglass(image, vector))
        return flow, warp(image, flow_to_grid(flow))


class EditResidual(nn.Module):
    """Convolution and AdaIN, added to the input."""

    def __init__(self, channels: int, vector: int) -> None:
        super().__init__()
        # Dead in the published code, which overwrites the block's first half: only keys need it.
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1).requires_grad_(False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm1 = AdaIN(channels, vector).requires_grad_(False)  # dead as well
        self.norm2 = AdaIN(channels, vector)

    def forward(self, features: FeatureMaps, vector: Motion) -> FeatureMaps:
        """The features and their modulated change."""
        change: Tensor = self.norm2(self.conv2(features), vector)
        return change + features


class EditEncoder(nn.Module):
    """Image and warped image → features at four sizes."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.first = ConvLayerNorm(6, widths[0], kernel=7)
        self.levels = len(widths) - 1
        for level in range(self.levels):
            block = ConvLayerNorm(widths[level], widths[level + 1], resample="down")
            self.add_module(f"down{level}", block)

    def forward(self, images: Float[Tensor, "batch 6 height width"]) -> list[AnyMaps]:
        """Features at four sizes, finest first, each half as large as the one before."""
        features = [self.first(images)]
        for level in range(self.levels):
            features.append(self.get_submodule(f"down{level}")(features[-1]))
        return features


class EditingNet(nn.Module):
    """Image, warped image and motion → final image."""

    def __init__(self, widths: Sequence[int], vector: int) -> None:
        super().__init__()
        self.encoder = EditEncoder(widths)
        self.decoder = SkipDecoder(
            widths,
            make_stage=lambda width: ModulatedStage(
                [EditResidual(width, vector) for _ in range(2)]
            ),
            activation=nn.Tanh(),
            spectral=False,
        )

    def forward(self, image: Images, warped: Images, vector: Motion) -> Images:
        """The final image, RGB in -1..1."""
        found: Tensor = self.decoder(self.encoder(torch.cat((image, warped), 1)), vector)
        return found


class DNet(nn.Module):
    """Image and 3DMM coefficients of a window of frames → image with that expression and pose.

    Attributes:
        side: Of the faces that it was made for [px].
    """

    def __init__(self, size: DNetSize = PUBLISHED) -> None:
        super().__init__()
        self.side = size.side
        vector = size.width * VECTOR
        warping, editing = (
            [size.width * times for times in each] for each in (WARP_WIDTHS, EDIT_WIDTHS)
        )
        self.mapping_net = MappingNet(vector)
        self.warpping_net = WarpingNet(warping, vector)  # spelt so in the published keys
        self.editing_net = EditingNet(editing, vector)
        self._scaled = size.scaled

    def forward(
        self, image: Images, coefficients: CoefficientWindow, stage: Literal["warp"] | None = None
    ) -> dict[str, AnyMaps]:
        """The image re-posed.

        Args:
            image: RGB in -1..1, sides multiples of 32, one of them at least 64 (256 px published).
            coefficients: Expression, angles, translation, crop, of 26 frames (13 before, the
                frame, 12 behind); see `steps.coefficient_windows`.
            stage: "warp" leaves the editing out, as the first stage of training does.

        Returns:
            `flow_field`, a quarter as large as the image, in its own pixels, x first; `warp_image`;
            without a stage `fake_image`; images are RGB in -1..1.
        """
        if image.shape[-1] % 32 or image.shape[-2] % 32:
            raise ValueError(f"D-Net needs sides that 32 divides, not {tuple(image.shape[-2:])}")
        if self._scaled:
            coefficients = _scaled(coefficients)
        vector = self.mapping_net(coefficients)
        flow, warped = self.warpping_net(image, vector)
        found = {"flow_field": flow, "warp_image": warped}
        if stage != "warp":
            found["fake_image"] = self.editing_net(image, warped, vector)
        return found
