"""L-Net: fills the lower half of a face so that the lips follow the speech, at 96 x 96.

VideoReTalking, section 3.3. Public repository: OpenTalker/video-retalking. Attribute names are
those of the published state dict.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.blocks.conv_norm import mel_encoder
from models.tensors import AnyMaps, FaceSequences, Images, ImageSequences, MelWindows
from models.video_retalking.attention import Transformer
from models.video_retalking.blocks import ConvLayerNorm, ModulatedStage, SkipDecoder
from models.video_retalking.fourier import FourierResidual
from models.video_retalking.settings import LNetSize

LEVELS = 3
"""Times that the encoder halves the size and doubles the channels."""
ATTENDED = 2
"""The level of the encoder, from 0, that has a transformer."""


class VisualEncoder(nn.Module):
    """Masked face and reference → features of the masked face; at the coarsest level, of both."""

    def __init__(self, size: LNetSize) -> None:
        super().__init__()
        self.first_inp = ConvLayerNorm(3, size.width, kernel=7, spectral=True)
        self.first_ref = ConvLayerNorm(3, size.width, kernel=7, spectral=True)
        for level in range(LEVELS):
            width = size.width * 2**level
            if level == ATTENDED and size.attention:
                transformer = Transformer(
                    2 * width, depth=size.attention, heads=4, head_width=width // 4, hidden=width
                )
                self.add_module(f"ca{level}", transformer)
            for side in ("ref", "inp"):
                down = ConvLayerNorm(width, 2 * width, resample="down", spectral=True)
                self.add_module(f"{side}_down{level}", down)
        self.attends = size.attention > 0

    def forward(self, masked: Images, reference: Images) -> list[AnyMaps]:
        """Features at four sizes, finest first, each half as large as the one before."""
        seen, other = self.first_inp(masked), self.first_ref(reference)
        features = [seen]
        for level in range(LEVELS):
            seen = self.get_submodule(f"inp_down{level}")(seen)
            other = self.get_submodule(f"ref_down{level}")(other)
            if level == ATTENDED and self.attends:
                seen = self.get_submodule(f"ca{level}")(seen, other)
            features.append(seen)
        features[-1] = torch.cat((seen, other), 1)
        return features


class LNet(nn.Module):
    """Mel windows, masked faces and references → faces whose lips follow the speech.

    Args:
        size: Of the layers; None: as published.
    """

    def __init__(self, size: LNetSize | None = None) -> None:
        super().__init__()
        size = size or LNetSize()
        width, heard = size.width, 8 * size.width
        self.encoder = VisualEncoder(size)
        self.decoder = SkipDecoder(
            (width, 2 * width, 4 * width, 16 * width),
            make_stage=lambda channels: ModulatedStage(
                [FourierResidual(channels, heard) for _ in range(size.residuals)]
            ),
            activation=nn.Sigmoid(),
            spectral=True,
        )
        self.audio_encoder = mel_encoder(width=heard)

    def forward(self, mel: MelWindows, faces: FaceSequences) -> ImageSequences:
        """The faces with new lips, of single frames or (with an axis of time) of clips.

        Args:
            mel: -4..4.
            faces: BGR in 0..1, sides multiples of 8 (96 px published): the face whose lower half is
                0, then the stabilised reference.

        Returns:
            BGR in 0..1.
        """
        if faces.shape[1] != 6:
            raise ValueError(f"faces need 6 channels, masked and reference, not {faces.shape[1]}")
        clip = faces.shape[2] if faces.ndim == 5 else None
        if clip is not None:
            mel, faces = mel.flatten(0, 1), frames_of_clips(faces)
        masked, reference = torch.split(faces, 3, dim=1)
        image: Tensor = self.decoder(self.encoder(masked, reference), self.audio_encoder(mel))
        return image if clip is None else clips_of_frames(image, clip)


def frames_of_clips(
    clips: Float[Tensor, "clip channel frame height width"],
) -> Float[Tensor, "clip*frame channel height width"]:
    """The frames of all clips, clip by clip."""
    return clips.transpose(1, 2).flatten(0, 1)


def clips_of_frames(
    frames: Float[Tensor, "frames channel height width"], count: int
) -> Float[Tensor, "frames//{count} channel {count} height width"]:
    """Clips of `count` frames each from their frames, clip by clip."""
    return frames.reshape(-1, count, *frames.shape[1:]).transpose(1, 2)
