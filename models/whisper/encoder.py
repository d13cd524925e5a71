"""The lower layers of Whisper base's audio encoder, and how a recording goes through them.

Whisper was trained on windows of 30 s that begin with the sound, and knows where in its window a
moment lies. So that no moment of a long recording looks different from the same moment of a short
one, the sound goes through in windows of 4 s, of which the middle 2 s are kept.
"""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.nn import functional

from models.arrays import Waveform
from models.whisper.log_mel import BANDS, context, log_power, scaled

WIDTH = 512
"""Numbers of a step."""
LAYERS = 2
"""Of the published six: they tell speech sounds best; the upper ones tell words."""
STEPS_PER_SECOND = 50
BODY, HALO = 100, 50
"""Steps of a window that are kept, and that are context before and after them."""
_HEADS = 8
_POSITIONS = 1500


class _Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(WIDTH, WIDTH)
        self.key = nn.Linear(WIDTH, WIDTH, bias=False)
        self.value = nn.Linear(WIDTH, WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            layer(x).unflatten(-1, (_HEADS, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn = _Attention()
        self.attn_ln = nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)
        )
        self.mlp_ln = nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.attn_ln(x))
        out: Tensor = x + self.mlp(self.mlp_ln(x))
        return out


class SpeechEncoder(nn.Module):
    """The first LAYERS layers of the encoder; keys are those of the published `encoder`."""

    positional_embedding: Float32[Tensor, "1500 512"]

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(BANDS, WIDTH, 3, padding=1)
        self.conv2 = nn.Conv1d(WIDTH, WIDTH, 3, stride=2, padding=1)
        self.register_buffer("positional_embedding", torch.zeros(_POSITIONS, WIDTH))
        self.blocks = nn.ModuleList(_Block() for _ in range(LAYERS))

    def forward(self, mel: Float[Tensor, "batch 80 columns"]) -> Float[Tensor, "batch steps 512"]:
        """Features, 50 steps a second.

        Args:
            mel: of `log_mel.scaled`, two columns a step, at most 30 s.
        """
        x = functional.gelu(self.conv1(mel))
        x = functional.gelu(self.conv2(x)).transpose(1, 2)
        x = x + self.positional_embedding[: x.shape[1]]
        for block in self.blocks:
            x = block(x)
        return x


def encode(
    encoder: SpeechEncoder, samples: Waveform, *, loudest: float, start: int = 0, stop: int
) -> Iterator[Float32[np.ndarray, "step 512"]]:
    """Features of steps [start, stop) of a recording, in blocks.

    Args:
        encoder: In evaluation mode.
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
        mel = torch.from_numpy(np.ascontiguousarray(scaled(decades, loudest).T))[None]
        with torch.inference_mode():
            kept = encoder(mel)[0, HALO : HALO + min(BODY, stop - first)]
        yield kept.numpy()
