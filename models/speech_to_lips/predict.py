"""Inference: mouth motion for a recording of any length.

The network sees a recording in blocks of fixed size with a halo, so the result does not depend
on where blocks begin, and memory beyond input and output stays the same for hours of speech.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Float32

from models.arrays import (
    BandColumns,
    Components,
    Mel,
    Numbers,
    SpeechFeatures,
    TickFeatures,
    TickMouths,
)
from models.audio.mel import N_MELS
from models.faces.mesh.indices import INNER_LIP, MOUTH
from models.speech_to_lips.adapter import Adapter
from models.speech_to_lips.gate import n_ticks, speech_gate
from models.speech_to_lips.layout import TICK_STEP, Size
from models.speech_to_lips.lips_network import LipsNetwork

BLOCK_TICKS = 500
"""Ticks computed at a time (20 s); a multiple of TICK_STEP."""

SMOOTH, LIVELY = -0.25, 0.1
"""Edges of motion: what a listener compares with, 1-2-1 over three ticks, and what a face shows.

A regression gives the mean of all motions that a sound may stand for, which is slower than any of
them: its acceleration is 0.4 of the speakers'. Dubs of training clips made with an edge of 0.1
follow the speech no less than smoothed ones and move their lips more sharply; with larger ones they
follow it less.
"""


def load_model(
    weights: Mapping[str, Numbers], config: Mapping[str, int | float | str]
) -> LipsNetwork:
    """The network.

    Args:
        weights: state dict, float16 or float32.
        config: fields of `Size`, as the weights file's metadata gives them (numbers).
    """
    try:
        return LipsNetwork(weights, Size(**config))  # type: ignore[arg-type]
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(
            f"these are not weights of this speech_to_lips network ({error!r}); "
            "train them again or use those that ship with this version"
        ) from error


def predict_motion(
    model: LipsNetwork,
    mel: Mel,
    *,
    speech: SpeechFeatures | None = None,
    adapter: Adapter | None = None,
    edge: float = SMOOTH,
    block_ticks: int = BLOCK_TICKS,
) -> TickMouths:
    """Mouth motion of a recording.

    Args:
        model: from `load_model`.
        mel: -4..4, the whole recording.
        speech: its features, for a model that takes them.
        adapter: what fits the motion to a person; None for the reference person.
        edge: as of `edged`.
        block_ticks: ticks computed at a time; changes speed and memory, not the result.

    Returns:
        Displacement from the neutral mouth, canonical [face heights], at times i / 25 s; exactly
        zero in silence.
    """
    adapter = adapter or Adapter.plain(model.size)
    gate = speech_gate(mel)
    basis = model.basis
    components = np.zeros((len(gate), len(basis)), np.float32)
    for first, part, features in predict_blocks(model, mel, speech, block_ticks=block_ticks):
        components[first : first + len(part)] = adapter(part, features)
    motion = (edged(components, edge) * gate[:, None]) @ basis
    return lips_apart(motion.reshape(len(gate), len(MOUTH), 3))


def edged(components: Components, edge: float) -> Components:
    """Components with what they differ by from the mean of their neighbours in time made larger.

    Args:
        components: of each tick.
        edge: weights of three ticks are -edge, 1 + 2 edge, -edge; below 0 smooths.
    """
    if not len(components):
        return components
    padded = np.pad(components, ((1, 1), (0, 0)), mode="edge")
    around, middle = np.float32(edge), np.float32(1 + 2 * edge)
    return np.asarray(middle * components - around * (padded[:-2] + padded[2:]))


_INNER = len(MOUTH) - len(INNER_LIP)
_UPPER, _LOWER = _INNER + np.arange(1, 10), _INNER + np.arange(19, 10, -1)
"""Rows of the inner lips between the corners: upper points, and the lower one below each."""


def lips_apart(motion: TickMouths) -> TickMouths:
    """Motion whose inner lips meet where they would pass through each other.

    Neutral is closed, so lips that come nearer than in neutral share the difference.
    """
    return shut_by(motion, np.minimum(inner_gaps(motion), 0))


def inner_gaps(motion: TickMouths) -> Float32[np.ndarray, "tick 9"]:
    """How far motion draws the inner lips apart between the corners [face heights]."""
    return np.asarray(motion[:, _LOWER, 1] - motion[:, _UPPER, 1])


def shut_by(motion: TickMouths, gaps: Float32[np.ndarray, "tick 9"]) -> TickMouths:
    """Motion whose inner lips are nearer to each other by so much, both lips sharing it."""
    shut = motion.copy()
    shut[:, _LOWER, 1] -= gaps / 2
    shut[:, _UPPER, 1] += gaps / 2
    return shut


def predict_blocks(
    model: LipsNetwork,
    mel: BandColumns,
    speech: SpeechFeatures | None = None,
    *,
    block_ticks: int = BLOCK_TICKS,
) -> Iterator[tuple[int, Components, TickFeatures]]:
    """The network's answers in blocks: first tick, components and features; silence moves too.

    Args:
        model: from `load_model`.
        mel: -4..4, the whole recording.
        speech: its features, for a model that takes them.
        block_ticks: ticks computed at a time, a multiple of TICK_STEP.
    """
    if mel.ndim != 2 or mel.shape[1] != N_MELS:
        raise ValueError(f"mel is (column, {N_MELS}), got {mel.shape}")
    if block_ticks < TICK_STEP or block_ticks % TICK_STEP:
        raise ValueError(f"block_ticks must be a multiple of {TICK_STEP}, got {block_ticks}")
    layout = model.size.layout
    inputs = model.level.of(mel, speech)
    ticks = n_ticks(len(mel))
    columns = block_ticks // TICK_STEP * layout.columns
    for first in range(0, ticks, block_ticks):
        start = first // TICK_STEP * layout.columns - layout.halo
        block = np.zeros((columns + 2 * layout.halo, layout.bands), np.float32)
        exists = np.zeros(len(block), np.float32)
        low = min(max(start, 0), len(inputs))
        high = max(min(start + len(block), len(inputs)), low)
        block[low - start : high - start] = inputs[low:high]
        exists[low - start : high - start] = 1
        answer = model(block, exists)
        count = min(block_ticks, ticks - first)
        yield first, answer.components[:count], answer.features[:count]
