"""Wav2Lip's generator: a mel window and a face with its lower half hidden → the face speaking.

Prajwal et al., "A Lip Sync Expert Is All You Need for Speech to Lip Generation in the Wild", ACM
Multimedia 2020, section 4.1; public repository Rudrabha/Wav2Lip, class Wav2Lip.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.blocks.conv_norm import ConvBlock, ConvNorm, mel_encoder, residual_blocks
from models.tensors import MelWindows
from models.wav2lip.settings import Wav2LipSize

SIZE = 96
"""Side of a face [px]; the encoder ends at 1 x 1 for this size only."""
MEL_WINDOW = 16
"""Mel columns under one frame: 0.2 s."""


def _halved(inputs: int, outputs: int, residuals: int) -> nn.Sequential:
    return nn.Sequential(ConvNorm(inputs, outputs, stride=2), *residual_blocks(outputs, residuals))


def _transposed(inputs: int, outputs: int, *, stride: int = 2, padding: int = 1) -> ConvBlock:
    return ConvBlock(
        nn.ConvTranspose2d(inputs, outputs, 3, stride, padding, output_padding=padding),
        nn.BatchNorm2d(outputs),
        act=nn.ReLU(inplace=True),
    )


def _doubled(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_transposed(inputs, outputs), *residual_blocks(outputs, 2))


class Generator(nn.Module):
    """U-Net from faces to a face whose innermost features come from the sound.

    Convention: BGR in 0..1 in and out, no mean or deviation. Channels 0-2 of the faces are the
    target frame with its lower half zeroed, channels 3-5 a reference frame, whole (at inference the
    same frame). Mel is -4..4 (`models.audio.mel`).

    Args:
        size: Of the layers; None: as published.
    """

    def __init__(self, size: Wav2LipSize | None = None) -> None:
        super().__init__()
        width = (size or Wav2LipSize()).width
        w16, w32, w64, w128, w256, w384 = (width * n // 32 for n in (1, 2, 4, 8, 16, 24))
        self.face_encoder_blocks = nn.ModuleList(
            [
                nn.Sequential(ConvNorm(6, w16, kernel=7, padding=3)),
                _halved(w16, w32, 2),
                _halved(w32, w64, 3),
                _halved(w64, w128, 2),
                _halved(w128, w256, 2),
                _halved(w256, width, 1),
                nn.Sequential(
                    ConvNorm(width, width, padding=0), ConvNorm(width, width, kernel=1, padding=0)
                ),
            ]
        )
        self.audio_encoder = mel_encoder(width=width)
        # inputs: what the block before gives plus the encoder's features of that size
        self.face_decoder_blocks = nn.ModuleList(
            [
                nn.Sequential(ConvNorm(width, width, kernel=1, padding=0)),
                nn.Sequential(
                    _transposed(width + width, width, stride=1, padding=0),
                    *residual_blocks(width, 1),
                ),
                _doubled(width + width, width),
                _doubled(width + w256, w384),
                _doubled(w384 + w128, w256),
                _doubled(w256 + w64, w128),
                _doubled(w128 + w32, w64),
            ]
        )
        self.output_block = nn.Sequential(
            ConvNorm(w64 + w16, w32), nn.Conv2d(w32, 3, 1), nn.Sigmoid()
        )

    def forward(
        self, audio_sequences: MelWindows, face_sequences: Float[Tensor, "batch 6 *time 96 96"]
    ) -> Float[Tensor, "batch 3 *time 96 96"]:
        """Faces that speak, BGR in 0..1, of single frames or (with an axis of time) of sequences.

        Args:
            audio_sequences: Mel windows, -4..4.
            face_sequences: The target with its lower half zeroed, then a reference, BGR in 0..1.
        """
        if face_sequences.ndim == 5:
            # time before batch, as in the original: batch norm in training does not mind
            times = face_sequences.shape[2]
            faces = self._faces(
                audio_sequences.transpose(0, 1).flatten(0, 1),
                face_sequences.permute(2, 0, 1, 3, 4).flatten(0, 1),
            )
            return faces.reshape(times, -1, *faces.shape[1:]).permute(1, 2, 0, 3, 4)
        return self._faces(audio_sequences, face_sequences)

    def _faces(self, mel: Tensor, faces: Tensor) -> Tensor:
        """(batch, 1, 80, 16) and (batch, 6, 96, 96) → (batch, 3, 96, 96)."""
        if faces.shape[1:] != (6, SIZE, SIZE) or mel.shape != (len(faces), 1, 80, MEL_WINDOW):
            raise ValueError(
                f"expected mel (n, 1, 80, {MEL_WINDOW}) and faces (n, 6, {SIZE}, {SIZE}), "
                f"got {tuple(mel.shape)} and {tuple(faces.shape)}"
            )
        encoded = []
        for block in self.face_encoder_blocks:
            faces = block(faces)
            encoded.append(faces)
        features: Tensor = self.audio_encoder(mel)
        for block in self.face_decoder_blocks:
            features = torch.cat((block(features), encoded.pop()), dim=1)
        found: Tensor = self.output_block(features)
        return found
