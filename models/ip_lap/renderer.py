"""IP-LAP's second network: sketches and reference images → the face (section 3.3)."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from models.blocks.adain import AdaIN
from models.blocks.conv_norm import mel_encoder
from models.blocks.flow_warp import flow_to_grid, warp
from models.blocks.spade import Spade
from models.ip_lap.perceptual import PerceptualLoss
from models.ip_lap.settings import RendererSize
from models.ip_lap.windows import WINDOW
from models.tensors import Images, MelWindow

# Pictures of a person, BGR in 0..1, or their sketches, 0..1:
ReferenceImages = Float[Tensor, "batch reference 3 height width"]
# Of the target's window, three channels each, 0..1:
Sketches = Float[Tensor, "batch 15 height width"]
# Faces with a black lower half, then their sketches:
MaskedFaces = Float[Tensor, "batch 18 height width"]
FineMaps = Float[Tensor, "batch fine height width"]  # features at the size of the image
CoarseMaps = Float[Tensor, "batch coarse height//2 width//2"]  # features at half the size


class _ModulatedBlock(nn.Module):
    """Twice: modulation by a map or a vector, leaky ReLU, convolution."""

    def __init__(self, channels: int, name: str, modulation: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.first, self.second = f"{name}_layer_1", f"{name}_layer_2"
        self.add_module(self.first, modulation())
        self.add_module(self.second, modulation())

    def forward(self, features: Tensor, by: Tensor) -> Tensor:
        features = self.conv_1(_leaky(self.get_submodule(self.first)(features, by)))
        changed: Tensor = self.conv_2(_leaky(self.get_submodule(self.second)(features, by)))
        return changed


def _spade_block(channels: int, map_channels: int, *, hidden: int) -> _ModulatedBlock:
    return _ModulatedBlock(channels, "spade", lambda: Spade(channels, map_channels, hidden=hidden))


def _adain_block(channels: int, vector_channels: int) -> _ModulatedBlock:
    return _ModulatedBlock(channels, "adain", lambda: AdaIN(channels, vector_channels))


class _Unmodulated(nn.Module):
    """In place of a modulation by speech: features as they are."""

    def forward(self, features: Tensor, vector: Tensor) -> Tensor:
        return features


class Seen(NamedTuple):
    """Reference images and their features, all of a batch one after the other.

    Attributes:
        image: BGR in 0..1.
        fine: Features at the size of the image.
        coarse: Features at half the size.
    """

    image: Float[Tensor, "sample 3 height width"]
    fine: Float[Tensor, "sample fine height width"]
    coarse: Float[Tensor, "sample coarse height//2 width//2"]


class Alignment(nn.Module):
    """Warps references to the sketched pose and sums them by learned weights.

    All references of a sample go through as one batch, so in training batch norm sees them
    together; what the target sketches contribute is computed once a sample.

    Args:
        size: Of the layers.
    """

    def __init__(self, size: RendererSize) -> None:
        super().__init__()
        fine, coarse, sketched = size.fine, size.coarse, 3 * WINDOW
        self.warping = size.warping
        self.conv1 = nn.Conv2d(6, fine, 7, padding=3)
        self.conv1_bn = nn.BatchNorm2d(fine)
        self.conv2 = nn.Conv2d(fine, coarse, 3, stride=2, padding=1)
        self.conv2_bn = nn.BatchNorm2d(coarse)
        if not self.warping:
            return
        shuffled = coarse // 4
        self.spade_layer_1 = _spade_block(coarse, sketched, hidden=coarse)
        self.spade_layer_2 = _spade_block(coarse, sketched, hidden=coarse)
        self.spade_layer_4 = _spade_block(shuffled, sketched, hidden=coarse)
        self.conv_4 = nn.Conv2d(shuffled, 2, 7, padding=3)
        self.conv_5 = nn.Sequential(
            nn.Conv2d(shuffled, fine, 7, padding=3),
            nn.ReLU(),
            nn.Conv2d(fine, 1, 7, padding=3),
            nn.Sigmoid(),
        )

    def forward(
        self, references: ReferenceImages, reference_sketches: ReferenceImages, sketches: Sketches
    ) -> tuple[FineMaps, CoarseMaps, Images]:
        """Features and image, warped and summed over the references.

        Args:
            references: BGR in 0..1.
            reference_sketches: Of the references, 0..1.
            sketches: Of the target's window, three channels each, 0..1.

        Returns:
            Fine features, coarse features and the image, BGR in 0..1.
        """
        return self.align(self.see(references, reference_sketches), sketches)

    def see(self, references: ReferenceImages, reference_sketches: ReferenceImages) -> Seen:
        """Features of references and their sketches, which no target changes."""
        image = references.flatten(0, 1)
        seen = torch.cat((image, reference_sketches.flatten(0, 1)), dim=1)
        fine = functional.relu(self.conv1_bn(self.conv1(seen)))
        coarse = functional.relu(self.conv2_bn(self.conv2(fine)))
        return Seen(image, fine, coarse)

    def align(self, seen: Seen, sketches: Sketches) -> tuple[FineMaps, CoarseMaps, Images]:
        """As `forward`, of references whose features are known already."""
        samples = len(sketches)
        if not self.warping:
            fine, coarse, image = (
                each.reshape(samples, -1, *each.shape[1:]).mean(dim=1)
                for each in (seen.fine, seen.coarse, seen.image)
            )
            return fine, coarse, image
        small_sketches = _nearest(sketches, seen.coarse)
        features = self.spade_layer_1(seen.coarse, small_sketches)
        features = self.spade_layer_2(features, small_sketches)
        features = self.spade_layer_4(functional.pixel_shuffle(features, 2), sketches)
        grid = flow_to_grid(self.conv_4(features))
        weight = self.conv_5(features)

        small_weight = _nearest(weight, seen.coarse)
        return (
            _weighted_mean(warp(seen.fine, grid), weight, samples),
            _weighted_mean(warp(seen.coarse, grid), small_weight, samples),
            _weighted_mean(warp(seen.image, grid), weight, samples),
        )


class Translation(nn.Module):
    """Fills in the lower half of a face from sketches, warped references and audio.

    Args:
        size: Of the layers.
    """

    def __init__(self, size: RendererSize) -> None:
        super().__init__()
        fine, coarse, shuffled, heard = size.fine, size.coarse, size.coarse // 4, 2 * size.coarse
        # In the published order: files are compared with it.
        self.audio_encoder = mel_encoder(width=heard) if size.audio else nn.Identity()
        self.conv1 = nn.Conv2d(3 + 3 * WINDOW, fine, 7, padding=3, bias=False)
        self.conv1_bn = nn.BatchNorm2d(fine)
        self.conv2 = nn.Conv2d(fine, coarse, 3, stride=2, padding=1, bias=False)
        self.conv2_bn = nn.BatchNorm2d(coarse)
        self.spade_1 = _spade_block(coarse, coarse, hidden=coarse)
        self.adain_1 = _adain_block(coarse, heard) if size.audio else _Unmodulated()
        self.spade_2 = _spade_block(shuffled, fine, hidden=coarse)
        self.adain_2 = _adain_block(shuffled, heard) if size.audio else _Unmodulated()
        self.spade_4 = _spade_block(shuffled, 3, hidden=coarse)
        self.conv_last = nn.Conv2d(shuffled, 3, 7, padding=3, bias=False)

    def forward(
        self,
        masked_face_and_sketches: MaskedFaces,
        warped_reference: Images,
        warped_fine: FineMaps,
        warped_coarse: CoarseMaps,
        mel: MelWindow,
    ) -> Images:
        """The face, BGR in 0..1.

        Args:
            masked_face_and_sketches: From `masked_with_sketches`.
            warped_reference: From `Alignment`, as the next two.
            warped_fine: Features at the size of the image.
            warped_coarse: Features at half the size.
            mel: Of the middle frame, -4..4.
        """
        heard = self.audio_encoder(mel)
        features = functional.relu(self.conv1_bn(self.conv1(masked_face_and_sketches)))
        features = functional.relu(self.conv2_bn(self.conv2(features)))
        features = self.adain_1(self.spade_1(features, warped_coarse), heard)
        features = functional.pixel_shuffle(features, 2)
        features = self.adain_2(self.spade_2(features, warped_fine), heard)
        features = self.spade_4(features, warped_reference)
        return torch.sigmoid(self.conv_last(functional.leaky_relu(features, 0.01)))


class Renderer(nn.Module):
    """The renderer: references are aligned to the sketches, then translated to the face.

    Args:
        size: Of the layers; None: as published.
        with_loss: Hold the frozen VGG19 of the loss too, as the published file does.
    """

    def __init__(self, size: RendererSize | None = None, *, with_loss: bool = True) -> None:
        super().__init__()
        size = size or RendererSize()
        self.flow_module = Alignment(size)
        self.translation = Translation(size)
        self.perceptual = PerceptualLoss() if with_loss else None

    def forward(
        self,
        face: Float[Tensor, "batch 1 3 height width"],
        target_sketches: Float[Tensor, "batch 5 3 height width"],
        references: ReferenceImages,
        reference_sketches: ReferenceImages,
        mels: Float[Tensor, "batch 1 1 80 16"],
    ) -> tuple[Images, Images]:
        """The face that the middle sketch describes.

        Images and sketches are BGR in 0..1, published with 128 x 128 px.

        Args:
            face: Its lower half is not looked at.
            target_sketches: Of the target's WINDOW.
            references: Published with 3 in training, 25 in inference.
            reference_sketches: Of the references.
            mels: Of the middle frame, -4..4.

        Returns:
            The face and the warped references.

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
        seen = masked_with_sketches(face.squeeze(1), sketches)
        generated = self.translation(seen, reference, fine, coarse, mels.flatten(0, 1))
        return generated, reference


def masked_with_sketches(face: Images, sketches: Sketches) -> MaskedFaces:
    """Faces with a black lower half, then the sketches of their window: what is translated."""
    upper, lower = face.tensor_split([face.shape[-2] // 2], dim=2)
    return torch.cat((torch.cat((upper, torch.zeros_like(lower)), dim=2), sketches), dim=1)


def _leaky(features: Tensor) -> Tensor:
    return functional.leaky_relu(features, 0.2)


def _nearest(image: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(image, size=like.shape[-2:], mode="nearest")


def _weighted_mean(images: Tensor, weight: Tensor, samples: int) -> Tensor:
    """(samples * N, C, H, W) and (samples * N, 1, H, W) → (samples, C, H, W)."""
    weight = weight.reshape(samples, -1, *weight.shape[1:])
    summed = (images.reshape(samples, -1, *images.shape[1:]) * weight).sum(dim=1)
    return summed / (weight.sum(dim=1) + 1e-5)
