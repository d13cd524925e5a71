"""The lower layers of Whisper base's audio encoder, and how a recording goes through them.

Whisper was trained on windows of 30 s that begin with the sound, and knows where in its window a
moment lies. So that no moment of a long recording looks different from the same moment of a short
one, the sound goes through in windows of 4 s, of which the middle 2 s are kept.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32

from models.audio.mel import Samples
from models.blocks.plain import (
    Conv1d,
    LayerNorm,
    Linear,
    Signal,
    Weights,
    gelu,
    part,
    softmax,
)
from models.whisper.log_mel import context, log_power, scaled

WIDTH = 512
"""Numbers of a step."""
LAYERS = 2
"""Of the published six: they tell speech sounds best; the upper ones tell words."""
STEPS_PER_SECOND = 50
BODY, HALO = 100, 50
"""Steps of a window that are kept, and that are context before and after them."""
_HEADS = 8


class _Block:
    def __init__(self, weights: Weights) -> None:
        self.query, self.key, self.value, self.out = (
            Linear(weights, f"attn.{name}") for name in ("query", "key", "value", "out")
        )
        self.attention_norm, self.mlp_norm = (
            LayerNorm(weights, name) for name in ("attn_ln", "mlp_ln")
        )
        self.wide, self.narrow = Linear(weights, "mlp.0"), Linear(weights, "mlp.2")

    def __call__(self, x: Signal) -> Signal:
        x = x + self._attended(self.attention_norm(x))
        return np.asarray(x + self.narrow(gelu(self.wide(self.mlp_norm(x)))))

    def _attended(self, x: Signal) -> Signal:
        query, key, value = (
            layer(x).reshape(len(x), _HEADS, -1).transpose(1, 0, 2)
            for layer in (self.query, self.key, self.value)
        )
        query = query * np.float32(query.shape[-1] ** -0.5)
        mixed = softmax(query @ key.transpose(0, 2, 1)) @ value
        return self.out(mixed.transpose(1, 0, 2).reshape(x.shape))


class SpeechEncoder:
    """The first LAYERS layers of the encoder.

    Args:
        weights: Under the names of the published `encoder`, any float.
    """

    def __init__(self, weights: Weights) -> None:
        self.conv1, self.conv2 = Conv1d(weights, "conv1"), Conv1d(weights, "conv2", stride=2)
        self.positions = np.asarray(weights["positional_embedding"], np.float32)
        self.blocks = [_Block(part(weights, f"blocks.{number}.")) for number in range(LAYERS)]

    def __call__(self, mel: Float32[np.ndarray, "column 80"]) -> Float32[np.ndarray, "step 512"]:
        """Features, 50 steps a second.

        Args:
            mel: of `log_mel.scaled`, two columns a step, at most 30 s.
        """
        x = gelu(self.conv2(_padded(gelu(self.conv1(_padded(mel))))))
        x += self.positions[: len(x)]
        for block in self.blocks:
            x = block(x)
        return x


def _padded(x: Signal) -> Signal:
    return np.pad(x, ((1, 1), (0, 0)))


def encode(
    encoder: SpeechEncoder, samples: Samples, *, loudest: float, start: int = 0, stop: int
) -> Iterator[Float32[np.ndarray, "step 512"]]:
    """Features of steps [start, stop) of a recording, in blocks.

    Args:
        encoder: With the weights that ship.
        samples: The whole recording, -1..1 at 16 kHz.
        loudest: `loudest` of the recording.
        start: A multiple of BODY.
        stop: Step after the last.
    """
    if start % BODY:
        raise ValueError(f"start must be a multiple of {BODY}, got {start}")
    columns = 2 * (BODY + 2 * HALO)
    for first in range(start, stop, BODY):
        decades = log_power(context(samples, 2 * (first - HALO), columns))
        features = encoder(scaled(decades, loudest))
        yield features[HALO : HALO + min(BODY, stop - first)]
