"""Boxes, weights and losses for the training of Wav2Lip's networks and of VideoReTalking's L-Net.

Convention: faces (sample, frame, 3, 96, 96) are BGR in 0..1, boxes x1, y1, x2, y2.
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Float32
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from models.faces.mesh.indices import LIPS
from models.tensors import Scalar
from models.wav2lip.expert import sync_loss
from models.wav2lip.generator import SIZE

WINDOW = 5
"""Consecutive frames of a sample: as many as the expert sees."""

MeshPoints = Float32[np.ndarray, "sample frame 478 coordinate"]  # of face meshes [crop sides]
WindowBoxes = Float32[np.ndarray, "sample frame 4"]  # x1, y1, x2, y2 [crop sides]
FaceWindows = Float[Tensor, "sample frame 3 96 96"]
# How much each pixel counts
PixelWeights = Float[Tensor, "sample frame 1 96 96"]
Cosines = Float[Tensor, " sample"]
WindowMel = Float[Tensor, "sample 1 80 16"]  # over the five frames of a window, -4..4

_MOUTH_ROOM = 0.25
"""Around the lips, on every side [widths of the lips]."""


class SyncGate(BaseModel):
    """When the expert's word begins to count."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    outputs: float = Field(
        0.75, gt=0, description="its loss on validation outputs must be below this"
    )
    truth: float = Field(
        0.3,
        gt=0,
        description="and its loss on true faces, half of them with other speech, below this: a "
        "weak expert distorts faces",
    )


class Wav2LipWeights(BaseModel):
    """How much each loss of the generator counts; as published. What is left of 1 is L1's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sync: float = Field(0.03, ge=0, lt=0.5, description="what the expert says, behind its gate")
    adversarial: float = Field(
        0.07, ge=0, lt=0.5, description="what the critic says; 0: there is no critic"
    )
    mouth: float = Field(
        5.0, ge=1, description="times that the mouth's box counts where there is no expert"
    )


def face_boxes(points: MeshPoints, *, chin: float) -> WindowBoxes:
    """Boxes around face meshes.

    Args:
        points: Of the meshes.
        chin: Room below, as a share of the box's height.
    """
    low, high = points[..., :2].min(axis=2), points[..., :2].max(axis=2)
    high[..., 1] += chin * (high - low)[..., 1]
    return np.asarray(np.concatenate([low, high], axis=-1), np.float32)


def mouth_boxes(points: MeshPoints) -> WindowBoxes:
    """Boxes around lips, with some room."""
    return boxes_around(points[..., list(LIPS), :2])


def boxes_around(lips: Float[np.ndarray, "*face point 2"]) -> Float32[np.ndarray, "*face 4"]:
    """Boxes around the points of lips, with some room."""
    low, high = lips.min(axis=-2), lips.max(axis=-2)
    room = _MOUTH_ROOM * (high - low)[..., :1]
    return np.asarray(np.concatenate([low - room, high + room], axis=-1), np.float32)


def mirrored_boxes(boxes: WindowBoxes) -> WindowBoxes:
    """The same in the mirror of their crops."""
    x1, y1, x2, y2 = np.moveaxis(boxes, -1, 0)
    return np.stack([1 - x2, y1, 1 - x1, y2], axis=-1)


def pixels_in(
    boxes: Float[Tensor, "sample frame 4"], *, side: int = SIZE
) -> Float[Tensor, "sample frame 1 {side} {side}"]:
    """1 in the pixels whose centre is in a box [shares of the face's sides], 0 in others."""
    at = (torch.arange(side, device=boxes.device) + 0.5) / side
    x1, y1, x2, y2 = boxes.unsqueeze(-1).unbind(2)
    across, down = (at >= x1) & (at < x2), (at >= y1) & (at < y2)
    return (down[..., :, None] & across[..., None, :]).float()[:, :, None]


def weighted_l1(made: FaceWindows, face: FaceWindows, weight: PixelWeights) -> Scalar:
    """Mean absolute difference; each pixel counts by its weight."""
    return ((made - face).abs() * weight).mean() / weight.mean()


def lower_halves(faces: FaceWindows) -> Float[Tensor, "sample 3*frame 48 96"]:
    """Five faces as the expert sees them."""
    return faces[:, :, :, SIZE // 2 :].flatten(1, 2)


def output_sync(expert: nn.Module, mel: WindowMel, faces: FaceWindows) -> Scalar:
    """Mean of minus the logarithm of the expert's cosine: how little faces say what is heard."""
    with torch.autocast(faces.device.type, enabled=False):
        sound, shown = expert(mel.float(), lower_halves(faces.float()))
        return sync_loss(sound, shown, faces.new_ones(len(faces)))


def wav2lip_loss(
    parts: Mapping[str, Scalar], *, weights: Wav2LipWeights, gate_open: bool
) -> Scalar:
    """The generator's loss.

    Args:
        parts: `l1`, `sync` (0 without an expert), and `adversarial` where there is a critic.
        weights: Of the parts.
        gate_open: Whether sync counts.
    """
    sync = weights.sync if gate_open else 0.0
    loss = (1 - sync - weights.adversarial) * parts["l1"] + sync * parts["sync"]
    return loss + weights.adversarial * parts["adversarial"] if "adversarial" in parts else loss


def masked_inputs(
    face: FaceWindows, reference: FaceWindows
) -> Float[Tensor, "sample 6 frame 96 96"]:
    """What the generator and L-Net take: faces with their lower half 0, then references."""
    upper = torch.arange(SIZE, device=face.device)[:, None] < SIZE // 2
    return torch.cat((face * upper, reference), dim=2).transpose(1, 2)


def pair_cosines(
    expert: nn.Module, mel: WindowMel, faces: FaceWindows, wrong: FaceWindows
) -> tuple[Cosines, Cosines]:
    """The expert's cosines of the sound with its own faces, and with others."""
    with torch.autocast(faces.device.type, enabled=False):
        both = lower_halves(torch.cat((faces, wrong)).float())
        sound, shown = expert(torch.cat((mel, mel)).float(), both)
        true, false = functional.cosine_similarity(sound, shown).clamp(0, 1).chunk(2)
    return true, false
