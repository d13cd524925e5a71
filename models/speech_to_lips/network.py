"""The network as it is trained: from features of speech to components of mouth motion.

It has members of equal size, trained apart, whose answers are averaged (a deep ensemble,
Lakshminarayanan et al. 2017): what one of them has learnt by chance, the others outvote.

No layer pads: the network reads `InputLayout.halo` columns before and after the ticks that it
answers for, and one more input channel says which columns exist. So a long recording can be cut
into blocks anywhere at a multiple of 5 ticks without changing the result. `lips_network` runs what
was trained without torch.
"""

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from models.faces.mesh.indices import MOUTH
from models.speech_to_lips.layout import (
    COLUMN_STEP,
    DILATIONS,
    ENCODER_REACH,
    LAYOUTS,
    MOTION_UNIT,
    TICK_REACH,
    TICK_STEP,
    Level,
    Size,
)
from models.speech_to_lips.lips_network import LipsNetwork

Heard = Float[Tensor, "batch column band"]  # input features
Exists = Float[Tensor, "batch column"]  # 1 where there is sound, else 0
Moved = Float[Tensor, "batch tick component"]  # components of motion
Hidden = Float[Tensor, "batch channel time"]  # between layers


class ChannelNorm(nn.Module):
    """LayerNorm over the channels alone, so no moment sees another."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Hidden) -> Hidden:
        out: Tensor = self.norm(x.transpose(1, 2)).transpose(1, 2)
        return out


class TemporalBlock(nn.Module):
    """Residual dilated convolution without padding: 2 x dilation ticks shorter on output."""

    def __init__(self, channels: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.dilation = dilation
        self.layers = nn.Sequential(
            ChannelNorm(channels),
            nn.Conv1d(channels, channels, 3, dilation=dilation),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Conv1d(channels, channels, 1),
        )

    def forward(self, x: Hidden) -> Float[Tensor, "batch channel shorter"]:
        out: Tensor = x[..., self.dilation : -self.dilation] + self.layers(x)
        return out


class Member(nn.Module):
    """One network: from the input to components of motion and the features they come from."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        make = _mel_encoder if size.input_features == "mel" else _feature_encoder
        self.encoder = make(size)
        self.temporal = nn.ModuleList(
            TemporalBlock(size.hidden, dilation, size.dropout) for dilation in DILATIONS
        )
        self.norm = ChannelNorm(size.hidden)
        self.dropout = nn.Dropout(size.dropout)
        self.head = nn.Conv1d(size.hidden, size.components, 1)

    def forward(
        self, inputs: Heard, exists: Exists
    ) -> tuple[Moved, Float[Tensor, "batch tick hidden"]]:
        """Components [face heights] and features.

        Args:
            inputs: of `Level`, a multiple of `InputLayout.columns` with the halo on both sides.
            exists: 1 where there is sound, 0 beyond its ends.
        """
        x = torch.cat([inputs * exists[..., None], exists[..., None]], -1).transpose(1, 2)
        x = self.encoder(x)
        if self.size.input_features == "mel":
            x = self._at_ticks(x, self.size.layout.ticks(inputs.shape[1]))
        for block in self.temporal:
            x = block(x)
        features = self.norm(x)
        components = self.head(self.dropout(features)) * MOTION_UNIT
        return components.transpose(1, 2), features.transpose(1, 2)

    @staticmethod
    def _at_ticks(x: Tensor, ticks: int) -> Tensor:
        """Encoded columns (batch, channel, column) at the ticks and their reach, interpolated."""
        tick = np.arange(-TICK_REACH, ticks + TICK_REACH)
        column = LAYOUTS["mel"].halo - ENCODER_REACH + tick * (COLUMN_STEP / TICK_STEP)
        low = np.floor(column).astype(np.int64)
        part = torch.from_numpy((column - low).astype(np.float32)).to(x)
        out: Tensor = x[..., low] * (1 - part) + x[..., low + 1] * part
        return out


class SpeechToLips(nn.Module):
    """The ensemble: the mean of all members' components, and the features of all."""

    speech_mean: Float32[Tensor, " band"]
    speech_scale: Float32[Tensor, " band"]
    basis: Float32[Tensor, "component 171"]

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        self.members = nn.ModuleList(Member(size) for _ in range(size.members))
        # Mean of speech and, of features, its spread, per band; and the orthonormal basis
        # (component, 57 * 3) of motion.
        self.register_buffer("speech_mean", torch.zeros(size.layout.bands))
        if size.input_features == "whisper":
            self.register_buffer("speech_scale", torch.ones(size.layout.bands))
        self.register_buffer("basis", torch.zeros(size.components, len(MOUTH) * 3))

    def trained(self) -> LipsNetwork:
        """The network for inference, with the weights of now."""
        state = {name: value.cpu().numpy() for name, value in self.state_dict().items()}
        return LipsNetwork(state, self.size)

    def set_level(self, level: Level) -> None:
        """Keep the level of the speech that it is trained on."""
        self.speech_mean.copy_(torch.from_numpy(level.mean))
        if level.scale is not None:
            self.speech_scale.copy_(torch.from_numpy(level.scale))

    def forward(
        self, inputs: Heard, exists: Exists
    ) -> tuple[Moved, Float[Tensor, "batch tick feature"]]:
        """Components [face heights] and features; see `Member`."""
        answers = [member(inputs, exists) for member in self.members]
        components = torch.stack([components for components, _ in answers]).mean(0)
        return components, torch.cat([features for _, features in answers], -1)


def _mel_encoder(size: Size) -> nn.Sequential:
    """(batch, band + 1, column) → (batch, hidden, column), ENCODER_REACH shorter at each end."""
    return nn.Sequential(
        nn.Conv1d(size.layout.bands + 1, size.channels, 5),
        nn.GELU(),
        ChannelNorm(size.channels),
        nn.Dropout(size.dropout),
        nn.Conv1d(size.channels, size.hidden, 5, dilation=2),
        nn.GELU(),
    )


def _feature_encoder(size: Size) -> nn.Sequential:
    """(batch, band + 1, column) → (batch, hidden, tick) with TICK_REACH ticks at each end.

    Two columns make a tick; the halo is one column more than the temporal blocks reach.
    """
    return nn.Sequential(
        nn.Conv1d(size.layout.bands + 1, size.channels, 1),
        nn.GELU(),
        ChannelNorm(size.channels),
        nn.Dropout(1.5 * size.dropout),
        nn.Conv1d(size.channels, size.hidden, 4, stride=2),
        nn.GELU(),
    )
