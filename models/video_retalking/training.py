"""Losses of L-Net's and E-Net's training (paper, equation 14, and supplement, section 1)."""

from collections.abc import Mapping

from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional

from models.tensors import Images, Scalar
from models.video_retalking.jpeg import jpeg


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


class ENetWeights(BaseModel):
    """How much each loss of E-Net counts; as published, where losses are norms. Ours are means."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    l1: float = Field(0.2, ge=0, description="distance of pixels")
    perceptual: float = Field(1.0, ge=0, description="distance of features")
    adversarial: float = Field(
        0.1,
        ge=0,
        description="what the critic says; 0: there is no critic. Published: 100, beside norms, "
        "which are of that size",
    )
    identity: float = Field(
        0.4, ge=0, description="distance of ArcFace's embeddings, where its weights are"
    )
    sync: float = Field(
        0.0,
        ge=0,
        description="what the expert says, behind its gate, as of L-Net (0.3); 0: there is no "
        "expert. The paper's text names it, its equation does not",
    )


def degraded(
    faces: Images, quality: Float[Tensor, " batch"], *, side: int
) -> Float[Tensor, "batch 3 {side} {side}"]:
    """Faces as small, bad pictures of them: what E-Net learns to undo (section 3.3)."""
    low = functional.interpolate(
        jpeg(faces, quality), size=(side, side), mode="bilinear", align_corners=False
    )
    return low


def enet_loss(
    parts: Mapping[str, Scalar], *, weights: ENetWeights, gate_open: bool = False
) -> Scalar:
    """E-Net's loss (equation 14).

    Args:
        parts: `l1`, `perceptual`, and `adversarial`, `identity` and `sync` where there are such
            judges.
        weights: Of the parts.
        gate_open: Whether sync counts.
    """
    told = weights.model_dump() | ({} if gate_open else {"sync": 0.0})
    return sum((told[name] * value for name, value in parts.items()), parts["l1"].new_zeros(()))
