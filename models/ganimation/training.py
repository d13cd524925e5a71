"""Losses of GANimation's training: WGAN-GP, action units and a cycle (Pumarola et al., section 4).

Weights are those of VideoReTalking's generator; all terms are means.
"""

from collections.abc import Mapping

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from models.tensors import Images, Scalar


class GANimationWeights(BaseModel):
    """How much each loss counts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    adversarial: float = Field(1.0, ge=0, description="how real the critic finds a face")
    units: float = Field(
        160.0, ge=0, description="squared distance of the action units that the critic reads"
    )
    penalty: float = Field(10.0, ge=0, description="of the critic's gradients whose norm is not 1")
    cycle: float = Field(10.0, ge=0, description="distance of pixels, changed and changed back")
    own: float = Field(
        0.0, ge=0, description="distance of pixels, given the face's own units; published: 0"
    )


def critic_losses(
    critic: nn.Module, real: Images, made: Images, units: Tensor, share: Tensor
) -> dict[str, Scalar]:
    """The critic's `real`, `made`, `penalty` and `read_units`, in one pass.

    Args:
        critic: `Critic`.
        real: Faces.
        made: Changed ones.
        units: (batch, 17) of the real ones.
        share: (batch,) 0..1 of the real face in the mixture at which the gradient is taken.
    """
    part = share[:, None, None, None]
    mixed = (part * real + (1 - part) * made).requires_grad_()
    scores, said = critic(torch.cat((real, made, mixed)))
    of_real, of_made, of_mixed = scores.chunk(3)
    # Of a patch's mean, so that as many patches as there may be weigh the same.
    (slope,) = torch.autograd.grad(of_mixed.mean((1, 2, 3)).sum(), mixed, create_graph=True)
    return {
        "real": -of_real.mean(),
        "made": of_made.mean(),
        "penalty": (slope.flatten(1).norm(dim=1) - 1).square().mean(),
        "read_units": functional.mse_loss(said[: len(real)], units),
    }


def critic_loss(parts: Mapping[str, Scalar], weights: GANimationWeights) -> Scalar:
    """The critic's loss of the parts of `critic_losses`."""
    return (
        weights.adversarial * (parts["real"] + parts["made"])
        + weights.units * parts["read_units"]
        + weights.penalty * parts["penalty"]
    )


def generator_loss(parts: Mapping[str, Scalar], weights: GANimationWeights) -> Scalar:
    """The generator's loss.

    Args:
        parts: `adversarial`, `units` and `cycle`; `own` where that counts.
        weights: Of the parts.
    """
    told = weights.model_dump()
    return sum((told[name] * value for name, value in parts.items()), parts["cycle"].new_zeros(()))
