"""`ip_lap.landmarks`: IP-LAP's first network, from speech and pose to landmarks of jaw and lips."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from safetensors.numpy import load_file
from torch import Tensor, nn

from flows.recipes import RecipeSpec
from models.faces.mesh.indices import JAW, LOWER_INNER_LIP, UPPER_INNER_LIP
from models.ip_lap.boxes import face_boxes, from_box, to_box
from models.ip_lap.landmark_generator import LandmarkGenerator
from models.ip_lap.landmarks import CONTENT, FULL, POSE
from models.ip_lap.settings import IpLapCropSettings, LandmarkSize
from models.ip_lap.sketch import draw_canvas
from models.ip_lap.training import (
    Augmentation,
    LandmarkWeights,
    augment_mel,
    augment_points,
    jittered_boxes,
    landmark_losses,
    mirror_columns,
)
from models.ip_lap.windows import REFERENCES, WINDOW
from stores.shipped import shipped_file
from tasks.source.face_crops import SIDE
from tasks.training.dataset import WindowSettings
from tasks.training.recipe import Batch, BoardMedia, Export, Networks, Sample
from tasks.training.schedule import Schedule

Floats = NDArray[np.float32]

CROP_PX = 256.0
"""Unit in which boxes are laid around landmarks; any would do."""
MEL_START_SECONDS = -2 / 25
"""A frame's 16 columns of mel begin two frames before it, as published."""
_LIPS = slice(len(JAW), None)
_UPPER, _LOWER = CONTENT.index(UPPER_INNER_LIP), CONTENT.index(LOWER_INNER_LIP)
_LEAST_SERIES = 15
"""Frames of a clip from which on a correlation means anything."""


