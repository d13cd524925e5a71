"""Training of the network: the basis of motion, batches, augmentation and the loss.

Everything here is pure; `benchmarks/speech_model.py` holds the order of the steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int32
from torch import Tensor

from models.arrays import MotionBasis, MouthRows, Mouths
from models.faces.mesh.indices import MOUTH
from models.speech_to_lips.layout import TICK_STEP, InputLayout
from models.speech_to_lips.neutral import opening_row
from models.speech_to_lips.recordings import Example
from models.tensors import Scalar

AnyMouths = Float32[np.ndarray, "*batch 57 3"]  # mouths or their motion, canonical

WINDOW_TICKS = 30
"""Ticks of one training example: 1.2 s, the length of most clips."""


def mirrored_rows(mirror: Int32[np.ndarray, "478"]) -> MouthRows:
    """Row among the 57 of each MOUTH point's partner on the other side of the face.

    Args:
        mirror: the partner of each landmark.
    """
    return np.array([MOUTH.index(int(mirror[point])) for point in MOUTH])


def mirrored(motion: AnyMouths, rows: MouthRows) -> AnyMouths:
    """Motion as seen in a mirror."""
    return np.asarray(motion[..., rows, :] * np.array([-1, 1, 1], np.float32))


def motion_basis(motion: Mouths, rows: MouthRows, *, symmetric: int, skewed: int) -> MotionBasis:
    """Orthonormal basis of motion, first its symmetric rows.

    Speech moves both sides alike, so the network predicts the symmetric rows; the skewed rows
    are there for adaptation to a person whose mouth is not symmetric.

    Args:
        motion: displacement from neutral, canonical.
        rows: of `mirrored_rows`.
        symmetric: rows that look the same in the mirror, most energy first.
        skewed: rows that change sign in the mirror.
    """
    other = mirrored(motion, rows)
    parts = []
    for part, count in (((motion + other) / 2, symmetric), ((motion - other) / 2, skewed)):
        flat = part.reshape(len(part), -1).astype(np.float64)
        _, vectors = np.linalg.eigh(flat.T @ flat)
        parts.append(vectors[:, ::-1][:, :count].T)
    return np.asarray(np.concatenate(parts), np.float32)


@dataclass(frozen=True)
class Batch:
    """Examples cut to one length.

    Attributes:
        inputs: input features, with the halo on both sides.
        exists: 1 where there is sound, else 0.
        target: components of motion.
        weight: 0 where the face was not seen well, else 1.
    """

    inputs: Float32[Tensor, "example column band"]
    exists: Float32[Tensor, "example column"]
    target: Float32[Tensor, "example tick component"]
    weight: Float32[Tensor, "example tick"]


def draw_batch(
    examples: Sequence[Example],
    targets: Sequence[Float32[np.ndarray, "_ component"]],
    *,
    layout: InputLayout,
    rng: np.random.Generator,
    size: int,
) -> Batch:
    """A random window of each of `size` random clips; persons by the root of their time.

    Args:
        examples: the clips.
        targets: components of motion at each tick of each clip.
        layout: of the network's input.
        rng: source of chance.
        size: examples in the batch.
    """
    ticks = np.array([len(e.motion) for e in examples], np.float64)
    of_person: dict[str, float] = {}
    for example, n in zip(examples, ticks, strict=True):
        of_person[example.person] = of_person.get(example.person, 0) + n
    chance = ticks / np.sqrt([of_person[e.person] for e in examples])
    columns = WINDOW_TICKS // TICK_STEP * layout.columns + 2 * layout.halo
    inputs = np.zeros((size, columns, layout.bands), np.float32)
    exists = np.zeros(inputs.shape[:2], np.float32)
    target = np.zeros((size, WINDOW_TICKS, targets[0].shape[1]), np.float32)
    weight = np.zeros(target.shape[:2], np.float32)
    for row, pick in enumerate(rng.choice(len(examples), size, p=chance / chance.sum())):
        example = examples[pick]
        spare = max(0, len(example.motion) - WINDOW_TICKS)
        tick = int(rng.integers(spare // TICK_STEP + 1)) * TICK_STEP
        first = tick // TICK_STEP * layout.columns - layout.halo
        low, high = max(first, 0), min(first + columns, len(example.inputs))
        inputs[row, low - first : high - first] = example.inputs[low:high]
        exists[row, low - first : high - first] = 1
        part = targets[pick][tick : tick + WINDOW_TICKS]
        target[row, : len(part)] = part
        weight[row, : len(part)] = example.weight[tick : tick + WINDOW_TICKS]
    return Batch(*(torch.from_numpy(a) for a in (inputs, exists, target, weight)))


def smooth_noise(
    shape: tuple[int, int], knots: int, generator: torch.Generator
) -> Float32[Tensor, "row length"]:
    """Smooth random curves of about unit variance: noise at knots, interpolated."""
    coarse = torch.randn(shape[0], 1, knots, generator=generator)
    return torch.nn.functional.interpolate(
        coarse, shape[1], mode="linear", align_corners=True
    ).squeeze(1)


def augment_mel(batch: Batch, *, generator: torch.Generator, strength: float = 1.0) -> Batch:
    """Other voices, rooms, microphones and noises; some examples become wordless noise.

    Units: 0.08 of the mel scale is 1 dB.

    Args:
        batch: what was recorded.
        generator: source of chance.
        strength: factor on how far voices, rooms and gaps go; noise is not affected.
    """
    mel, exists = batch.inputs.clone(), batch.exists.clone()
    n, columns, bands = mel.shape

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(n, *shape, generator=generator) * (high - low) + low

    # Another vocal tract: the bands stretch by up to 12 %.
    position = (torch.arange(bands) * (1 + strength * uniform(-0.11, 0.12, 1))).clamp(
        0, bands - 1.001
    )
    low = position.long()
    part = (position - low)[:, None]
    index = low[:, None].expand(-1, columns, -1)
    mel = mel.gather(2, index) * (1 - part) + mel.gather(2, index + 1) * part
    # Another microphone and gain.
    mel = mel + 0.08 * strength * (3 * torch.randn(n, 1, 1, generator=generator))
    mel = mel + 0.08 * strength * 3 * smooth_noise((n, bands), 5, generator)[:, None]
    # Noise of a random colour, 10 to 60 dB below speech, added as power; sometimes nothing else.
    wordless = torch.rand(n, generator=generator) < 0.06
    below = torch.where(wordless[:, None], uniform(0.0, 60.0, 1), uniform(10.0, 60.0, 1))
    colour = 0.08 * (4 * smooth_noise((n, bands), 4, generator) - below)
    level = colour[:, None] + 0.08 * 2 * torch.randn(mel.shape, generator=generator)
    speech = torch.where(wordless[:, None, None], torch.full_like(mel, -20.0), mel)
    scale = 100 / 8 * np.log(10) / 10
    mel = torch.logaddexp(speech * scale, level * scale) / scale
    # Gaps: what stands before and after a moment is often unknown.
    gap = _runs(n, columns, longest=10, share=0.3 * strength, generator=generator)
    mel = mel.masked_fill(gap[..., None], 0.0)
    exists = exists.masked_fill(gap, 0.0)
    # A band goes missing.
    lost = _runs(n, bands, longest=10, share=0.3 * strength, generator=generator)
    mel = mel.masked_fill(lost[:, None], 0.0)
    target = batch.target * ~wordless[:, None, None]
    return Batch(mel, exists, target, batch.weight)


def augment_features(batch: Batch, *, generator: torch.Generator, strength: float = 1.0) -> Batch:
    """Noise on the features, and gaps.

    Args:
        batch: what was recorded.
        generator: source of chance.
        strength: factor on the noise and on how many examples have a gap.
    """
    inputs, exists = batch.inputs, batch.exists
    inputs = inputs + 0.4 * strength * torch.randn(inputs.shape, generator=generator)
    gap = _runs(*exists.shape, longest=16, share=0.6 * strength, generator=generator)
    return Batch(
        inputs.masked_fill(gap[..., None], 0.0),
        exists.masked_fill(gap, 0.0),
        batch.target,
        batch.weight,
    )


def _runs(
    rows: int, length: int, *, longest: int, share: float, generator: torch.Generator
) -> Tensor:
    """(row, length) bool: in that share of the rows a run of at most `longest`, somewhere."""
    start, width, lot = (torch.rand(rows, 1, generator=generator) for _ in range(3))
    place, start = torch.arange(length), start * length
    return (place >= start) & (place < start + width * longest) & (lot < share)


@dataclass(frozen=True)
class LossWeights:
    """How much each part of the loss counts beside the components' own error."""

    velocity: float = 1.0
    opening: float = 6.0
    closure: float = 1.0
    correlation: float = 0.05
    offset: float = 0.7
    """Share of a window's mean error that is forgiven: neutral shapes of short clips are rough."""


