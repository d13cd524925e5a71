"""IP-LAP's perceptual loss: features of a frozen network and their Gram matrices, at two scales.

The published one is VGG19. Its weights are in the published renderer's file, or torchvision's; who
has neither trains with EfficientNet-Lite0, which a Python package brings.

Convention: images are BGR in 0..1.
"""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Bool
from torch import Tensor, nn
from torch.nn import functional

from models.efficientnet.network import EfficientNetLite0
from models.ip_lap.losses import gram_matrix
from models.tensors import AnyMaps, FeatureMaps, Images, Scalar

_STAGES = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""Channels and convolutions of VGG19's stages."""
_TAPS = (1, 6, 11, 20, 29)
"""Layers relu_1_1, 2_1, 3_1, 4_1 and 5_1 of VGG19."""
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_LEVELS = (3.0, 6.0, 5.0, 5.0, 2.0)
"""Mean magnitudes of EfficientNet-Lite0's maps on faces of 128 x 128."""

Features = list[list[AnyMaps]]
"""For each scale the feature maps, fine to coarse."""


class Backbone(nn.Module, ABC):
    """A frozen network whose feature maps are compared; it stays in eval mode.

    Attributes:
        style_weight: Of the Gram matrices' difference beside that of the features, 1; as published.
    """

    style_weight = 250.0

    def freeze(self) -> None:
        """Freezes the network; to be called when all layers are there."""
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "Backbone":
        super().train(False)  # statistics of batches are no part of a loss
        return self

    @abstractmethod
    def prepare(self, image: Images) -> Images:
        """Images, BGR in 0..1, as the network takes them."""

    @abstractmethod
    def forward(self, image: Images) -> list[AnyMaps]:
        """Feature maps of what `prepare` gave, fine to coarse."""


class Vgg19(Backbone):
    """VGG19 without its classifier; layers behind relu_5_1 are unused, but files hold them.

    BGR in 0..1 is treated as if it were RGB in -1..1, as in the published training.
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for channels, count in _STAGES:
            for _ in range(count):
                layers += [nn.Conv2d(inputs, channels, 3, padding=1), nn.ReLU(inplace=True)]
                inputs = channels
            layers.append(nn.MaxPool2d(2))
        self.network = nn.Sequential(*layers)
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)
        self.freeze()

    def prepare(self, image: Images) -> Images:
        return ((image + 1) / 2 - self.mean) / self.std

    def forward(self, image: Images) -> list[AnyMaps]:
        found = []
        for place in range(_TAPS[-1] + 1):
            image = self.network[place](image)
            if place in _TAPS:
                found.append(image)
        return found


class EfficientNetFeatures(Backbone):
    """The image, and EfficientNet-Lite0's maps at each halving of its resolution.

    The maps are brought to a mean magnitude of about 1, near to those of VGG19, so that the
    published weights of the losses keep their sense. Gram matrices of fewer channels are larger:
    with this weight a blurred face costs about half as much in style as in features.

    Args:
        network: With its weights.
    """

    style_weight = 80.0

    def __init__(self, network: EfficientNetLite0) -> None:
        super().__init__()
        self.network = network
        self.freeze()

    def prepare(self, image: Images) -> Images:
        return image.flip(1) * 2 - 1

    def forward(self, image: Images) -> list[AnyMaps]:
        maps = zip(self.network.features(image), _LEVELS, strict=True)
        return [image, *(found / level for found, level in maps)]


class PerceptualLoss(nn.Module):
    """Distance of two images at several sizes, in the features of a frozen network.

    Args:
        backbone: The network; None: VGG19, without weights until they are loaded.
        scales: Sizes, each half the one before.
    """

    def __init__(self, backbone: Backbone | None = None, scales: int = 2) -> None:
        super().__init__()
        self.model = backbone or Vgg19()
        self.scales = scales

    def features(self, image: Images) -> Features:
        """Feature maps of an image, BGR in 0..1, at all sizes."""
        image = self.model.prepare(image)
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

    def forward(
        self,
        image: Features,
        target: Features,
        *,
        style_weight: float = 0.0,
        weight: FeatureMaps | None = None,
        styled: Bool[Tensor, " batch"] | None = None,
    ) -> Scalar:
        """Mean absolute difference, summed over maps and scales.

        Args:
            image: From `features`.
            target: Likewise.
            style_weight: Weight of the difference of Gram matrices at the first scale.
            weight: (batch, 1, height, width) how much each pixel counts; None: all the same.
            styled: images whose Gram matrices count; None: all.
        """
        loss = image[0][0].new_zeros(())
        for ours, theirs in zip(image, target, strict=True):
            for found, wanted in zip(ours, theirs, strict=True):
                if weight is None:
                    loss = loss + functional.l1_loss(found, wanted)
                    continue
                share = functional.adaptive_avg_pool2d(weight, (found.shape[-2], found.shape[-1]))
                loss = loss + ((found - wanted).abs() * share).mean() / share.mean()
        if style_weight and (styled is None or bool(styled.any())):
            for found, wanted in zip(image[0], target[0], strict=True):
                if styled is not None:
                    found, wanted = found[styled], wanted[styled]
                style = functional.l1_loss(gram_matrix(found), gram_matrix(wanted))
                loss = loss + style_weight * style
        return loss


def rendering_losses(
    perceptual: PerceptualLoss, generated: Images, reference: Images, face: Images
) -> tuple[Scalar, Scalar]:
    """Perceptual losses of what the renderer returned.

    Args:
        perceptual: In whose features to compare.
        generated: BGR in 0..1.
        reference: The warped references, BGR in 0..1.
        face: The true face, BGR in 0..1.

    Returns:
        Loss of the warped reference and loss of the generated face with its style.
        Trained with 2.5 of the first, then 2.5 and 4 of both beside the adversarial losses.
    """
    with torch.no_grad():
        wanted = perceptual.features(face)
    warp_loss = perceptual(perceptual.features(reference), wanted)
    generation_loss = perceptual(
        perceptual.features(generated), wanted, style_weight=perceptual.model.style_weight
    )
    return warp_loss, generation_loss
