"""The recipe `ip_lap.landmarks`: batches, losses and figures of IP-LAP's landmark generator."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from models.ip_lap.boxes import from_box
from models.ip_lap.figures import LandmarkFigures, mouth_openings
from models.ip_lap.landmark_generator import LandmarkGenerator
from models.ip_lap.landmarks import POSE
from models.ip_lap.settings import LandmarkSize
from models.ip_lap.sketch import draw_canvas
from models.ip_lap.training import LandmarkWeights, landmark_losses
from models.ip_lap.windows import REFERENCES, WINDOW
from models.sampling.rows import spread
from tasks.source.face_crops import SIDE
from tasks.training.ip_lap import CROP_PX, IpLapSettings, inputs_of, load_mirror, shares
from tasks.training.recipe import (
    Batch,
    BoardMedia,
    Export,
    Networks,
    Sample,
    shown_curves,
)

Floats = NDArray[np.float32]


class LandmarkSettings(IpLapSettings):
    """What is trained; the defaults are the paper's."""

    size: LandmarkSize = LandmarkSize()
    losses: LandmarkWeights = LandmarkWeights.model_validate({})
    references: int = Field(REFERENCES, ge=1, le=100, description="reference frames of a window")
    frames: int = Field(
        WINDOW, ge=2, le=100, description="frames predicted together; dubbing takes 5"
    )
    weight_decay: float = Field(0.0, ge=0, description="of AdamW; 0: Adam, as published")


class LandmarkRecipe:
    """Training of the landmark generator.

    Args:
        settings: What is trained.
    """

    name = "ip_lap.landmarks"
    phases = ("landmarks",)
    restarts = ()
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
        mel = sample["mel"].to(device)
        inputs = inputs_of(sample, mel, self._settings, mirror=self._mirror, rng=rng)
        seen = shares(inputs.windows, inputs.boxes)
        shown = shares(inputs.references, inputs.reference_boxes)
        arrays = {
            "pose": seen[..., : len(POSE)],
            "content": seen[..., len(POSE) :],
            "reference_pose": shown[..., : len(POSE)],
            "reference_content": shown[..., len(POSE) :],
            "boxes": inputs.boxes,
        }
        tensors = {n: torch.from_numpy(np.ascontiguousarray(a)) for n, a in arrays.items()}
        tensors["row"] = sample["row"]
        return {"mel": inputs.mel, **{n: t.to(device) for n, t in tensors.items()}}

    def loss(
        self, phase: str, networks: Networks, batch: Batch, step: int, carried: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return self._losses(predict(networks, batch), batch)

    def figures(self, networks: Networks, batches: Iterator[Batch]) -> dict[str, float]:
        figures = LandmarkFigures()
        for batch in batches:
            prediction = predict(networks, batch)
            loss, _ = self._losses(prediction, batch)
            content = batch["content"]
            still = batch["reference_content"].median(dim=1, keepdim=True).values
            figures.add(
                *(points_of(c, batch) for c in (prediction, content, still.expand_as(content))),
                rows=np.repeat(batch["row"].cpu().numpy(), content.shape[1]),
                loss=float(loss),
            )
        return figures.summary()

    def show(self, networks: Networks, batch: Batch) -> BoardMedia:
        prediction = predict(networks, batch).view_as(batch["content"])
        full = torch.cat((batch["pose"], prediction), dim=3).cpu().numpy()
        true = torch.cat((batch["pose"], batch["content"]), dim=3).cpu().numpy()
        left, top, right, bottom = batch["boxes"][0, 0].tolist()
        size = (round(bottom - top), round(right - left))
        middle = full.shape[1] // 2
        chosen = spread(np.arange(len(full)), 8)
        drawn = []
        for sample in chosen:
            ours = draw_canvas(full[sample, middle], size)
            theirs = draw_canvas(true[sample, middle], size)
            drawn.append(np.stack([ours, theirs, np.minimum(ours, theirs)]))
        openings = (mouth_openings(points_of(c, batch)) for c in (prediction, batch["content"]))
        return BoardMedia(
            {
                "landmarks/predicted red, true green": np.concatenate(drawn, axis=2),
                "landmarks/opening, predicted red, true green": shown_curves(*openings),
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

    def _losses(self, prediction: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        target = batch["content"].flatten(0, 1)
        settings = self._settings
        return landmark_losses(prediction, target, weights=settings.losses, frames=settings.frames)


def predict(networks: Networks, batch: Batch) -> Tensor:
    """Content landmarks (clips * frames, 2, 57) float32 of a batch."""
    names = ("mel", "pose", "reference_pose", "reference_content")
    predicted: Tensor = networks["landmarks"](*(batch[name] for name in names))
    return predicted.float()


def points_of(content: Tensor, batch: Batch) -> Floats:
    """Content (..., 2, 57) in shares of the batch's boxes → (frame, 57, 2) [face heights]."""
    flat = content.reshape(-1, *content.shape[-2:]).cpu().numpy().swapaxes(1, 2)
    points = from_box(flat, batch["boxes"].flatten(0, 1).cpu().numpy())
    return np.asarray(points * (SIDE / CROP_PX), np.float32)
