"""The network: log-mel around each moment → components of mouth motion.

Convention: mel columns come 80 a second, ticks 25 a second, so 5 ticks span 16 columns and tick i
lies at column 3.2 i. No layer pads: the network reads HALO columns before and after the ticks
that it answers for, and a second input channel says which columns exist. So a long recording can
be cut into blocks anywhere at a multiple of 5 ticks without changing the result.
"""

from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.audio.mel import COLUMNS_PER_SECOND, N_MELS
from models.face_mesh.indices import MOUTH

TICKS_PER_SECOND = 25
TICK_STEP = 5
"""Blocks start at multiples of so many ticks ..."""
COLUMN_STEP = TICK_STEP * COLUMNS_PER_SECOND // TICKS_PER_SECOND
"""... which are so many mel columns."""
HALO = 64
"""Columns read beyond both ends of the ticks (0.8 s)."""
DILATIONS = (1, 2, 4, 8)
"""Of the temporal blocks [ticks]: together they see 15 ticks (0.6 s) to either side."""
MOTION_UNIT = 0.05
"""What an output of 1 stands for [face heights]: about the size of a component in speech."""
_ENCODER_REACH = 2 + 4
_TICK_REACH = sum(DILATIONS)


@dataclass(frozen=True)
class Size:
    """Sizes that the weights fix."""

    channels: int = 128
    """Of the encoder, at 80 columns a second."""
    hidden: int = 128
    """Of the temporal blocks, at 25 ticks a second; the width of the features for adaptation."""
    components: int = 16
    """Rows of the basis of mouth motion."""
    dropout: float = 0.2

    def to_dict(self) -> dict[str, int | float]:
        """For the metadata of a weights file."""
        return asdict(self)


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of (batch, channel, time), so no moment sees another."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
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

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x[..., self.dilation : -self.dilation] + self.layers(x)
        return out


class SpeechToLips(nn.Module):
    """Normalised mel with halo → components of motion and the features that they come from."""

    speech_mean: Tensor
    basis: Tensor

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        width = size.channels
        self.encoder = nn.Sequential(
            nn.Conv1d(N_MELS + 1, width, 5),
            nn.GELU(),
            ChannelNorm(width),
            nn.Dropout(size.dropout),
            nn.Conv1d(width, size.hidden, 5, dilation=2),
            nn.GELU(),
        )
        self.temporal = nn.ModuleList(
            TemporalBlock(size.hidden, dilation, size.dropout) for dilation in DILATIONS
        )
        self.norm = ChannelNorm(size.hidden)
        self.dropout = nn.Dropout(size.dropout)
        self.head = nn.Conv1d(size.hidden, size.components, 1)
        # Mean mel of speech, per band, and the orthonormal basis (component, 57 * 3) of motion.
        self.register_buffer("speech_mean", torch.zeros(N_MELS))
        self.register_buffer("basis", torch.zeros(size.components, len(MOUTH) * 3))

    def features(self, mel: Tensor, exists: Tensor) -> Tensor:
        """Last hidden layer (batch, hidden, tick).

        Args:
            mel: (batch, HALO + columns + HALO, 80) normalised by `normalise`, columns a multiple
                of COLUMN_STEP.
            exists: (batch, HALO + columns + HALO) 1 where there is sound, 0 beyond its ends.
        """
        ticks = (mel.shape[1] - 2 * HALO) // COLUMN_STEP * TICK_STEP
        x = torch.cat([mel * exists[..., None], exists[..., None]], -1).transpose(1, 2)
        x = self._at_ticks(self.encoder(x), ticks)
        for block in self.temporal:
            x = block(x)
        out: Tensor = self.norm(x)
        return out

    def forward(self, mel: Tensor, exists: Tensor) -> tuple[Tensor, Tensor]:
        """Components (batch, tick, component) and features (batch, tick, hidden)."""
        features = self.features(mel, exists)
        components = self.head(self.dropout(features)) * MOTION_UNIT
        return components.transpose(1, 2), features.transpose(1, 2)

    def motion(self, components: Tensor) -> Tensor:
        """Components (..., tick, component) → displacement (..., tick, 57, 3)."""
        flat = components @ self.basis
        return flat.reshape(*flat.shape[:-1], len(MOUTH), 3)

    @staticmethod
    def _at_ticks(x: Tensor, ticks: int) -> Tensor:
        """Encoded columns (batch, channel, column) at the ticks and their reach, interpolated."""
        tick = np.arange(-_TICK_REACH, ticks + _TICK_REACH)
        column = HALO - _ENCODER_REACH + tick * (COLUMN_STEP / TICK_STEP)
        low = np.floor(column).astype(np.int64)
        part = torch.from_numpy((column - low).astype(np.float32)).to(x)
        out: Tensor = x[..., low] * (1 - part) + x[..., low + 1] * part
        return out


def loudness_db(mel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Loudness of mel columns (column, 80) → (column,) dB; -80 or less is silence.

    The mean power of the bands; white noise of a root mean square of 0.1 has about -22 dB.
    """
    decibel = (mel.astype(np.float64) + 4) * (100 / 8) - 100 + 20
    loudness: NDArray[np.float32] = (10 * np.log10((10 ** (decibel / 10)).mean(-1))).astype(
        np.float32
    )
    return loudness


SPEECH_RANGE_DB = 25.0
"""Columns so far below the loud ones still count as speech."""
SPEECH_FLOOR_DB = -45.0
"""Nothing below this counts as speech."""
PRIOR_COLUMNS = 80.0
"""A recording's own colour is drawn towards average speech as if it held so much of it: 1 s."""
GAIN_PRIOR_COLUMNS = 4.0
"""The same for its gain, which a few columns tell."""


def speech_level(
    mel: NDArray[np.float32], mean: NDArray[np.float32], *, prior: float = PRIOR_COLUMNS
) -> NDArray[np.float32]:
    """Mean mel (80,) of a recording's speech: what microphone, room, voice and gain add.

    Args:
        mel: (column, 80) float32 in -4..4, the whole recording.
        mean: (80,) float32, the average over recordings, to which short ones are drawn.
        prior: how many columns that average counts for, in colour.
    """
    loudness = loudness_db(mel)
    loud = np.quantile(loudness, 0.95) if len(loudness) else SPEECH_FLOOR_DB
    speech = mel[loudness > max(loud - SPEECH_RANGE_DB, SPEECH_FLOOR_DB)]
    n = len(speech)
    if not n:
        return mean
    off = speech.mean(0, dtype=np.float64) - mean
    gain = off.mean()
    colour = (off - gain) * n / (n + prior)
    level: NDArray[np.float64] = mean + gain * n / (n + GAIN_PRIOR_COLUMNS) + colour
    return level.astype(np.float32)
