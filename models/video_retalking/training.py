"""Losses of L-Net's training (supplement of the paper, section 1)."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from models.tensors import Scalar


class LNetWeights(BaseModel):
    """How much each loss of L-Net counts; as published. All are means over pixels."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    l1: float = Field(1.0, ge=0, description="distance of pixels")
    perceptual: float = Field(1.0, ge=0, description="distance of features")
    sync: float = Field(0.3, ge=0, description="what the expert says, behind its gate")
    mouth: float = Field(
        5.0, ge=1, description="times that the mouth's box counts where there is no expert"
    )


def lnet_loss(parts: Mapping[str, Scalar], *, weights: LNetWeights, gate_open: bool) -> Scalar:
    """L-Net's loss.

    Args:
        parts: `l1`, `sync` (0 without an expert), and `perceptual` where features are compared.
        weights: Of the parts.
        gate_open: Whether sync counts.
    """
    loss = weights.l1 * parts["l1"] + (weights.sync if gate_open else 0.0) * parts["sync"]
    return loss + weights.perceptual * parts["perceptual"] if "perceptual" in parts else loss
