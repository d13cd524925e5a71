"""The recipe `meta_talk.expression`: batches, losses and figures of speech → expression."""

from collections.abc import Iterable, Iterator
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from models.meta_talk.expression import SpeechToExpression
from models.meta_talk.expression_losses import ExpressionFigures, expression_loss, mouth_offsets
from models.meta_talk.expression_settings import ExpressionLosses, ExpressionSize
from tasks.source.face_basis import own_basis
from tasks.training.pairs import HeldOut
from tasks.training.recipe import Batch, BoardMedia, Export, Networks, Sample, shown_curves
from tasks.training.schedule import Schedule

_NEPERS = float(np.log(10) / 10)
"""Of energy, in a dB."""


class ExpressionSettings(BaseModel):
    """What is trained; the defaults are the paper's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: ExpressionSize = ExpressionSize.model_validate({})
    pairs: Literal["pseudo", "real", "both"] = Field(
        "pseudo",
        description="pseudo: foreign speech, as Meta Talk; real: the person's own, as AudioDVP",
    )
    held_out: HeldOut = Field(
        "speaker",
        description="judged by a fifth of the speakers, or by the last fifth of each speech",
    )
    losses: ExpressionLosses = ExpressionLosses.model_validate({})
    frames: int = Field(1, ge=1, description="consecutive ticks of a sample")
    stride: int = Field(1, ge=1, description="ticks from a sample of a speech to the next")
    gain_db: float = Field(
        0.0, ge=0, description="speech is louder or softer by up to so much, at random [dB]"
    )
    learning_rate: float = Field(1e-3, gt=0, description="of Adam")
    schedule: Schedule = Schedule.model_validate({})

    @model_validator(mode="after")
    def _motion_is_there(self) -> Self:
        if self.losses.velocity and self.frames < 2:
            raise ValueError("losses.velocity compares ticks: set frames to 2 or more")
        return self


class ExpressionRecipe:
    """Training of speech → expression.

    Args:
        settings: What is trained.
    """

    name = "meta_talk.expression"
    phases = ("expression",)
    restarts = ()
    judged_by = "vertex_error_mm"
    lower_is_better = True

    def __init__(self, settings: ExpressionSettings) -> None:
        self._settings = settings
        self._offsets = mouth_offsets(own_basis(1))

    def networks(self) -> dict[str, nn.Module]:
        return {"expression": SpeechToExpression(self._settings.size)}

    def frozen(self) -> dict[str, nn.Module]:
        return {}

    def optimizer(self, phase: str, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, self._settings.learning_rate, betas=(0.5, 0.999))

    def schedule(self, step: int) -> float:
        return self._settings.schedule.factor(step)

    def batch(self, sample: Sample, device: torch.device, rng: np.random.Generator | None) -> Batch:
        feature, gain = sample["feature"], self._settings.gain_db
        if rng is not None and gain and self._settings.size.features != "atnet":
            moved = rng.uniform(-gain, gain, (len(feature), 1, 1, 1)).astype(np.float32) * _NEPERS
            bands = slice(None) if self._settings.size.features == "logmel80" else slice(1)
            feature = feature.clone()
            feature[..., bands] += torch.from_numpy(moved)
        return {n: t.to(device) for n, t in {**sample, "feature": feature}.items()}

    def loss(
        self, phase: str, networks: Networks, batch: Batch, step: int, carried: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return expression_loss(
            predicted(networks, batch),
            batch["delta"],
            batch["valid"],
            weights=self._settings.losses,
            offsets=self._offsets.to(batch["delta"].device),
        )

    def figures(self, networks: Networks, batches: Iterator[Batch]) -> dict[str, float]:
        figures = ExpressionFigures(self._offsets.numpy())
        for batch in batches:
            valid = batch["valid"].cpu()
            clips = batch["row"].cpu()[:, None].expand_as(valid)[valid]
            found, wanted = predicted(networks, batch).cpu()[valid], batch["delta"].cpu()[valid]
            figures.add(found.numpy(), wanted.numpy(), clips.numpy())
        return figures.summary()

    def show(self, networks: Networks, batch: Batch) -> BoardMedia:
        deltas = (predicted(networks, batch), batch["delta"])
        opened = [-delta[..., 0].flatten().cpu().numpy() for delta in deltas]
        least = min(float(each.min()) for each in opened)
        curves = shown_curves(*(np.asarray(each - least, np.float32) for each in opened))
        return BoardMedia({"expression/opening, predicted red, true green": curves})

    def export(self, networks: Networks) -> dict[str, Export]:
        size = self._settings.size.model_dump(mode="json")
        state = networks["expression"].state_dict()
        return {"meta_talk_expression": Export("meta_talk_expression", size, state)}

    def facts(self) -> dict[str, Any]:
        return {}


def predicted(networks: Networks, batch: Batch) -> Tensor:
    """Expression (B, tick, 64) float32 of a batch."""
    found: Tensor = networks["expression"](batch["feature"], batch["inside"])
    return found.float()