def motion_loss(
    predicted: Float[Tensor, "example tick component"],
    batch: Batch,
    *,
    basis: Float32[Tensor, "component 171"],
    weights: LossWeights,
) -> Scalar:
    """Error of predicted components; all terms in face heights."""
    weight = batch.weight[..., None]
    total = weight.sum().clamp(min=1)
    error = predicted - batch.target
    mean = (error * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1)
    relieved = error - weights.offset * mean
    both = weight[:, 1:] * weight[:, :-1]
    loss = (relieved.abs() * weight).sum() / total
    velocity = (error[:, 1:] - error[:, :-1]).abs() * both
    loss = loss + weights.velocity * velocity.sum() / both.sum().clamp(min=1)
    row = torch.from_numpy(opening_row(basis.numpy()))[:, None]
    open_error = (relieved @ row).abs()
    open_target = batch.target @ row
    closed = (open_target < 0.008).float()
    emphasis = weight * (1 + weights.closure * closed)
    loss = loss + weights.opening * (open_error * emphasis).sum() / emphasis.sum().clamp(min=1)
    if weights.correlation:
        a, b = (_centred(x @ row, weight) for x in (predicted, batch.target))
        seen = (b * b).sum(1) > 30 * 0.006**2
        similar = (a * b).sum(1) / ((a * a).sum(1) * (b * b).sum(1) + 1e-8).sqrt()
        loss = loss + weights.correlation * ((1 - similar) * seen).sum() / seen.sum().clamp(min=1)
    return loss


def _centred(x: Tensor, weight: Tensor) -> Tensor:
    mean = (x * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1)
    return (x - mean) * weight
