"""IP-LAP's second network: sketches and reference images → the face (section 3.3)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.blocks.adain import AdaIN
from models.blocks.conv_norm import mel_encoder
from models.blocks.flow_warp import flow_to_grid, warp
from models.blocks.spade import Spade
from models.ip_lap.perceptual import PerceptualLoss

WINDOW = 5
"""Sketches around the frame to render, itself in the middle."""
_STYLE_WEIGHT = 250.0


class _SpadeBlock(nn.Module):
    """Twice: modulation by a map, leaky ReLU, convolution."""

    def __init__(self, channels: int, map_channels: int) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.spade_layer_1 = Spade(channels, map_channels)
        self.spade_layer_2 = Spade(channels, map_channels)

    def forward(self, features: Tensor, modulation: Tensor) -> Tensor:
        features = self.conv_1(_leaky(self.spade_layer_1(features, modulation)))
        changed: Tensor = self.conv_2(_leaky(self.spade_layer_2(features, modulation)))
        return changed


class _AdaINBlock(nn.Module):
    """Twice: modulation by a vector, leaky ReLU, convolution."""

    def __init__(self, channels: int, vector_channels: int) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.adain_layer_1 = AdaIN(channels, vector_channels)
        self.adain_layer_2 = AdaIN(channels, vector_channels)

    def forward(self, features: Tensor, vector: Tensor) -> Tensor:
        features = self.conv_1(_leaky(self.adain_layer_1(features, vector)))
        changed: Tensor = self.conv_2(_leaky(self.adain_layer_2(features, vector)))
        return changed


class Alignment(nn.Module):
    """Warps references to the sketched pose and sums them by learned weights.

    All references of a sample go through as one batch, so in training batch norm sees them
    together; what the target sketches contribute is computed once a sample.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(6, 32, 7, padding=3)
        self.conv1_bn = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 256, 3, stride=2, padding=1)
        self.conv2_bn = nn.BatchNorm2d(256)
        self.spade_layer_1 = _SpadeBlock(256, 3 * WINDOW)
        self.spade_layer_2 = _SpadeBlock(256, 3 * WINDOW)
        self.spade_layer_4 = _SpadeBlock(64, 3 * WINDOW)
        self.conv_4 = nn.Conv2d(64, 2, 7, padding=3)
        self.conv_5 = nn.Sequential(
            nn.Conv2d(64, 32, 7, padding=3),
            nn.ReLU(),
            nn.Conv2d(32, 1, 7, padding=3),
            nn.Sigmoid(),
        )

    def forward(
        self, references: Tensor, reference_sketches: Tensor, sketches: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Features and image, warped and summed over the references.

        Args:
            references: (B, N, 3, H, W).
            reference_sketches: (B, N, 3, H, W).
            sketches: (B, 3 * WINDOW, H, W).

        Returns:
            (B, 32, H, W), (B, 256, H / 2, W / 2) and the image (B, 3, H, W).
        """
        image = references.flatten(0, 1)
        seen = torch.cat((image, reference_sketches.flatten(0, 1)), dim=1)
        fine = functional.relu(self.conv1_bn(self.conv1(seen)))
        coarse = functional.relu(self.conv2_bn(self.conv2(fine)))

        small_sketches = _nearest(sketches, coarse)
        features = self.spade_layer_1(coarse, small_sketches)
        features = self.spade_layer_2(features, small_sketches)
        features = self.spade_layer_4(functional.pixel_shuffle(features, 2), sketches)
        grid = flow_to_grid(self.conv_4(features))
        weight = self.conv_5(features)

        samples = len(references)
        small_weight = _nearest(weight, coarse)
        return (
            _weighted_mean(warp(fine, grid), weight, samples),
            _weighted_mean(warp(coarse, grid), small_weight, samples),
            _weighted_mean(warp(image, grid), weight, samples),
        )


class Translation(nn.Module):
    """Fills in the lower half of a face from sketches, warped references and audio."""

    def __init__(self) -> None:
        super().__init__()
        self.audio_encoder = mel_encoder()
        self.conv1 = nn.Conv2d(3 + 3 * WINDOW, 32, 7, padding=3, bias=False)
        self.conv1_bn = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 256, 3, stride=2, padding=1, bias=False)
        self.conv2_bn = nn.BatchNorm2d(256)
        self.spade_1 = _SpadeBlock(256, 256)
        self.adain_1 = _AdaINBlock(256, 512)
        self.spade_2 = _SpadeBlock(64, 32)
        self.adain_2 = _AdaINBlock(64, 512)
        self.spade_4 = _SpadeBlock(64, 3)
        self.conv_last = nn.Conv2d(64, 3, 7, padding=3, bias=False)

    def forward(
        self,
        masked_face_and_sketches: Tensor,
        warped_reference: Tensor,
        warped_fine: Tensor,
        warped_coarse: Tensor,
        mel: Tensor,
    ) -> Tensor:
        """The face (B, 3, H, W) in 0..1.

        Args:
            masked_face_and_sketches: (B, 3 + 3 * WINDOW, H, W).
            warped_reference: (B, 3, H, W).
            warped_fine: (B, 32, H, W).
            warped_coarse: (B, 256, H / 2, W / 2).
            mel: (B, 1, 80, 16).
        """
        audio = self.audio_encoder(mel)
        features = functional.relu(self.conv1_bn(self.conv1(masked_face_and_sketches)))
        features = functional.relu(self.conv2_bn(self.conv2(features)))
        features = self.adain_1(self.spade_1(features, warped_coarse), audio)
        features = functional.pixel_shuffle(features, 2)
        features = self.adain_2(self.spade_2(features, warped_fine), audio)
        features = self.spade_4(features, warped_reference)
        return torch.sigmoid(self.conv_last(functional.leaky_relu(features, 0.01)))


class Renderer(nn.Module):
    """Alignment and translation; with the frozen VGG19 of its loss, which the file holds too."""

    def __init__(self) -> None:
        super().__init__()
        self.flow_module = Alignment()
        self.translation = Translation()
        self.perceptual = PerceptualLoss()

    def forward(
        self,
        face: Tensor,
        target_sketches: Tensor,
        references: Tensor,
        reference_sketches: Tensor,
        mels: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """The face that the middle sketch describes.

        Images and sketches are BGR in 0..1; published with H = W = 128.

        Args:
            face: (B, 1, 3, H, W); its lower half is not looked at.
            target_sketches: (B, WINDOW, 3, H, W).
            references: (B, N, 3, H, W); published with N = 3 in training, 25 in inference.
            reference_sketches: (B, N, 3, H, W).
            mels: (B, 1, 1, 80, 16), of the middle frame.

        Returns:
            The face (B, 3, H, W) and the warped references (B, 3, H, W), both in 0..1.

        Raises:
            ValueError: shapes do not fit together.
        """
        if target_sketches.shape[1] != WINDOW:
            raise ValueError(
                f"the renderer takes {WINDOW} sketches, not {target_sketches.shape[1]}"
            )
        if references.shape != reference_sketches.shape:
            raise ValueError(
                f"references {tuple(references.shape)} and their sketches "
                f"{tuple(reference_sketches.shape)} differ in shape"
            )
        sketches = target_sketches.flatten(1, 2)
        fine, coarse, reference = self.flow_module(references, reference_sketches, sketches)
        upper, lower = face.squeeze(1).tensor_split([face.shape[-2] // 2], dim=2)
        seen = torch.cat((torch.cat((upper, torch.zeros_like(lower)), dim=2), sketches), dim=1)
        generated = self.translation(seen, reference, fine, coarse, mels.flatten(0, 1))
        return generated, reference

    def losses(self, generated: Tensor, reference: Tensor, face: Tensor) -> tuple[Tensor, Tensor]:
        """Perceptual losses of what `forward` returned.

        Args:
            generated: (B, 3, H, W).
            reference: (B, 3, H, W), warped.
            face: (B, 3, H, W), the true face.

        Returns:
            Loss of the warped reference and loss of the generated face with its style; scalars.
            Trained with 2.5 of the first, then 2.5 and 4 of both beside the adversarial losses.
        """
        with torch.no_grad():
            wanted = self.perceptual.features(face)
        warp_loss = self.perceptual(self.perceptual.features(reference), wanted)
        generation_loss = self.perceptual(
            self.perceptual.features(generated), wanted, style_weight=_STYLE_WEIGHT
        )
        return warp_loss, generation_loss


def _leaky(features: Tensor) -> Tensor:
    return functional.leaky_relu(features, 0.2)


def _nearest(image: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(image, size=like.shape[-2:], mode="nearest")


def _weighted_mean(images: Tensor, weight: Tensor, samples: int) -> Tensor:
    """(samples * N, C, H, W) and (samples * N, 1, H, W) → (samples, C, H, W)."""
    weight = weight.reshape(samples, -1, *weight.shape[1:])
    summed = (images.reshape(samples, -1, *images.shape[1:]) * weight).sum(dim=1)
    return summed / (weight.sum(dim=1) + 1e-5)
