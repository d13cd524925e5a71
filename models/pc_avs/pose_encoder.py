"""PC-AVS's pose encoder: frame → feature without identity → mouth and head pose (section 3.2).

Its body is one hourglass of FAN (Bulat and Tzimiropoulos 2017), with max pooling and bilinear
enlargement; the residual block is that of the face-alignment package.
"""

import torch
from face_alignment.models.fan import ConvBlock
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from models.pc_avs import CLASSES, FEATURES
from models.tensors import Embeddings

POSE = 12
"""Numbers that tell the head pose: so few that nothing else fits in."""
_DEPTH = 4
_POINTS = 68
_SIDE = 28


class _Hourglass(nn.Module):
    """Residual blocks at five sizes, each halving added back to the size above."""

    def __init__(self) -> None:
        super().__init__()
        down = range(_DEPTH, 0, -1)
        names = [f"{branch}_{level}" for level in down for branch in ("b1", "b2")]
        names += ["b2_plus_1", *(f"b3_{level}" for level in reversed(down))]
        for name in names:
            self.add_module(name, ConvBlock(256, 256))
        self.dropout = nn.Dropout(0.5)

    def forward(self, features: Tensor, level: int = _DEPTH) -> Tensor:
        block = self.get_submodule
        kept: Tensor = self.dropout(block(f"b1_{level}")(features))
        lower = block(f"b2_{level}")(functional.max_pool2d(features, 2))
        lower = self(lower, level - 1) if level > 1 else block("b2_plus_1")(lower)
        lower = block(f"b3_{level}")(lower)
        return kept + functional.interpolate(
            lower, size=kept.shape[-2:], mode="bilinear", align_corners=False
        )


class _Fan(nn.Module):
    """(N, 3, 224, 224) → (N, FEATURES), through the heatmaps of 68 points."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = ConvBlock(64, 128)
        self.conv3 = ConvBlock(128, 128)
        self.conv4 = ConvBlock(128, 256)
        self.m0 = _Hourglass()
        self.top_m_0 = ConvBlock(256, 256)
        self.conv_last0 = nn.Conv2d(256, 256, 1)
        self.l0 = nn.Conv2d(256, _POINTS, 1)
        self.bn_end0 = nn.BatchNorm2d(256)
        self.conv6 = nn.Conv2d(_POINTS, 1, 3, 2, 1)
        self.fc = nn.Linear(_SIDE**2, FEATURES)
        self.bn5 = nn.BatchNorm2d(_POINTS)

    def forward(self, image: Tensor) -> Tensor:
        features = functional.relu(self.bn1(self.conv1(image)))
        features = functional.max_pool2d(self.conv2(features), 2)
        features = self.m0(self.conv4(self.conv3(features)))
        features = functional.relu(self.bn_end0(self.conv_last0(self.top_m_0(features))))
        heatmaps = functional.relu(self.bn5(self.l0(features)))
        feature: Tensor = self.fc(functional.relu(self.conv6(heatmaps).flatten(1)))
        return feature


class PoseEncoder(nn.Module):
    """Feature of a frame, and its parts.

    `to_mouth` and `to_headpose` map the feature (N, FEATURES) to a mouth and a head pose of the
    same length; the mouth may come from the audio instead. `classifier`, `mouth_fc` and
    `headpose_fc` classify words in training; nothing else uses them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.model = _Fan()
        self.classifier = _two_layers(CLASSES)
        self.to_mouth = _two_layers(FEATURES)
        self.mouth_embed = nn.Sequential(nn.ReLU(), nn.Linear(FEATURES, FEATURES - POSE))
        self.mouth_fc = nn.Sequential(nn.ReLU(), nn.Linear(FEATURES, CLASSES))
        self.to_headpose = _two_layers(FEATURES)
        self.headpose_embed = nn.Sequential(nn.ReLU(), nn.Linear(FEATURES, POSE))
        self.headpose_fc = nn.Sequential(nn.ReLU(), nn.Linear(POSE, CLASSES))

    def forward(self, image: Float[Tensor, "batch 3 224 224"]) -> Embeddings:
        """The feature of a frame, free of identity.

        Args:
            image: RGB in -1..1.

        Raises:
            ValueError: the image has another size.
        """
        if image.shape[-2:] != (8 * _SIDE, 8 * _SIDE):
            raise ValueError(f"images must be {8 * _SIDE} px, got shape {tuple(image.shape)}")
        feature: Tensor = self.model(image)
        return feature

    def merge(self, mouth: Embeddings, headpose: Embeddings) -> Embeddings:
        """The generator's style less its identity, the head pose last.

        Args:
            mouth: From the audio encoder or `to_mouth`.
            headpose: From `to_headpose`.
        """
        return torch.cat((self.mouth_embed(mouth), self.headpose_embed(headpose)), dim=1)


def _two_layers(outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(FEATURES, FEATURES), nn.ReLU(), nn.Linear(FEATURES, outputs))
