"""What the recipes of IP-LAP's two networks share: settings, augmented landmarks, face boxes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from models.ip_lap.boxes import face_boxes, to_box
from models.ip_lap.landmarks import FULL
from models.ip_lap.settings import IpLapCropSettings
from models.ip_lap.training import (
    Augmentation,
    augment_mel,
    augment_points,
    jittered_boxes,
    mirror_columns,
)
from tasks.source.landmarks import mirrored_points
from tasks.training.recipe import Sample
from tasks.training.schedule import Schedule

Floats = NDArray[np.float32]

CROP_PX = 256.0
"""Unit in which boxes are laid around landmarks; any would do."""


class IpLapSettings(BaseModel):
    """Settings of both recipes; the defaults are the paper's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    augmentation: Augmentation = Augmentation.model_validate({})
    crops: IpLapCropSettings = IpLapCropSettings()
    stride: int = Field(5, ge=1, description="frames from a sample of a clip to the next")
    learning_rate: float = Field(1e-4, gt=0, description="of Adam")
    schedule: Schedule = Schedule.model_validate({})


@dataclass(frozen=True)
class Inputs:
    """Landmarks and speech of a batch, augmented, with the boxes around the faces.

    Attributes:
        windows: (sample, frame, 131, 2) landmarks [px of a crop of CROP_PX].
        boxes: (sample, frame, 4) x1, y1, x2, y2 [px of that crop].
        references: (sample, reference, 131, 2), like `windows`.
        reference_boxes: (sample, reference, 4), like `boxes`.
        mel: (sample, frame, 1, 80, column), on the device of the mel that was given.
        mirrored: (sample,) the faces are seen in a mirror.
    """

    windows: Floats
    boxes: Floats
    references: Floats
    reference_boxes: Floats
    mel: Tensor
    mirrored: NDArray[np.bool_]


def inputs_of(
    sample: Sample,
    mel: Tensor,
    settings: IpLapSettings,
    *,
    mirror: NDArray[np.int64],
    rng: np.random.Generator | None,
) -> Inputs:
    """What both networks see of a batch.

    Args:
        sample: As the loader gives it.
        mel: Of the frames whose speech is heard, on the networks' device.
        settings: Of the recipe.
        mirror: Of `load_mirror`.
        rng: Of augmentation; None: no augmentation.
    """
    change = settings.augmentation
    windows, references = crop_px(sample["landmarks"]), crop_px(sample["reference_landmarks"])
    mirrored = np.zeros(len(windows), bool)
    if rng is not None:
        windows, references, mirrored, _ = augment_points(
            windows, references, change, columns=mirror, size=CROP_PX, rng=rng
        )
        mel = augment_mel(mel, change, rng)
    boxes, reference_boxes = (boxes_of(p, settings.crops) for p in (windows, references))
    if rng is not None:
        boxes = jittered_boxes(boxes, change, rng, together=True)
        reference_boxes = jittered_boxes(reference_boxes, change, rng, together=False)
    return Inputs(windows, boxes, references, reference_boxes, mel, mirrored)


def load_mirror() -> NDArray[np.int64]:
    """Column of each landmark's partner on the other side (131,)."""
    return mirror_columns(mirrored_points())


def crop_px(landmarks: Tensor) -> Floats:
    """Landmarks (sample, frame, 131, 2) [px of a crop of CROP_PX], from shares of its side."""
    return np.asarray(landmarks.numpy()[..., :2] * np.float32(CROP_PX), np.float32)


def boxes_of(points: Floats, settings: IpLapCropSettings) -> Floats:
    """Face boxes (sample, frame, 4) of landmarks (sample, frame, 131, 2)."""
    flat = face_boxes(points.reshape(-1, len(FULL), 2), pad=settings.pad)
    return flat.reshape(*points.shape[:2], 4)


def shares(points: Floats, boxes: Floats) -> Floats:
    """(sample, frame, 2, 131) in 0..1 of the boxes, x first, as the networks take them."""
    flat = to_box(points.reshape(-1, len(FULL), 2), boxes.reshape(-1, 4))
    return flat.reshape(points.shape).swapaxes(2, 3)
