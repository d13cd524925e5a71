"""Sizes of the network between speech and lips, and the level of speech that it is used to.

Its input features are a log-mel spectrogram or those of a speech encoder (`models.whisper`).
Columns of the one come 80 a second, of the other 50; ticks of motion come 25 a second.
"""

from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from models.arrays import BandColumns, Bands, Mel, Numbers, SpeechFeatures
from models.audio.mel import COLUMNS_PER_SECOND, N_MELS
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
ENCODER_REACH = 2 + 4
"""Columns that a mel network's encoder takes off each end."""
TICK_REACH = sum(DILATIONS)
"""Ticks that the temporal blocks take off each end."""


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
        return self.of(mel, speech)[:]

    def of(self, mel: Mel, speech: SpeechFeatures | None) -> "Levelled":
        """The same, of which parts are made as they are asked for."""
        if self.scale is None:
            return Levelled(mel, speech_level(mel, self.mean), None)
        if speech is None:
            raise ValueError("this network takes Whisper's features: give them as `speech`")
        return Levelled(speech, self.mean, self.scale)


@dataclass(frozen=True)
class Levelled:
    """Columns of a recording (column, band), less a level, over their spread.

    Attributes:
        columns: as recorded.
        level: of each band.
        scale: the spread of each band; None: as it is.
    """

    columns: Numbers
    level: Bands
    scale: Bands | None

    def __len__(self) -> int:
        return len(self.columns)

    def __getitem__(self, part: slice) -> Float32[np.ndarray, "part band"]:
        inputs: NDArray[np.float32] = self.columns[part].astype(np.float32)
        inputs -= self.level
        if self.scale is not None:
            inputs /= self.scale
        return inputs


_COLUMNS_AT_ONCE = 4000


def loudness_db(mel: BandColumns) -> Float32[np.ndarray, " column"]:
    """Loudness of mel columns [dB]; -80 or less is silence.

    The mean power of the bands; white noise of a root mean square of 0.1 has about -22 dB.
    """
    loudness = np.empty(len(mel), np.float32)
    for start in range(0, len(mel), _COLUMNS_AT_ONCE):
        part = slice(start, start + _COLUMNS_AT_ONCE)
        decibel = (mel[part].astype(np.float64) + 4) * (100 / 8) - 100 + 20
        loudness[part] = 10 * np.log10((10 ** (decibel / 10)).mean(-1))
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