class LandmarkSettings(BaseModel):
    """What is trained; the defaults are the paper's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: LandmarkSize = LandmarkSize()
    losses: LandmarkWeights = LandmarkWeights.model_validate({})
    augmentation: Augmentation = Augmentation.model_validate({})
    crops: IpLapCropSettings = IpLapCropSettings()
    references: int = Field(REFERENCES, ge=1, le=100, description="reference frames of a window")
    frames: int = Field(
        WINDOW, ge=2, le=100, description="frames predicted together; dubbing takes 5"
    )
    stride: int = Field(5, ge=1, description="frames from a window of a clip to the next")
    learning_rate: float = Field(1e-4, gt=0, description="of Adam")
    weight_decay: float = Field(0.0, ge=0, description="of AdamW; 0: Adam, as published")
    schedule: Schedule = Schedule.model_validate({})


class Landmarks:
    """The recipe.

    Args:
        settings: What is trained.
    """

    name = "ip_lap.landmarks"
    phases = ("landmarks",)
    judged_by = "lip_error"
    lower_is_better = True

    def __init__(self, settings: LandmarkSettings) -> None:
        self._settings = settings
        self._mirror = load_mirror()

    def networks(self) -> dict[str, nn.Module]:
        return {"landmarks": LandmarkGenerator(self._settings.size)}

    def frozen(self) -> dict[str, nn.Module]:
        return {}

    def optimizer(self, phase: str, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        rate, decay = self._settings.learning_rate, self._settings.weight_decay
        if decay:
            return torch.optim.AdamW(parameters, rate, weight_decay=decay)
        return torch.optim.Adam(parameters, rate)

    def schedule(self, step: int) -> float:
        return self._settings.schedule.factor(step)

    def batch(self, sample: Sample, device: torch.device, rng: np.random.Generator | None) -> Batch:
        settings = self._settings
        windows = crop_px(sample["landmarks"])
        references = crop_px(sample["reference_landmarks"])
        mel = sample["mel"].to(device)
        change = settings.augmentation
        if rng is not None:
            windows, references, _, _ = augment_points(
                windows, references, change, columns=self._mirror, size=CROP_PX, rng=rng
            )
            mel = augment_mel(mel, change, rng)
        boxes = boxes_of(windows, settings.crops)
        reference_boxes = boxes_of(references, settings.crops)
        if rng is not None:
            boxes = jittered_boxes(boxes, change, rng, together=True)
            reference_boxes = jittered_boxes(reference_boxes, change, rng, together=False)
        seen = shares(windows, boxes)
        shown = shares(references, reference_boxes)
        arrays = {
            "pose": seen[..., : len(POSE)],
            "content": seen[..., len(POSE) :],
            "reference_pose": shown[..., : len(POSE)],
            "reference_content": shown[..., len(POSE) :],
            "boxes": boxes,
        }
        tensors = {n: torch.from_numpy(np.ascontiguousarray(a)) for n, a in arrays.items()}
        tensors["row"] = sample["row"]
        return {"mel": mel, **{n: t.to(device) for n, t in tensors.items()}}

    def loss(
        self, phase: str, networks: Networks, batch: Batch, step: int, carried: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        target = batch["content"].flatten(0, 1)
        return landmark_losses(
            predict(networks, batch).float(),
            target,
            weights=self._settings.losses,
            frames=self._settings.frames,
        )

    def figures(self, networks: Networks, batches: Iterator[Batch]) -> dict[str, float]:
        judge = _Judge()
        for batch in batches:
            prediction = predict(networks, batch).float()
            loss, _ = landmark_losses(
                prediction,
                batch["content"].flatten(0, 1),
                weights=self._settings.losses,
                frames=self._settings.frames,
            )
            judge.add(batch, prediction, float(loss))
        return judge.figures()

    def show(self, networks: Networks, batch: Batch) -> BoardMedia:
        prediction = predict(networks, batch).float().view_as(batch["content"])
        full = torch.cat((batch["pose"], prediction), dim=3).cpu().numpy()
        true = torch.cat((batch["pose"], batch["content"]), dim=3).cpu().numpy()
        left, top, right, bottom = batch["boxes"][0, 0].tolist()
        size = (round(bottom - top), round(right - left))
        middle = full.shape[1] // 2
        chosen = np.linspace(0, len(full) - 1, min(len(full), 8)).astype(int)
        drawn = []
        for sample in chosen:
            ours = draw_canvas(full[sample, middle], size)
            theirs = draw_canvas(true[sample, middle], size)
            drawn.append(np.stack([ours, theirs, np.minimum(ours, theirs)]))
        curves = _curves(_openings(batch, prediction.flatten(0, 1)), _openings(batch, None))
        return BoardMedia(
            {
                "landmarks/predicted red, true green": np.concatenate(drawn, axis=2),
                "landmarks/opening, predicted red, true green": curves,
            }
        )

    def export(self, networks: Networks) -> dict[str, Export]:
        return {
            "ip_lap_landmarks": Export(
                "ip_lap_landmark_generator",
                self._settings.size.model_dump(mode="json"),
                networks["landmarks"].state_dict(),
            )
        }

    def facts(self) -> dict[str, Any]:
        return {}


def predict(networks: Networks, batch: Batch) -> Tensor:
    """Content landmarks (clips * frames, 2, 57) of a batch."""
    names = ("mel", "pose", "reference_pose", "reference_content")
    predicted: Tensor = networks["landmarks"](*(batch[name] for name in names))
    return predicted


def windows(settings: LandmarkSettings) -> WindowSettings:
    """What the loader shall give: landmarks and speech."""
    return WindowSettings.model_validate(
        {
            "frames": settings.frames,
            "stride": settings.stride,
            "references": settings.references,
            "mel_start_seconds": MEL_START_SECONDS,
            "points": FULL,
            "face_px": None,
        }
    )


def load_mirror() -> NDArray[np.int64]:
    """Column of each landmark's partner on the other side (131,)."""
    shipped = load_file(shipped_file("models/faces/mesh/mean_face.safetensors"))
    return mirror_columns(shipped["mirror"])


def crop_px(landmarks: Tensor) -> Floats:
    """Landmarks (sample, frame, 131, 2) [px of a crop of CROP_PX], from shares of its side."""
    return np.asarray(landmarks.numpy()[..., :2] * np.float32(CROP_PX), np.float32)


def boxes_of(points: Floats, settings: IpLapCropSettings) -> Floats:
    """Face boxes (sample, frame, 4) of landmarks (sample, frame, 131, 2)."""
    flat = face_boxes(points.reshape(-1, *points.shape[2:]), pad=settings.pad)
    return flat.reshape(*points.shape[:2], 4)


def shares(points: Floats, boxes: Floats) -> Floats:
    """(sample, frame, 2, 131) in 0..1 of the boxes, x first, as the networks take them."""
    flat = to_box(points.reshape(-1, *points.shape[2:]), boxes.reshape(-1, 4))
    return flat.reshape(points.shape).swapaxes(2, 3)


