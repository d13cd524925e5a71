"""The training loop, which gives the same network for the same seed and number of threads."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.arrays import Components, MotionBasis, MouthRows, TickMouths
from models.speech_to_lips.layout import Level, Size
from models.speech_to_lips.network import Member, SpeechToLips
from models.speech_to_lips.recordings import Example
from models.speech_to_lips.training import (
    LossWeights,
    augment_features,
    augment_mel,
    draw_batch,
    mirrored,
    motion_basis,
    motion_loss,
)

_Array = NDArray[np.float32]


@dataclass(frozen=True)
class FitSettings:
    """How the network is trained."""

    steps: int = 1000
    batch: int = 48
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warm_up: int = 50
    """Steps until the learning rate is reached; from there it falls along a cosine."""
    average: float = 0.995
    """Decay of the running average of the weights, which is what is kept."""
    skewed: int = 4
    """Components that are not symmetric; the network leaves them at rest."""
    augmentation: float = 1.0
    """Strength of `training.augment_mel` or `augment_features`."""
    articulation: float = 1.2
    """The trained network's motion is enlarged so much: what is unsure comes out small, and people
    open their mouths further; up to here the error grows by less than a hundredth."""
    seed: int = 0


def fit(
    examples: Sequence[Example],
    level: Level,
    *,
    rows: MouthRows,
    recipe: FitSettings,
    size: Size,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> SpeechToLips:
    """Train a network, one member after the other.

    Args:
        examples: the clips.
        level: of the examples, kept in the network.
        rows: of `training.mirrored_rows`.
        recipe: how it is trained.
        size: of the network.
        on_step: called with the step (from 1, counted over all members) and its loss.
    """
    model = SpeechToLips(size)
    seen = np.concatenate([e.motion[e.weight > 0] for e in examples])
    basis = motion_basis(
        seen, rows, symmetric=size.components - recipe.skewed, skewed=recipe.skewed
    )
    model.basis.copy_(torch.from_numpy(basis))
    model.set_level(level)
    targets = [symmetric_components(e.motion, basis, rows) for e in examples]
    for number in range(size.members):
        member = _fit_member(
            examples,
            targets,
            basis=model.basis,
            recipe=recipe,
            size=size,
            number=number,
            on_step=on_step,
        )
        model.members[number].load_state_dict(member.state_dict())
    return model.eval()


def _fit_member(
    examples: Sequence[Example],
    targets: Sequence[_Array],
    *,
    basis: Tensor,
    recipe: FitSettings,
    size: Size,
    number: int,
    on_step: Callable[[int, float], None],
) -> Member:
    """One member, from chances of its own."""
    rng = np.random.default_rng([recipe.seed, number])
    torch.manual_seed(int(rng.integers(2**31)))
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    net = Member(size)
    augment = augment_mel if size.input_features == "mel" else augment_features
    average = copy.deepcopy(net).requires_grad_(False)
    optimiser = torch.optim.AdamW(
        net.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay, betas=(0.9, 0.98)
    )
    for step in range(1, recipe.steps + 1):
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * _schedule(step, recipe)
        batch = draw_batch(examples, targets, layout=size.layout, rng=rng, size=recipe.batch)
        batch = augment(batch, generator=generator, strength=recipe.augmentation)
        net.train()
        predicted, _ = net(batch.inputs, batch.exists)
        loss = motion_loss(predicted, batch, basis=basis, weights=LossWeights())
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        keep = min(recipe.average, step / (step + 10))
        for kept, now in zip(average.parameters(), net.parameters(), strict=True):
            kept.lerp_(now.detach(), 1 - keep)
        on_step(number * recipe.steps + step, loss.item())
    for parameter in average.head.parameters():
        parameter.mul_(recipe.articulation)
    return average


def symmetric_components(motion: TickMouths, basis: MotionBasis, rows: MouthRows) -> Components:
    """Components of the symmetric half of motion."""
    half = (motion + mirrored(motion, rows)) / 2
    return np.asarray(half.reshape(len(half), -1) @ basis.T, np.float32)


def _schedule(step: int, recipe: FitSettings) -> float:
    return min(1.0, step / recipe.warm_up) * 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
