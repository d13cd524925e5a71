"""IP-LAP's perceptual loss: VGG19 features and their Gram matrices, at two scales.

Convention: images are BGR in 0..1 but treated as if they were RGB in -1..1, as in the published
training.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.ip_lap.losses import gram_matrix

_STAGES = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""Channels and convolutions of VGG19's stages."""
_TAPS = (1, 6, 11, 20, 29)
"""Layers relu_1_1, 2_1, 3_1, 4_1 and 5_1 of VGG19."""
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Features = list[list[Tensor]]
"""For each scale the five feature maps."""


class _Vgg(nn.Module):
    """VGG19 without its classifier; what follows relu_5_1 is dead, in the file only."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels_in = 3
        for channels, count in _STAGES:
            for _ in range(count):
                layers += [nn.Conv2d(channels_in, channels, 3, padding=1), nn.ReLU(inplace=True)]
                channels_in = channels
            layers.append(nn.MaxPool2d(2))
        self.network = nn.Sequential(*layers)
        self.requires_grad_(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        found = []
        for place in range(_TAPS[-1] + 1):
            image = self.network[place](image)
            if place in _TAPS:
                found.append(image)
        return found


class PerceptualLoss(nn.Module):
    """Distance of two images in the features of a frozen VGG19.

    Args:
        scales: Sizes at which to compare, each half of the one before.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, *, scales: int = 2) -> None:
        super().__init__()
        self.model = _Vgg()
        self.scales = scales
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)

    def features(self, image: Tensor) -> Features:
        """Feature maps of (B, 3, H, W) at each scale."""
        image = ((image + 1) / 2 - self.mean) / self.std
        found = [self.model(image)]
        for _ in range(1, self.scales):
            image = functional.interpolate(
                image,
                scale_factor=0.5,
                mode="bilinear",
                align_corners=False,
                recompute_scale_factor=True,
            )
            found.append(self.model(image))
        return found

    def forward(self, image: Features, target: Features, *, style_weight: float = 0.0) -> Tensor:
        """Mean absolute difference, summed over maps and scales.

        Args:
            image: From `features`.
            target: Likewise.
            style_weight: Weight of the difference of Gram matrices at the first scale.

        Returns:
            Scalar.
        """
        loss = image[0][0].new_zeros(())
        for ours, theirs in zip(image, target, strict=True):
            for found, wanted in zip(ours, theirs, strict=True):
                loss = loss + functional.l1_loss(found, wanted)
        if style_weight:
            for found, wanted in zip(image[0], target[0], strict=True):
                style = functional.l1_loss(gram_matrix(found), gram_matrix(wanted))
                loss = loss + style_weight * style
        return loss
