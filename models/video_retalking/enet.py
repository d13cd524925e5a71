"""E-Net: L-Net's 96 x 96 face at 384 x 384, with the style of the reference.

VideoReTalking, section 3.4: an encoder makes a style of the reference, two stages of StyleGAN2
enlarge. Public repository: OpenTalker/video-retalking. Attribute names are those of the published
state dict; `low_res.*` is the whole L-Net, whose weights come from its own file.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from models.stylegan2.clean import StyleConv, ToRGB
from models.tensors import (
    FaceSequences,
    FeatureMaps,
    HalvedMaps,
    Images,
    ImageSequences,
    MelWindows,
)
from models.video_retalking.lnet import LNet, clips_of_frames, frames_of_clips
from models.video_retalking.settings import ENetSize

Noises = Sequence[Float[Tensor, "..."] | None]  # one for each styled convolution; None draws it

SIDE = 384
"""Of the output [px]."""
LOW_SIDE = 96
STYLE_SIDE = 256
"""Of the reference when its style is taken [px]."""
BORDER = 2
"""Reflected around the small face, and cut off after the enlargement [px at 96]."""
SLOPE = 0.2


def _leaky(features: Tensor) -> Tensor:
    return functional.leaky_relu(features, SLOPE)


def _resized(image: Tensor, side: int) -> Tensor:
    return functional.interpolate(image, size=(side, side), mode="bilinear", align_corners=False)


def _halved(features: Tensor) -> Tensor:
    return functional.interpolate(features, scale_factor=0.5, mode="bilinear", align_corners=False)


class ResidualDown(nn.Module):
    """Halves the size between two convolutions; the shortcut is 1 x 1."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inputs, 3, padding=1)
        self.conv2 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, features: FeatureMaps) -> HalvedMaps:
        """Features at half the size."""
        found = _leaky(self.conv2(_halved(_leaky(self.conv1(features)))))
        shortcut: Tensor = self.skip(_halved(features))
        return found + shortcut


