"""Wav2Lip's visual-quality critic: how real the lower halves of faces look.

Prajwal et al. 2020, section 4.2; public repository Rudrabha/Wav2Lip, class Wav2Lip_disc_qual.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from models.blocks.conv_norm import ConvBlock, Size
from models.tensors import Scalar
from models.wav2lip.settings import Wav2LipSize


def _conv(
    inputs: int, outputs: int, *, kernel: int = 3, stride: Size = 1, padding: int = 1
) -> ConvBlock:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding)
    return ConvBlock(conv, act=nn.LeakyReLU(0.01, inplace=True))


class QualityCritic(nn.Module):
    """Convolutions down to one probability for each lower half of a face.

    Args:
        size: Of the layers; None: as published.
    """

    def __init__(self, size: Wav2LipSize | None = None) -> None:
        super().__init__()
        width = (size or Wav2LipSize()).width
        w32, w64, w128, w256 = (width // n for n in (16, 8, 4, 2))
        self.face_encoder_blocks = nn.ModuleList(
            [
                nn.Sequential(_conv(3, w32, kernel=7, padding=3)),
                self._halved(w32, w64, kernel=5, stride=(1, 2)),  # 48 x 96 becomes square
                self._halved(w64, w128, kernel=5),
                self._halved(w128, w256, kernel=5),
                self._halved(w256, width, kernel=3),
                self._halved(width, width, kernel=3),
                nn.Sequential(
                    _conv(width, width, padding=0), _conv(width, width, kernel=1, padding=0)
                ),
            ]
        )
        self.binary_pred = nn.Sequential(nn.Conv2d(width, 1, 1), nn.Sigmoid())

    @staticmethod
    def _halved(inputs: int, outputs: int, *, kernel: int, stride: Size = 2) -> nn.Sequential:
        half = kernel // 2
        return nn.Sequential(
            _conv(inputs, outputs, kernel=kernel, stride=stride, padding=half),
            _conv(outputs, outputs, kernel=kernel, padding=half),
        )

    def forward(
        self, face_sequences: Float[Tensor, "batch 3 time 96 96"]
    ) -> Float[Tensor, "batch*time 1"]:
        """Probability that a face is real.

        Args:
            face_sequences: BGR in 0..1; only the lower halves are seen.

        Returns:
            All samples of the first time first.
        """
        if face_sequences.ndim != 5 or face_sequences.shape[1] != 3:
            raise ValueError(
                f"expected (batch, 3, time, 96, 96), got {tuple(face_sequences.shape)}"
            )
        features = face_sequences.permute(2, 0, 1, 3, 4).flatten(0, 1)
        features = features[:, :, features.shape[2] // 2 :]
        for block in self.face_encoder_blocks:
            features = block(features)
        probability: Tensor = self.binary_pred(features)
        return probability.flatten(1)


def critic_loss(probability: Float[Tensor, "sample 1"], *, real: bool) -> Scalar:
    """Mean cross-entropy of the critic's probabilities with faces that are all real or all made.

    With `real` it also is the generator's perceptual loss (weight 0.07 in the paper).
    """
    with torch.autocast(probability.device.type, enabled=False):
        probability = probability.float()
        return F.binary_cross_entropy(probability, torch.full_like(probability, float(real)))
