"""IP-LAP's first network: audio, pose and references → landmarks of jaw and lips (section 3.2)."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.blocks.conv_norm import ConvNorm, mel_encoder
from models.faces.mesh.indices import JAW, LIPS
from models.ip_lap.settings import LandmarkSize
from models.ip_lap.windows import REFERENCES, WINDOW

__all__ = ["REFERENCES", "WINDOW", "LandmarkGenerator"]

_POSITIONS = 512
_POSE, _AUDIO, _REFERENCE = 1, 2, 3
"""Rows of the modality embedding; row 0 is unused."""


class _ConvNorm1d(ConvNorm):
    """Convolution along the landmarks, batch norm, activation after an optional residual."""

    layers = (nn.Conv1d, nn.BatchNorm1d)


def _landmark_encoder(
    width: int, *, first_stride: int, residuals_256: int, last_residual: bool
) -> nn.Sequential:
    """(batch, 2, landmarks) → (batch, width, 1); the number of landmarks must come down to 3."""
    blocks, before = [_ConvNorm1d(2, 4)], 4
    for step in (8, 16, 32, 64, 128, 256):
        stride, residuals, channels = 2, 2, min(step, width)
        if step == 8:
            stride = first_stride
        if step == 256:
            residuals = residuals_256
        blocks.append(_ConvNorm1d(before, channels, stride=stride))
        blocks += [_ConvNorm1d(channels, channels, residual=True) for _ in range(residuals)]
        before = channels
    blocks.append(_ConvNorm1d(before, width, padding=0))
    blocks.append(_ConvNorm1d(width, width, kernel=1, padding=0, residual=last_residual))
    blocks[-1].act = nn.Tanh()
    return nn.Sequential(*blocks)


class _Positions(nn.Module):
    """Sinusoidal table of positions from 0; a buffer of the published file."""

    pe: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        position = torch.arange(_POSITIONS, dtype=torch.float32)[:, None]
        rates = torch.exp(torch.arange(0, width, 2).float() * (-math.log(10000.0) / width))
        table = torch.stack((torch.sin(position * rates), torch.cos(position * rates)), dim=-1)
        self.register_buffer("pe", table.flatten(1)[None])

    def forward(self, count: int) -> Tensor:
        return self.pe[:, :count]


class _Recurrence(nn.Module):
    """What the paper's ablation has in place of the transformer: an LSTM that reads both ways."""

    def __init__(self, size: LandmarkSize) -> None:
        super().__init__()
        self.lstm = nn.LSTM(
            size.width,
            size.width // 2,
            size.layers,
            batch_first=True,
            dropout=size.dropout if size.layers > 1 else 0.0,
            bidirectional=True,
        )

    def forward(self, tokens: Tensor) -> Tensor:
        read: Tensor = self.lstm(tokens)[0]
        return read


class _FusionTransformer(nn.Module):
    """Mixes reference, audio and pose tokens; only the latter two have a place."""

    def __init__(self, size: LandmarkSize) -> None:
        super().__init__()
        self.position_v = _Positions(size.width)
        self.position_a = _Positions(size.width)
        self.modality = nn.Embedding(4, size.width, padding_idx=0)
        self.dropout = nn.Dropout(size.dropout)
        if size.mixer == "lstm":
            self.transformer_encoder: nn.Module = _Recurrence(size)
        else:
            layer = nn.TransformerEncoderLayer(
                size.width, size.heads, size.feedforward, size.dropout, batch_first=True
            )
            self.transformer_encoder = nn.TransformerEncoder(layer, size.layers)

    def forward(self, references: Tensor, audio: Tensor, pose: Tensor) -> Tensor:
        """(B, n, width) each → (B, n references + n audio + n pose, width)."""
        kinds = self.modality.weight
        tokens = torch.cat(
            (
                references + kinds[_REFERENCE],
                audio + self.position_a(audio.shape[1]) + kinds[_AUDIO],
                pose + self.position_v(pose.shape[1]) + kinds[_POSE],
            ),
            dim=1,
        )
        fused: Tensor = self.transformer_encoder(self.dropout(tokens))
        return fused


class LandmarkGenerator(nn.Module):
    """Audio-to-landmark transformer.

    Landmark orders are those of `models.ip_lap.landmarks`: POSE and CONTENT.

    Args:
        size: Of the layers; None: as published.
    """

    def __init__(self, size: LandmarkSize | None = None) -> None:
        super().__init__()
        size = size or LandmarkSize()
        width = size.width
        self.mel_encoder = mel_encoder(width=width)
        self.mel_encoder[-1].act = nn.Tanh()
        self.ref_encoder = _landmark_encoder(
            width, first_stride=2, residuals_256=1, last_residual=False
        )
        self.pose_encoder = _landmark_encoder(
            width, first_stride=1, residuals_256=2, last_residual=True
        )
        self.fusion_transformer = _FusionTransformer(size)
        self.mouse_keypoint_map = nn.Linear(width, 2 * len(LIPS))
        self.jaw_keypoint_map = nn.Linear(width, 2 * len(JAW))
        self.Norm = nn.LayerNorm(width)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_normal_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(
        self,
        mels: Float[Tensor, "clip frame 1 80 16"],
        pose: Float[Tensor, "clip frame 2 74"],
        reference_pose: Float[Tensor, "clip reference 2 74"],
        reference_content: Float[Tensor, "clip reference 2 57"],
    ) -> Float[Tensor, "clip*frame 2 57"]:
        """Landmarks of jaw and lips for each frame of each clip.

        Args:
            mels: A mel window for each frame, -4..4; published with WINDOW frames.
            pose: In 0..1 of the face crop, x first.
            reference_pose: Of other frames; published with REFERENCES.
            reference_content: Of the same frames.

        Returns:
            Clip by clip, in 0..1 of the face crop: 17 jaw points, then 40 lip points.
        """
        references = torch.cat((reference_pose, reference_content), dim=3)
        mel_tokens = self._embed(self.mel_encoder, mels)
        pose_tokens = self._embed(self.pose_encoder, pose)
        reference_tokens = self._embed(self.ref_encoder, references)
        fused = self.fusion_transformer(reference_tokens, mel_tokens, pose_tokens)
        frames = mels.shape[1]
        # Half precision is as coarse as the motion from one frame to the next.
        with torch.autocast(fused.device.type, enabled=False):
            lips = self.mouse_keypoint_map(fused[:, -2 * frames : -frames].float())
            jaw = self.jaw_keypoint_map(fused[:, -frames:].float())
        content = torch.cat((jaw, lips), dim=2)
        return content.view(len(mels) * frames, -1, 2).transpose(1, 2)

    def _embed(self, encoder: nn.Module, samples: Tensor) -> Tensor:
        """(B, n, ...) → (B, n, width)."""
        normed: Tensor = self.Norm(encoder(samples.flatten(0, 1)).flatten(1))
        return normed.view(*samples.shape[:2], -1)
