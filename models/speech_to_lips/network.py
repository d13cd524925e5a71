"""The network: what is heard around each moment → components of mouth motion.

It has members of equal size, trained apart, whose answers are averaged (a deep ensemble,
Lakshminarayanan et al. 2017): what one of them has learnt by chance, the others outvote.

It hears a log-mel spectrogram or the features of a speech encoder (`models.whisper`). Columns of
the one come 80 a second, of the other 50; ticks come 25 a second. No layer pads: the network reads
`Hearing.halo` columns before and after the ticks that it answers for, and one more input channel
says which columns exist. So a long recording can be cut into blocks anywhere at a multiple of 5
ticks without changing the result.
"""

from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.audio.mel import COLUMNS_PER_SECOND, N_MELS
from models.faces.mesh.indices import MOUTH
from models.whisper.encoder import STEPS_PER_SECOND, WIDTH

TICKS_PER_SECOND = 25
TICK_STEP = 5
"""Blocks start at multiples of so many ticks ..."""
COLUMN_STEP = TICK_STEP * COLUMNS_PER_SECOND // TICKS_PER_SECOND
"""... which are so many mel columns."""
DILATIONS = (1, 2, 4, 8)
"""Of the temporal blocks [ticks]: together they see 15 ticks (0.6 s) to either side."""
MOTION_UNIT = 0.05
"""What an output of 1 stands for [face heights]: about the size of a component in speech."""
_ENCODER_REACH = 2 + 4
_TICK_REACH = sum(DILATIONS)


@dataclass(frozen=True)
class Hearing:
    """What a network hears.

    Attributes:
        bands: Numbers of a column.
        columns: In TICK_STEP ticks.
        halo: Columns read beyond both ends of the ticks.
    """

    bands: int
    columns: int
    halo: int

    def ticks(self, columns: int) -> int:
        """Ticks that so many columns, halos included, give."""
        return (columns - 2 * self.halo) // self.columns * TICK_STEP


Hears = Literal["mel", "whisper"]
"""Log-mel, or the features of Whisper's encoder."""