class _Enlarging(nn.Module):
    """The layers of E-Net without its L-Net.

    Args:
        size: Of the layers; published if none is given.
        before: What comes first in the state dict, as `low_res`.
    """

    def __init__(self, size: ENetSize | None = None, *, before: nn.Module | None = None) -> None:
        super().__init__()
        if before is not None:
            self.low_res = before
        size = size or ENetSize()
        self.side = size.side
        wide, style = size.width, 2 * size.width
        encoder = (wide, wide, *[style] * 5)
        self.conv_body_first = nn.Conv2d(3, wide, 1)
        self.conv_body_down = nn.ModuleList(ResidualDown(*widths) for widths in pairwise(encoder))
        encoded = STYLE_SIDE >> len(self.conv_body_down)
        self.final_linear = nn.Linear(style * encoded**2, style)
        self.final_conv = nn.Conv2d(style, style, 3, padding=1)
        self.style_convs = nn.ModuleList()
        self.to_rgbs = nn.ModuleList()
        self.noise_sides: tuple[int, ...] = ()
        """Of the noise maps that a call takes: one for each styled convolution [px]."""
        inputs, stages = 3, (size.side // LOW_SIDE).bit_length() - 1
        for stage in range(stages):
            width = wide >> stage
            self.style_convs.append(StyleConv(inputs, width, style, upsample=True))
            self.style_convs.append(StyleConv(width, width, style))
            self.to_rgbs.append(ToRGB(width, style))
            self.noise_sides += ((LOW_SIDE + 2 * BORDER) << (stage + 1),) * 2
            inputs = width

    def style(self, reference: Images) -> Float[Tensor, "batch style"]:
        """The style of references, BGR in 0..1."""
        features = _leaky(self.conv_body_first(_resized(reference, STYLE_SIDE)))
        for block in self.conv_body_down:
            features = block(features)
        style: Tensor = self.final_linear(_leaky(self.final_conv(features)).flatten(1))
        return style

    def enlarge(
        self,
        small: Float[Tensor, "batch 3 96 96"],
        reference: Images,
        *,
        noise: Noises | None = None,
    ) -> Float[Tensor, "batch 3 large large"]:
        """The faces at twice or four times their size, in the references' style.

        Args:
            small: BGR in 0..1.
            reference: Likewise, of any size.
            noise: As of `ENet`.

        Returns:
            BGR, to be clamped to 0..1.
        """
        if noise is not None and len(noise) != len(self.noise_sides):
            raise ValueError(f"{len(self.noise_sides)} noise maps are needed, not {len(noise)}")
        style, maps = self.style(reference), noise or [None] * len(self.noise_sides)
        features = functional.pad(small, (BORDER,) * 4, mode="reflect")
        image = features
        for stage, to_rgb in enumerate(self.to_rgbs):
            for layer in (2 * stage, 2 * stage + 1):
                features = self.style_convs[layer](features, style, maps[layer])
            image = to_rgb(features, style, image)
        cut = BORDER * self.side // LOW_SIDE
        return image[..., cut:-cut, cut:-cut]


class Enlarger(_Enlarging):
    """Small faces and references → sharp faces: what is trained of E-Net.

    Args:
        size: Of the layers; published if none is given.
    """

    def forward(
        self,
        small: Float[Tensor, "batch 3 96 96"],
        reference: Images,
        *,
        noise: Noises | None = None,
    ) -> Float[Tensor, "batch 3 large large"]:
        """As `enlarge`."""
        return self.enlarge(small, reference, noise=noise)


class ENet(_Enlarging):
    """Mel windows, masked faces and references → sharp faces whose lips follow the speech.

    Args:
        lnet: L-Net; a new one if none is given. It is frozen.
        size: Of the layers; published if none is given.
    """

    def __init__(self, lnet: LNet | None = None, *, size: ENetSize | None = None) -> None:
        if lnet is None:
            lnet = LNet(None if size is None else size.lnet)
        super().__init__(size, before=lnet.requires_grad_(False))

    def forward(
        self,
        mel: MelWindows,
        faces: FaceSequences,
        target: ImageSequences,
        *,
        noise: Noises | None = None,
    ) -> tuple[
        Float[Tensor, "batch 3 *time large large"], Float[Tensor, "batch 3 *time small small"]
    ]:
        """The faces with new lips, large and small, of frames or (with an axis of time) of clips.

        Args:
            mel: -4..4.
            faces: BGR in 0..1 (384 px published): the face whose lower half is 0, then the
                reference, from which the style is taken.
            target: L-Net's reference, BGR in 0..1; the truth in training, the reference again at
                inference.
            noise: Maps that spread to (frames, 1, side, side), sides as in `noise_sides`; a single
                0 each leaves the noise out. Where none is given it is drawn anew at every call, as
                in the published code.

        Returns:
            BGR, to be clamped to 0..1, and what L-Net gave, 0..1: 96 px, of clips as large as the
            others.
        """
        if faces.shape[1] != 6:
            raise ValueError(f"faces need 6 channels, masked and reference, not {faces.shape[1]}")
        clip = faces.shape[2] if faces.ndim == 5 else None
        if clip is not None:
            mel = mel.flatten(0, 1)
            faces, target = frames_of_clips(faces), frames_of_clips(target)
        masked, reference = torch.split(faces, 3, dim=1)
        with torch.no_grad():
            small: Tensor = self.low_res(mel, _resized(torch.cat((masked, target), 1), LOW_SIDE))
        image = self.enlarge(small, reference, noise=noise)
        if clip is not None:
            # The published code enlarges the small faces of clips, for its losses.
            small = functional.interpolate(small, size=image.shape[-2:], mode="nearest")
            return clips_of_frames(image, clip), clips_of_frames(small, clip)
        return image, small
