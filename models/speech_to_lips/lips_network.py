"""The trained network between speech and lips, for inference; see `network` for what it is."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from models.arrays import Numbers
from models.blocks.plain import Conv1d, LayerNorm, Signal, gelu, part
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


class Answer(NamedTuple):
    """What the network says of some ticks.

    Attributes:
        components: (tick, component) of motion [face heights].
        features: (tick, feature) from which they come, of all members.
    """

    components: Float32[np.ndarray, "tick component"]
    features: Float32[np.ndarray, "tick feature"]


class LipsNetwork:
    """The ensemble: the mean of all members' components, and the features of all.

    Args:
        weights: State dict of `network.SpeechToLips`, any float.
        size: Its sizes.

    Raises:
        KeyError, ValueError: the weights are not of such a network.
    """

    def __init__(self, weights: Mapping[str, Numbers], size: Size) -> None:
        own = part(weights, "")
        self.size = size
        self.basis = own["basis"]
        """(component, 57 * 3), orthonormal."""
        self.level = Level(own["speech_mean"], own.get("speech_scale"))
        self._members = [_Member(part(own, f"members.{n}."), size) for n in range(size.members)]

    def __call__(
        self, inputs: Float32[np.ndarray, "column band"], exists: Float32[np.ndarray, " column"]
    ) -> Answer:
        """The ticks of some columns.

        Args:
            inputs: of `Level`, a multiple of `InputLayout.columns` with the halo on both sides.
            exists: 1 where there is sound, 0 beyond its ends.
        """
        heard = np.concatenate([inputs * exists[:, None], exists[:, None]], axis=1)
        answers = [member(heard) for member in self._members]
        components = np.mean([each.components for each in answers], axis=0)
        return Answer(components, np.concatenate([each.features for each in answers], axis=1))


class _Member:
    def __init__(self, weights: Mapping[str, Numbers], size: Size) -> None:
        self.size = size
        mel = size.input_features == "mel"
        self.first = Conv1d(weights, "encoder.0")
        self.second = (
            Conv1d(weights, "encoder.4", dilation=2)
            if mel
            else Conv1d(weights, "encoder.4", stride=2)
        )
        self.encoder_norm = LayerNorm(weights, "encoder.2.norm")
        self.blocks = [
            _TemporalBlock(part(weights, f"temporal.{number}."), dilation)
            for number, dilation in enumerate(DILATIONS)
        ]
        self.norm = LayerNorm(weights, "norm.norm")
        self.head = Conv1d(weights, "head")

    def __call__(self, heard: Signal) -> Answer:
        x = gelu(self.second(self.encoder_norm(gelu(self.first(heard)))))
        if self.size.input_features == "mel":
            x = at_ticks(x, self.size.layout.ticks(len(heard)))
        for block in self.blocks:
            x = block(x)
        features = self.norm(x)
        return Answer(self.head(features) * np.float32(MOTION_UNIT), features)


class _TemporalBlock:
    """Residual dilated convolution without padding: 2 x dilation ticks shorter on output."""

    def __init__(self, weights: Mapping[str, Numbers], dilation: int) -> None:
        self.dilation = dilation
        self.norm = LayerNorm(weights, "layers.0.norm")
        self.wide = Conv1d(weights, "layers.1", dilation=dilation)
        self.mixing = Conv1d(weights, "layers.4")

    def __call__(self, x: Signal) -> Signal:
        moved = self.mixing(gelu(self.wide(self.norm(x))))
        return np.asarray(x[self.dilation : -self.dilation] + moved)


def at_ticks(x: Signal, ticks: int) -> Signal:
    """Encoded mel columns at the ticks and their reach, interpolated."""
    tick = np.arange(-TICK_REACH, ticks + TICK_REACH)
    column = LAYOUTS["mel"].halo - ENCODER_REACH + tick * (COLUMN_STEP / TICK_STEP)
    low = np.floor(column).astype(np.int64)
    share = (column - low).astype(np.float32)[:, None]
    return np.asarray(x[low] * (1 - share) + x[low + 1] * share)
