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
    Embeddings,
    FaceSequences,
    FeatureMaps,
    HalvedMaps,
    Images,
    ImageSequences,
    MelWindows,
)
from models.video_retalking.lnet import LNet, clips_of_frames, frames_of_clips

Noises = Sequence[Float[Tensor, "..."] | None]  # one for each styled convolution; None draws it

SIDE = 384
"""Of the output [px]."""
LOW_SIDE = 96
STYLE_SIDE = 256
"""Of the reference when its style is taken [px]."""
BORDER = 2
"""Reflected around the small face, and cut off after the enlargement [px at 96]."""
STYLE = 512
SLOPE = 0.2
ENCODER_WIDTHS = (256, 256, 512, 512, 512, 512, 512)
DECODER_WIDTHS = (256, 128)
NOISE_SIDES = (200, 200, 400, 400)
"""Of the noise maps that a call takes: one for each styled convolution [px]."""


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


class ENet(nn.Module):
    """Mel windows, masked faces and references → sharp faces whose lips follow the speech.

    L-Net inside is frozen: E-Net is trained on its outputs.

    Args:
        lnet: L-Net; a new one if none is given.
    """

    def __init__(self, lnet: LNet | None = None) -> None:
        super().__init__()
        self.low_res = (LNet() if lnet is None else lnet).requires_grad_(False)
        self.conv_body_first = nn.Conv2d(3, ENCODER_WIDTHS[0], 1)
        self.conv_body_down = nn.ModuleList(
            ResidualDown(wide, next_wide) for wide, next_wide in pairwise(ENCODER_WIDTHS)
        )
        encoded = STYLE_SIDE >> len(self.conv_body_down)
        self.final_linear = nn.Linear(ENCODER_WIDTHS[-1] * encoded**2, STYLE)
        self.final_conv = nn.Conv2d(ENCODER_WIDTHS[-1], ENCODER_WIDTHS[-1], 3, padding=1)
        self.style_convs = nn.ModuleList()
        self.to_rgbs = nn.ModuleList()
        before = 3
        for width in DECODER_WIDTHS:
            self.style_convs.append(StyleConv(before, width, STYLE, upsample=True))
            self.style_convs.append(StyleConv(width, width, STYLE))
            self.to_rgbs.append(ToRGB(width, STYLE))
            before = width

    def style(self, reference: Images) -> Embeddings:
        """The style of references, BGR in 0..1."""
        features = _leaky(self.conv_body_first(_resized(reference, STYLE_SIDE)))
        for block in self.conv_body_down:
            features = block(features)
        style: Tensor = self.final_linear(_leaky(self.final_conv(features)).flatten(1))
        return style

    def enlarge(
        self, small: Float[Tensor, "batch 3 96 96"], style: Embeddings, noise: Noises
    ) -> Float[Tensor, "batch 3 384 384"]:
        """The faces at four times their size in the given style; noise as of `forward`."""
        features = functional.pad(small, (BORDER,) * 4, mode="reflect")
        image = features
        for stage, to_rgb in enumerate(self.to_rgbs):
            for layer in (2 * stage, 2 * stage + 1):
                features = self.style_convs[layer](features, style, noise[layer])
            image = to_rgb(features, style, image)
        cut = BORDER * SIDE // LOW_SIDE
        return image[..., cut:-cut, cut:-cut]

    def forward(
        self,
        mel: MelWindows,
        faces: FaceSequences,
        target: ImageSequences,
        *,
        noise: Noises | None = None,
    ) -> tuple[Float[Tensor, "batch 3 *time 384 384"], Float[Tensor, "batch 3 *time small small"]]:
        """The faces with new lips, large and small, of frames or (with an axis of time) of clips.

        Args:
            mel: -4..4.
            faces: BGR in 0..1 (384 px published): the face whose lower half is 0, then the
                reference, from which the style is taken.
            target: L-Net's reference, BGR in 0..1; the truth in training, the reference again at
                inference.
            noise: Four maps that spread to (frames, 1, side, side), sides as in `NOISE_SIDES`; a
                single 0 each leaves the noise out. Where none is given it is drawn anew at every
                call, as in the published code.

        Returns:
            BGR, to be clamped to 0..1, and what L-Net gave, 0..1: 96 px, of clips enlarged to 384.
        """
        if faces.shape[1] != 6:
            raise ValueError(f"faces need 6 channels, masked and reference, not {faces.shape[1]}")
        if noise is not None and len(noise) != len(NOISE_SIDES):
            raise ValueError(f"{len(NOISE_SIDES)} noise maps are needed, not {len(noise)}")
        clip = faces.shape[2] if faces.ndim == 5 else None
        if clip is not None:
            mel = mel.flatten(0, 1)
            faces, target = frames_of_clips(faces), frames_of_clips(target)
        masked, reference = torch.split(faces, 3, dim=1)
        with torch.no_grad():
            small: Tensor = self.low_res(mel, _resized(torch.cat((masked, target), 1), LOW_SIDE))
        image = self.enlarge(small, self.style(reference), noise or [None] * len(NOISE_SIDES))
        if clip is not None:
            # The published code enlarges the small faces of clips, for its losses.
            small = functional.interpolate(small, size=image.shape[-2:], mode="nearest")
            return clips_of_frames(image, clip), clips_of_frames(small, clip)
        return image, small