HEARINGS: dict[Hears, Hearing] = {
    "mel": Hearing(N_MELS, COLUMN_STEP, 64),
    "whisper": Hearing(WIDTH, TICK_STEP * STEPS_PER_SECOND // TICKS_PER_SECOND, 31),
}


@dataclass(frozen=True)
class Size:
    """Sizes that the weights fix."""

    hears: Hears = "mel"
    channels: int = 128
    """Of the encoder, at the rate of what is heard."""
    hidden: int = 128
    """Of the temporal blocks, at 25 ticks a second."""
    components: int = 16
    """Rows of the basis of mouth motion."""
    dropout: float = 0.3
    members: int = 1
    """Networks whose answers are averaged."""

    @property
    def features(self) -> int:
        """Width of the features for adaptation: the last hidden layers of all members."""
        return self.members * self.hidden

    @property
    def hearing(self) -> Hearing:
        """What it hears."""
        return HEARINGS[self.hears]

    def to_dict(self) -> dict[str, int | float | str]:
        """For the metadata of a weights file."""
        return asdict(self)


@dataclass(frozen=True)
class Level:
    """What average speech looks like, which is taken off before a network hears a recording.

    Attributes:
        mean: (band,) float32.
        scale: (band,) float32, the spread of features; None for log-mel, of which each recording's
            own level is taken off, drawn towards the mean.
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32] | None = None

    def __call__(
        self, mel: NDArray[np.float32], speech: NDArray[np.generic] | None
    ) -> NDArray[np.float32]:
        """A recording (column, band) as the network hears it.

        Args:
            mel: (column, 80) float32 in -4..4, the whole recording.
            speech: (step, 512) features of the same recording, for a network that hears them.
        """
        if self.scale is None:
            return mel - speech_level(mel, self.mean)
        if speech is None:
            raise ValueError("this network hears Whisper's features: give them as `speech`")
        heard: NDArray[np.float32] = speech.astype(np.float32)
        heard -= self.mean
        heard /= self.scale
        return heard


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


class Member(nn.Module):
    """What is heard, with its halo → components of motion and the features they come from."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        make = _mel_encoder if size.hears == "mel" else _feature_encoder
        self.encoder = make(size)
        self.temporal = nn.ModuleList(
            TemporalBlock(size.hidden, dilation, size.dropout) for dilation in DILATIONS
        )
        self.norm = ChannelNorm(size.hidden)
        self.dropout = nn.Dropout(size.dropout)
        self.head = nn.Conv1d(size.hidden, size.components, 1)

    def forward(self, heard: Tensor, exists: Tensor) -> tuple[Tensor, Tensor]:
        """Components (batch, tick, component) and features (batch, tick, hidden).

        Args:
            heard: (batch, halo + columns + halo, band), levelled; columns are a multiple of
                `Hearing.columns`.
            exists: (batch, halo + columns + halo) 1 where there is sound, 0 beyond its ends.
        """
        x = torch.cat([heard * exists[..., None], exists[..., None]], -1).transpose(1, 2)
        x = self.encoder(x)
        if self.size.hears == "mel":
            x = self._at_ticks(x, self.size.hearing.ticks(heard.shape[1]))
        for block in self.temporal:
            x = block(x)
        features = self.norm(x)
        components = self.head(self.dropout(features)) * MOTION_UNIT
        return components.transpose(1, 2), features.transpose(1, 2)

    @staticmethod
    def _at_ticks(x: Tensor, ticks: int) -> Tensor:
        """Encoded columns (batch, channel, column) at the ticks and their reach, interpolated."""
        tick = np.arange(-_TICK_REACH, ticks + _TICK_REACH)
        column = HEARINGS["mel"].halo - _ENCODER_REACH + tick * (COLUMN_STEP / TICK_STEP)
        low = np.floor(column).astype(np.int64)
        part = torch.from_numpy((column - low).astype(np.float32)).to(x)
        out: Tensor = x[..., low] * (1 - part) + x[..., low + 1] * part
        return out


class SpeechToLips(nn.Module):
    """The mean of all members: what is heard, with its halo → components and features."""

    speech_mean: Tensor
    speech_scale: Tensor
    basis: Tensor

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        self.members = nn.ModuleList(Member(size) for _ in range(size.members))
        # Mean of speech and, of features, its spread, per band; and the orthonormal basis
        # (component, 57 * 3) of motion.
        self.register_buffer("speech_mean", torch.zeros(size.hearing.bands))
        if size.hears == "whisper":
            self.register_buffer("speech_scale", torch.ones(size.hearing.bands))
        self.register_buffer("basis", torch.zeros(size.components, len(MOUTH) * 3))

    @property
    def level(self) -> Level:
        """Of the speech that it was trained on."""
        scale = self.speech_scale.cpu().numpy() if self.size.hears == "whisper" else None
        return Level(self.speech_mean.cpu().numpy(), scale)

    def set_level(self, level: Level) -> None:
        """Keep the level of the speech that it is trained on."""
        self.speech_mean.copy_(torch.from_numpy(level.mean))
        if level.scale is not None:
            self.speech_scale.copy_(torch.from_numpy(level.scale))

    def forward(self, heard: Tensor, exists: Tensor) -> tuple[Tensor, Tensor]:
        """Components (batch, tick, component) and features (batch, tick, feature); see `Member`."""
        answers = [member(heard, exists) for member in self.members]
        components = torch.stack([components for components, _ in answers]).mean(0)
        return components, torch.cat([features for _, features in answers], -1)


def _mel_encoder(size: Size) -> nn.Sequential:
    """(batch, band + 1, column) → (batch, hidden, column), _ENCODER_REACH shorter at each end."""
    return nn.Sequential(
        nn.Conv1d(size.hearing.bands + 1, size.channels, 5),
        nn.GELU(),
        ChannelNorm(size.channels),
        nn.Dropout(size.dropout),
        nn.Conv1d(size.channels, size.hidden, 5, dilation=2),
        nn.GELU(),
    )


def _feature_encoder(size: Size) -> nn.Sequential:
    """(batch, band + 1, column) → (batch, hidden, tick) with _TICK_REACH ticks at each end.

    Two columns make a tick; the halo is one column more than the temporal blocks reach.
    """
    return nn.Sequential(
        nn.Conv1d(size.hearing.bands + 1, size.channels, 1),
        nn.GELU(),
        ChannelNorm(size.channels),
        nn.Dropout(1.5 * size.dropout),
        nn.Conv1d(size.channels, size.hidden, 4, stride=2),
        nn.GELU(),
    )


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
