"""PC-AVS's audio encoder: mel window → mouth feature (section 3.2).

A ResNet with squeeze and excitation and attentive pooling over time (Chung et al., "In defence
of metric learning for speaker recognition", 2020).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from models.pc_avs import CLASSES, FEATURES
from models.tensors import Embeddings

MELS = 80
_CHANNELS = (32, 64, 128, 256)
_BLOCKS = (3, 4, 6, 3)
_POOLED = _CHANNELS[-1] * MELS // 8
_REDUCTION = 8


class _SqueezeExcite(nn.Module):
    """Scales channels by what a bottleneck makes of their means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, channels // _REDUCTION),
            nn.ReLU(),
            nn.Linear(channels // _REDUCTION, channels),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        scale: Tensor = self.fc(features.mean((2, 3)))
        return features * scale[:, :, None, None]


class _Block(nn.Module):
    """Residual block; its first half normalises after the ReLU."""

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.se = _SqueezeExcite(channels)
        self.downsample = nn.Sequential()
        if inputs != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, features: Tensor) -> Tensor:
        changed = self.bn1(functional.relu(self.conv1(features)))
        changed = self.se(self.bn2(self.conv2(changed)))
        return functional.relu(changed + self.downsample(features))


class _ResNet(nn.Module):
    """(N, 1, MELS, time) → (N, FEATURES)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, _CHANNELS[0], 3, padding=1)
        self.bn1 = nn.BatchNorm2d(_CHANNELS[0])
        inputs = _CHANNELS[0]
        for number, (channels, count) in enumerate(zip(_CHANNELS, _BLOCKS, strict=True), 1):
            blocks = [_Block(inputs, channels, 1 if number == 1 else 2)]
            blocks += [_Block(channels, channels, 1) for _ in range(1, count)]
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
            inputs = channels
        self.attention = nn.Sequential(
            nn.Conv1d(_POOLED, 128, 1),
            nn.ReLU(),
            nn.BatchNorm1d(128),
            nn.Conv1d(128, _POOLED, 1),
            nn.Softmax(dim=2),
        )
        self.fc = nn.Linear(_POOLED, FEATURES)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, mel: Tensor) -> Tensor:
        features = self.bn1(functional.relu(self.conv1(mel)))
        for number in range(1, len(_CHANNELS) + 1):
            features = self.get_submodule(f"layer{number}")(features)
        over_time = features.flatten(1, 2)
        pooled = torch.sum(over_time * self.attention(over_time), dim=2)
        feature: Tensor = self.fc(pooled)
        return feature


class AudioEncoder(nn.Module):
    """Mouth feature of a mel window.

    `fc` classifies words in training; nothing else uses it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.model = _ResNet()
        self.fc = nn.Linear(FEATURES, CLASSES)

    def forward(self, mel: Float[Tensor, "batch 1 80 column"]) -> Embeddings:
        """The mouth feature; inference multiplies it by 1.2.

        Args:
            mel: In 0..1, 20 columns as published: five frames of four columns.

        Raises:
            ValueError: the mel has another number of bands.
        """
        if mel.shape[-2] != MELS:
            raise ValueError(f"the mel must have {MELS} bands, got shape {tuple(mel.shape)}")
        feature: Tensor = self.model(mel)
        return feature
