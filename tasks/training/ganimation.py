"""The recipe `ganimation`: a face with given action units, against a critic that reads them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from models.ganimation.critic import Critic
from models.ganimation.generator import Generator
from models.ganimation.settings import GANimationSize
from models.ganimation.training import (
    GANimationWeights,
    critic_loss,
    critic_losses,
    generator_loss,
)
from models.video_retalking.speaker import UNITS
from tasks.training.figures import Means
from tasks.training.meta_talk_renderer import levels
from tasks.training.recipe import Batch, BoardMedia, Export, Networks, Sample, shown_sheet
from tasks.training.schedule import Schedule

_NETWORK = "ganimation_generator"
_BETAS = (0.5, 0.999)
_SPREAD = 0.1
"""Of chance in the units of another face."""
_SHOWN = 6


class GANimationSettings(BaseModel):
    """What is trained; the defaults are the published ones."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: GANimationSize = GANimationSize(colours="rgb")
    losses: GANimationWeights = GANimationWeights.model_validate({})
    units_gain: float = Field(
        1.0,
        gt=0,
        description="times that the generator's first weights for units are larger than drawn: the "
        "norm behind them takes out what is the same all over a picture, but for its border",
    )
    critic_steps: int = Field(5, ge=1, description="steps of the critic to one of the generator")
    reading_steps: int = Field(
        0,
        ge=0,
        description="steps at first in which the critic alone learns, to read units: a generator "
        "before a critic that can't learns to change nothing, and keeps to it",
    )
    openface: Path | None = Field(
        None,
        description="folder with OpenFace's CSV of each clip, by the clip's name; none: action "
        "units are read off the face mesh",
    )
    rest: Literal["person", "mean_face"] = Field(
        "person",
        description="what units of the mesh are relative to: the person's median over all clips, "
        "as in OpenFace; or the mean face, by which few persons suffice, as one face alone does "
        "not show how it differs from the others of this person",
    )
    mirror: float = Field(0.0, ge=0, le=1, description="share of the faces that are mirrored")
    stride: int = Field(5, ge=1, description="frames from a sample of a clip to the next")
    judged_stride: int = Field(
        25, ge=1, description="frames from a validation sample of a clip to the next"
    )
    learning_rate: float = Field(1e-4, gt=0, description="of Adam")
    schedule: Schedule = Schedule.model_validate(
        {"stay_steps": 160_000, "fall_steps": 240_000, "end": 0.0}
    )


