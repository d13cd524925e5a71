"""The network: from features of the speech around each moment to components of mouth motion.

It has members of equal size, trained apart, whose answers are averaged (a deep ensemble,
Lakshminarayanan et al. 2017): what one of them has learnt by chance, the others outvote.

Its input features are a log-mel spectrogram or those of a speech encoder (`models.whisper`).
Columns of the one come 80 a second, of the other 50; ticks of motion come 25 a second. No layer
pads: the network reads `InputLayout.halo` columns before and after the ticks that it answers for,
and one more input channel says which columns exist. So a long recording can be cut into blocks
anywhere at a multiple of 5 ticks without changing the result.
"""

from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32
from numpy.typing import NDArray
from torch import Tensor, nn

from models.arrays import BandColumns, Bands, Mel, SpeechFeatures
from models.audio.mel import COLUMNS_PER_SECOND, N_MELS
from models.faces.mesh.indices import MOUTH
from models.whisper.encoder import STEPS_PER_SECOND, WIDTH

Heard = Float[Tensor, "batch column band"]  # input features
Exists = Float[Tensor, "batch column"]  # 1 where there is sound, else 0
Moved = Float[Tensor, "batch tick component"]  # components of motion
Hidden = Float[Tensor, "batch channel time"]  # between layers

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
class InputLayout:
    """Sizes of a network's input.

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


InputFeatures = Literal["mel", "whisper"]
"""Log-mel, or the features of Whisper's encoder."""

LAYOUTS: dict[InputFeatures, InputLayout] = {
    "mel": InputLayout(N_MELS, COLUMN_STEP, 64),
    "whisper": InputLayout(WIDTH, TICK_STEP * STEPS_PER_SECOND // TICKS_PER_SECOND, 31),
}


@dataclass(frozen=True)
class Size:
    """Sizes that the weights fix."""

    input_features: InputFeatures = "mel"
    channels: int = 128
    """Of the encoder, at the rate of the input."""
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
    def layout(self) -> InputLayout:
        """Sizes of the input."""
        return LAYOUTS[self.input_features]

    def to_dict(self) -> dict[str, int | float | str]:
        """For the metadata of a weights file."""
        return asdict(self)


@dataclass(frozen=True)
class Level:
    """Normalisation of the input: the level of average speech, which is taken off.

    Attributes:
        mean: of each band.
        scale: the spread of features; None for log-mel, of which each recording's own level is
            taken off, drawn towards the mean.
    """

    mean: Bands
    scale: Bands | None = None

    def __call__(
        self, mel: Mel, speech: SpeechFeatures | None
    ) -> Float32[np.ndarray, "input_column band"]:
        """A recording as the network takes it.

        Args:
            mel: -4..4, the whole recording.
            speech: features of the same recording, for a network that takes them.
        """
        if self.scale is None:
            return np.asarray(mel - speech_level(mel, self.mean))
        if speech is None:
            raise ValueError("this network takes Whisper's features: give them as `speech`")
        inputs: NDArray[np.float32] = speech.astype(np.float32)
        inputs -= self.mean
        inputs /= self.scale
        return inputs


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
        tick = np.arange(-_TICK_REACH, ticks + _TICK_REACH)
        column = LAYOUTS["mel"].halo - _ENCODER_REACH + tick * (COLUMN_STEP / TICK_STEP)
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

    @property
    def level(self) -> Level:
        """The level of the speech that it was trained on."""
        scale = self.speech_scale.cpu().numpy() if self.size.input_features == "whisper" else None
        return Level(self.speech_mean.cpu().numpy(), scale)

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
    """(batch, band + 1, column) → (batch, hidden, column), _ENCODER_REACH shorter at each end."""
    return nn.Sequential(
        nn.Conv1d(size.layout.bands + 1, size.channels, 5),
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
        nn.Conv1d(size.layout.bands + 1, size.channels, 1),
        nn.GELU(),
        ChannelNorm(size.channels),
        nn.Dropout(1.5 * size.dropout),
        nn.Conv1d(size.channels, size.hidden, 4, stride=2),
        nn.GELU(),
    )


def loudness_db(mel: BandColumns) -> Float32[np.ndarray, " column"]:
    """Loudness of mel columns [dB]; -80 or less is silence.

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


def speech_level(mel: BandColumns, mean: Bands, *, prior: float = PRIOR_COLUMNS) -> Bands:
    """Mean mel of a recording's speech: what microphone, room, voice and gain add.

    Args:
        mel: -4..4, the whole recording.
        mean: the average over recordings, to which short ones are drawn.
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
