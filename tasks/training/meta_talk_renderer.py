"""The recipe `meta_talk.renderer`: from renders of one person's lower face to what is filmed."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from models.blocks.begin import begin
from models.meta_talk.lower_face import window_images
from models.meta_talk.renderer import (
    critic,
    critic_loss,
    made_real,
    neural_renderer,
    psnr_within,
)
from models.meta_talk.settings import NeuralRendererSize, Settings
from tasks.training.recipe import Batch, BoardMedia, Export, Networks, Sample, shown_sheet
from tasks.training.schedule import Schedule

_BETAS = (0.5, 0.999)


class RendererWeights(Settings):
    """Of the renderer's losses."""

    adversarial: float = Field(
        default=1.0, ge=0, description="what the critic says; 0: there is none, in half the time"
    )
    l1: float = Field(default=100.0, ge=0, description="mean difference from what is filmed")
    l2: float = Field(
        default=0.0, ge=0, description="mean squared difference: a few wrong pixels count for more"
    )


class RendererAugmentation(Settings):
    """How what is shown varies."""

    mirror: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="chance of a sample's mirror image, parting and light with it",
    )


class NeuralRendererSettings(Settings):
    """What is trained; the defaults are the paper's."""

    size: NeuralRendererSize = NeuralRendererSize()
    critic_width: int = Field(64, ge=1, description="channels of the critic's first layer")
    losses: RendererWeights = RendererWeights()
    learning_rate: float = Field(2e-4, gt=0, description="of both Adams")
    schedule: Schedule = Schedule.model_validate({})
    augmentation: RendererAugmentation = RendererAugmentation()
    judged_stride: int = Field(5, ge=1, description="frames from a validation frame to the next")


class NeuralRendererRecipe:
    """Training of the neural face renderer, against a critic if it counts.

    Args:
        settings: What is trained.
    """

    name = "meta_talk.renderer"
    restarts = ()
    judged_by = "psnr_db"
    lower_is_better = False

    def __init__(self, settings: NeuralRendererSettings) -> None:
        self._settings = settings
        judges = settings.losses.adversarial > 0
        self.phases = ("critic", "renderer") if judges else ("renderer",)

    def networks(self) -> dict[str, nn.Module]:
        own = self._settings
        made = {"renderer": begin(neural_renderer(own.size))}
        if "critic" in self.phases:
            made = {"critic": begin(critic(own.size, own.critic_width)), **made}
        return made

    def frozen(self) -> dict[str, nn.Module]:
        return {}

    def optimizer(self, phase: str, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, self._settings.learning_rate, betas=_BETAS)

    def schedule(self, step: int) -> float:
        return self._settings.schedule.factor(step)

    def batch(self, sample: Sample, device: torch.device, rng: np.random.Generator | None) -> Batch:
        moved = {name: tensor.to(device) for name, tensor in sample.items()}
        lent = moved["lent"] if self._settings.size.input == "render_and_exemplar" else None
        found = {
            "windows": window_images(moved["window"], moved["inside"], lent),
            "photo": moved["photo"].float() / 127.5 - 1,
        }
        if rng is None:
            middle = moved["window"].shape[1] // 2
            return found | {
                "mask": moved["mask"] > 0,
                "render": moved["window"][:, middle],
                "nearest": moved["nearest"],
                "lent": moved["lent"],
            }
        mirrored = rng.random(len(found["photo"])) < self._settings.augmentation.mirror
        turned = torch.from_numpy(mirrored).to(device)[:, None, None, None]
        return {name: torch.where(turned, each.flip(3), each) for name, each in found.items()}

    def loss(
        self, phase: str, networks: Networks, batch: Batch, step: int, carried: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        windows, photo = batch["windows"], batch["photo"]
        made = networks["renderer"](windows)
        if phase == "critic":
            return critic_loss(networks["critic"], windows, made.detach(), photo), {}
        weights = self._settings.losses
        l1, l2 = (made - photo).abs().mean(), (made - photo).square().mean()
        total, told = weights.l1 * l1 + weights.l2 * l2, {"l1": l1, "l2": l2}
        if "critic" in self.phases:
            told["adversarial"] = made_real(networks["critic"], windows, made)
            total = total + weights.adversarial * told["adversarial"]
        return total, told

    def figures(self, networks: Networks, batches: Iterator[Batch]) -> dict[str, float]:
        found: dict[str, list[Tensor]] = {}
        for batch in batches:
            made, photo = levels(networks["renderer"](batch["windows"])), levels(batch["photo"])
            shown = {
                "psnr_db": made,
                "render_psnr_db": batch["render"],
                "nearest_psnr_db": batch["nearest"],
            }
            if self._settings.size.input == "render_and_exemplar":
                shown["lent_psnr_db"] = batch["lent"]
            for name, picture in shown.items():
                found.setdefault(name, []).append(psnr_within(picture, photo, batch["mask"]))
        return {name: float(torch.cat(each).mean()) for name, each in found.items()}

    def show(self, networks: Networks, batch: Batch) -> BoardMedia:
        few = {name: tensor[:6] for name, tensor in batch.items()}
        made, photo = (levels(x) for x in (networks["renderer"](few["windows"]), few["photo"]))
        columns = (few["render"], few["nearest"], made * few["mask"], photo)
        sheet = shown_sheet(list(zip(*(each.cpu().numpy() for each in columns), strict=True)))
        return BoardMedia({"renderer/render, nearest in training, rendered, true": sheet})

    def export(self, networks: Networks) -> dict[str, Export]:
        return {
            "meta_talk_renderer": Export(
                "meta_talk_renderer",
                self._settings.size.model_dump(mode="json"),
                networks["renderer"].state_dict(),
            )
        }

    def facts(self) -> dict[str, Any]:
        return {}


def levels(images: Tensor) -> Tensor:
    """RGB -1..1 → 0..255 uint8."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