class GANimationRecipe:
    """Training of GANimation's generator and critic.

    Args:
        settings: What is trained.
        store: Is not asked for anything.
    """

    name = "ganimation"
    phases = ("generator", "critic")
    judged_by = "loss"
    lower_is_better = True
    restarts = ()

    def __init__(self, settings: GANimationSettings, store: str) -> None:
        self._settings = settings

    def networks(self) -> dict[str, nn.Module]:
        size = self._settings.size
        generator = Generator(size)
        with torch.no_grad():
            first: Tensor = generator.model[0].weight  # type: ignore[assignment]
            first[:, 3:] *= self._settings.units_gain
        return {"generator": generator, "critic": Critic(size)}

    def frozen(self) -> dict[str, nn.Module]:
        return {}

    def optimizer(self, phase: str, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, self._settings.learning_rate, betas=_BETAS)

    def schedule(self, step: int) -> float:
        return self._settings.schedule.factor(step)

    def rests(self, phase: str, step: int) -> bool:
        played = step + 1 - self._settings.reading_steps
        return phase == "generator" and (played < 1 or played % self._settings.critic_steps != 0)

    def batch(self, sample: Sample, device: torch.device, rng: np.random.Generator | None) -> Batch:
        units, face = sample["units"].numpy(), sample["face"].to(device).float() / 127.5 - 1
        if rng is None:  # clips come in order: half a batch away there is another
            wanted = np.roll(units, len(units) // 2, axis=0)
        else:
            chance = rng.uniform(-_SPREAD, _SPREAD, units.shape)
            wanted = (units[rng.permutation(len(units))] + chance).clip(0, 1)
            turned = torch.from_numpy(rng.random(len(units)) < self._settings.mirror).to(device)
            face = torch.where(turned[:, None, None, None], face.flip(3), face)
        return {
            "face": face.flip(1) if self._settings.size.colours == "bgr" else face,
            "units": sample["units"].to(device),
            "wanted": torch.from_numpy(wanted.astype(np.float32)).to(device),
        }

    def loss(
        self, phase: str, networks: Networks, batch: Batch, step: int, carried: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        face, weights = batch["face"], self._settings.losses
        if phase == "critic" and step < self._settings.reading_steps:
            with torch.autocast(face.device.type, enabled=False):
                score, said = networks["critic"](face)
            parts = {"read_units": (said - batch["units"]).square().mean()}
            # Every parameter takes part in each step, as processes that train together need.
            return weights.units * parts["read_units"] + 0 * score.sum(), parts
        if phase == "critic":
            made = carried.get("made")
            if made is None:
                with torch.no_grad():
                    made = changed(networks["generator"], face, batch["wanted"])
            share = torch.rand(len(face), device=face.device)
            with torch.autocast(face.device.type, enabled=False):
                parts = critic_losses(networks["critic"], face, made, batch["units"], share)
            return critic_loss(parts, weights), parts
        parts = self._parts(networks, batch)
        carried["made"] = parts.pop("made").detach()
        return generator_loss(parts, weights), parts

    def _parts(self, networks: Networks, batch: Batch) -> dict[str, Tensor]:
        """The generator's losses, and the faces that it made."""
        face, units, generator = batch["face"], batch["units"], networks["generator"]
        made = changed(generator, face, batch["wanted"])
        with torch.autocast(face.device.type, enabled=False):
            score, said = networks["critic"](made)
        parts = {
            "made": made,
            "adversarial": -score.mean(),
            "units": (said - batch["wanted"]).square().mean(),
            "cycle": (changed(generator, made, units) - face).abs().mean(),
        }
        if self._settings.losses.own:
            parts["own"] = (changed(generator, face, units) - face).abs().mean()
        return parts

    def figures(self, networks: Networks, batches: Iterator[Batch]) -> dict[str, float]:
        found, weights = Means(), self._settings.losses
        for batch in batches:
            face, wanted, count = batch["face"], batch["wanted"], len(batch["face"])
            parts = self._parts(networks, batch)
            made = parts.pop("made")
            own = changed(networks["generator"], face, batch["units"])
            read, (_, said) = networks["critic"](face)[1], networks["critic"](made)
            told = {
                # What is compared; the critic's scores mean nothing from one step to another.
                "loss": weights.units * parts["units"] + weights.cycle * parts["cycle"],
                "cycle_l1": parts["cycle"],
                "read_units_error": (read - batch["units"]).abs().mean(),
                "made_units_error": (said - wanted).abs().mean(),
                "changed_levels": 127.5 * (made - face).abs().mean(),
                "own_levels": 127.5 * (own - face).abs().mean(),
            }
            for name, value in told.items():
                found.add(name, value, count)
        return found.found()

    def show(self, networks: Networks, batch: Batch) -> BoardMedia:
        face, units = batch["face"][:_SHOWN], batch["units"][:_SHOWN]
        columns = [face, changed(networks["generator"], face, units)]
        for unit, intensity in (each for one in UNITS.values() for each in one.items()):
            acted = torch.zeros_like(units)
            acted[:, unit] = intensity
            columns.append(changed(networks["generator"], face, acted))
        if self._settings.size.colours == "bgr":
            columns = [each.flip(1) for each in columns]
        sheet = shown_sheet(list(zip(*(levels(c).cpu().numpy() for c in columns), strict=True)))
        return BoardMedia({f"generator/face, own units, {', '.join(UNITS)}": sheet})

    def export(self, networks: Networks) -> dict[str, Export]:
        size = self._settings.size.model_dump(mode="json")
        return {"ganimation": Export(_NETWORK, size, networks["generator"].state_dict())}

    def facts(self) -> dict[str, Any]:
        return {}


def changed(generator: nn.Module, face: Tensor, units: Tensor) -> Tensor:
    """Faces (batch, 3, side, side) float32 in -1..1 with action units (batch, 17)."""
    made: Tensor = generator(face, units).over(face).float()
    return made