# Judging.


def in_face_heights(content: Tensor, boxes: Tensor) -> Floats:
    """Content (n, 2, 57) in shares of boxes (n, 4) → (n, 57, 2) [face heights]."""
    points = from_box(content.cpu().numpy().swapaxes(1, 2), boxes.cpu().numpy())
    return np.asarray(points * (SIDE / CROP_PX), np.float32)


def _openings(batch: Batch, prediction: Tensor | None) -> Floats:
    """(frame,) distance of the inner lips [face heights]."""
    content = batch["content"].flatten(0, 1) if prediction is None else prediction
    points = in_face_heights(content, batch["boxes"].flatten(0, 1))
    return np.asarray(np.linalg.norm(points[:, _LOWER] - points[:, _UPPER], axis=1), np.float32)


class _Judge:
    """Gathers errors, and the opening of the mouth clip by clip."""

    def __init__(self) -> None:
        self._errors: list[Floats] = []
        self._still: list[Floats] = []
        self._losses: list[float] = []
        self._rows: list[NDArray[np.int64]] = []
        self._openings: list[Floats] = []

    def add(self, batch: Batch, prediction: Tensor, loss: float) -> None:
        boxes, true = batch["boxes"].flatten(0, 1), batch["content"].flatten(0, 1)
        found, wanted = in_face_heights(prediction, boxes), in_face_heights(true, boxes)
        still = batch["reference_content"].median(dim=1, keepdim=True).values
        held = in_face_heights(still.expand_as(batch["content"]).flatten(0, 1), boxes)
        self._errors.append(np.linalg.norm(found - wanted, axis=2).astype(np.float32))
        self._still.append(np.linalg.norm(held - wanted, axis=2).astype(np.float32))
        self._losses += [loss] * len(batch["row"])
        self._rows.append(np.repeat(batch["row"].cpu().numpy(), batch["content"].shape[1]))
        pair = [_openings(batch, prediction), _openings(batch, None)]
        self._openings.append(np.stack(pair, axis=1))

    def figures(self) -> dict[str, float]:
        """Errors in face heights.

        held_still_lip_error is that of the references' median mouth, laid into each frame's box: no
        pose is taken out, so turning heads count too.
        """
        if not self._errors:
            return {}
        errors, still = np.concatenate(self._errors), np.concatenate(self._still)
        figures = {
            "loss": float(np.mean(self._losses)),
            "error": float(errors.mean()),
            "lip_error": float(errors[:, _LIPS].mean()),
            "jaw_error": float(errors[:, : len(JAW)].mean()),
            "held_still_lip_error": float(still[:, _LIPS].mean()),
        }
        rows, openings = np.concatenate(self._rows), np.concatenate(self._openings)
        series = [openings[rows == row] for row in np.unique(rows)]
        found = [_correlation(pair) for pair in series if len(pair) >= _LEAST_SERIES]
        known = [value for value in found if math.isfinite(value)]
        if known:
            figures["opening_correlation"] = float(np.mean(known))
        return figures


def _correlation(pair: Floats) -> float:
    """Of the columns of (frame, 2); no number where one of them does not move."""
    if (pair.std(axis=0) < 1e-6).any():
        return math.nan
    return float(np.corrcoef(pair.T)[0, 1])


def _curves(predicted: Floats, true: Floats) -> NDArray[np.uint8]:
    """Two curves (frame,) as a picture (3, h, w)."""
    height, step = 128, 4
    top = max(float(true.max()), float(predicted.max()), 1e-3)
    picture = np.zeros((height, step * len(true), 3), np.uint8)
    for values, colour in ((true, (0, 255, 0)), (predicted, (255, 0, 0))):
        x = np.arange(len(values)) * step
        y = (height - 1) * (1 - values / top)
        line = np.stack([x, y], axis=1).round().astype(np.int32)
        cv2.polylines(picture, [line], False, colour, 1, cv2.LINE_AA)
    return picture.transpose(2, 0, 1)


def judged_windows(settings: LandmarkSettings) -> WindowSettings:
    """Windows that follow one another without gaps, so that a clip can be judged as a whole."""
    return windows(settings.model_copy(update={"stride": settings.frames}))


KIND = RecipeSpec(
    LandmarkSettings, windows, judged_windows, lambda settings, store: Landmarks(settings)
)
