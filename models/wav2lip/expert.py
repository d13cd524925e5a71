"""Wav2Lip's sync expert: judges whether the lower halves of five faces match 0.2 s of sound.

Prajwal et al. 2020, section 3; public repository Rudrabha/Wav2Lip, class SyncNet_color.
"""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from models.blocks.conv_norm import ConvNorm, mel_encoder, residual_blocks
from models.tensors import MelWindow, Scalar
from models.wav2lip.settings import Wav2LipSize

SyncEmbeddings = Float[Tensor, "batch width"]  # of length one, none of its numbers negative


def _down(inputs: int, outputs: int, residuals: int) -> list[nn.Module]:
    return [ConvNorm(inputs, outputs, stride=2), *residual_blocks(outputs, residuals)]


class SyncExpert(nn.Module):
    """Two encoders into one space; both embeddings are non-negative and of length one.

    Convention: faces are BGR in 0..1; five consecutive frames lie along the channels (frame 0 blue,
    green, red, frame 1 ...), only rows 48..95 of each 96 px face. Mel is -4..4, the 16 columns over
    the same five frames.

    Args:
        size: Of the layers; None: as published.
    """

    def __init__(self, size: Wav2LipSize | None = None) -> None:
        super().__init__()
        width = (size or Wav2LipSize()).width
        w32, w64, w128, w256 = (width // n for n in (16, 8, 4, 2))
        self.face_encoder = nn.Sequential(
            ConvNorm(15, w32, kernel=7, padding=3),
            ConvNorm(w32, w64, kernel=5, stride=(1, 2)),  # 48 x 96 becomes nearly square
            *residual_blocks(w64, 2),
            *_down(w64, w128, 3),
            *_down(w128, w256, 2),
            *_down(w256, width, 2),
            ConvNorm(width, width, stride=2),
            ConvNorm(width, width, padding=0),
            ConvNorm(width, width, kernel=1, padding=0),
        )
        self.audio_encoder = mel_encoder(residuals_256=2, width=width)

    def forward(
        self, audio_sequences: MelWindow, face_sequences: Float[Tensor, "batch 15 48 96"]
    ) -> tuple[SyncEmbeddings, SyncEmbeddings]:
        """Embeddings of the sound and of the faces.

        Args:
            audio_sequences: Mel windows, -4..4.
            face_sequences: Lower halves of five frames each, BGR in 0..1.
        """
        if face_sequences.shape[1:] != (15, 48, 96) or audio_sequences.shape[1:] != (1, 80, 16):
            raise ValueError(
                "expected mel (n, 1, 80, 16) and faces (n, 15, 48, 96), "
                f"got {tuple(audio_sequences.shape)} and {tuple(face_sequences.shape)}"
            )
        faces = self.face_encoder(face_sequences).flatten(1)
        audio = self.audio_encoder(audio_sequences).flatten(1)
        return F.normalize(audio, dim=1), F.normalize(faces, dim=1)


def sync_loss(
    audio: Float[Tensor, "batch feature"],
    faces: Float[Tensor, "batch feature"],
    in_sync: Shaped[Tensor, " batch"],
) -> Scalar:
    """Mean cross-entropy of the embeddings' cosines with what is true.

    The expert trains on it with pairs of both kinds, the generator with `in_sync` all one (weight
    0.03, once the expert's loss on its output is below 0.75).

    Args:
        audio: Embeddings, non-negative.
        faces: Embeddings, non-negative.
        in_sync: 1 or true for pairs that belong together, 0 or false for others.
    """
    with torch.autocast(audio.device.type, enabled=False):
        # rounding can lift a cosine above one, which the cross-entropy refuses
        cosine = F.cosine_similarity(audio.float(), faces.float()).clamp(0, 1)
        return F.binary_cross_entropy(cosine, in_sync.to(cosine))
