"""The improved residual network of ArcFace ("iresnet"), as insightface publishes it.

Convention: images are RGB, -1..1, aligned by five points to the ArcFace template
(`models.deep3d.alignment.arcface_transform`).
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

IMAGE_SIZE = 112
_WIDTHS = (64, 128, 256, 512)
_REDUCTION = 2 ** len(_WIDTHS)


class ResidualBlock(nn.Module):
    """norm, conv, norm, PReLU, strided conv, norm; nothing after the sum (ArcFace, section 3.1)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.prelu = nn.PReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(
        self, features: Float[Tensor, "batch inputs h w"]
    ) -> Float[Tensor, "batch outputs y x"]:
        hidden = self.prelu(self.bn2(self.conv1(self.bn1(features))))
        out: Tensor = self.bn3(self.conv2(hidden)) + self.downsample(features)
        return out


class IResNet(nn.Module):
    """Network from an aligned face to an embedding; similarity is the cosine of two embeddings.

    Args:
        layers: Residual blocks of each of the four stages: (3, 4, 14, 3) is r50, (3, 13, 30, 3)
            r100.
        num_features: Length of the embedding.
        dropout: Before the last layer, in training.
    """

    def __init__(
        self, layers: Sequence[int], num_features: int = 512, *, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if len(layers) != len(_WIDTHS):
            raise ValueError(f"there are {len(_WIDTHS)} stages, but {len(layers)} depths: {layers}")
        self.conv1 = nn.Conv2d(3, _WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(_WIDTHS[0])
        self.prelu = nn.PReLU(_WIDTHS[0])
        inputs = (_WIDTHS[0], *_WIDTHS[:-1])
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _stage(*sizes) for sizes in zip(inputs, _WIDTHS, layers, strict=True)
        )
        self.bn2 = nn.BatchNorm2d(_WIDTHS[-1])
        self.dropout = nn.Dropout(dropout)
        side = IMAGE_SIZE // _REDUCTION
        self.fc = nn.Linear(_WIDTHS[-1] * side * side, num_features)
        self.features = nn.BatchNorm1d(num_features)
        self.features.weight.requires_grad_(False)  # stays 1: the loss sets the scale

    def forward(self, image: Float[Tensor, "batch 3 112 112"]) -> Float[Tensor, "batch features"]:
        """Embeddings, not normalised, of RGB images in -1..1."""
        if image.shape[1:] != (3, IMAGE_SIZE, IMAGE_SIZE):
            raise ValueError(
                f"ArcFace reads (batch, 3, {IMAGE_SIZE}, {IMAGE_SIZE}), not {tuple(image.shape)}"
            )
        hidden = self.prelu(self.bn1(self.conv1(image)))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            hidden = stage(hidden)
        out: Tensor = self.features(self.fc(self.dropout(self.bn2(hidden).flatten(1))))
        return out


def _stage(inputs: int, outputs: int, depth: int) -> nn.Sequential:
    blocks = [
        ResidualBlock(inputs if i == 0 else outputs, outputs, 1 + (i == 0)) for i in range(depth)
    ]
    return nn.Sequential(*blocks)
