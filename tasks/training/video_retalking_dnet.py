"""The recipe `video_retalking.dnet`: one face of a clip, driven to be another one of it.

VideoReTalking says what is learned (its appendix), and PIRender, whose network D-Net is, how (Ren
et al., ICCV 2021; public repository RenYurui/PIRender).
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from models.blocks.begin import begin
from models.ip_lap.perceptual import PerceptualLoss
from models.video_retalking.dnet import DNet
from models.video_retalking.settings import DNetSize, Driver
from models.video_retalking.steps import EXPRESSION
from models.wav2lip.training import pixels_in
from stores.artifacts.store import Store
from tasks.training.figures import Means, mean_psnr
from tasks.training.meta_talk_renderer import levels
from tasks.training.perceptual import compared_colours, find_perceptual_network
from tasks.training.recipe import Batch, BoardMedia, Export, Networks, Sample, shown_sheet
from tasks.training.schedule import Schedule
from tasks.training.speaking import begin_with

_BETAS = (0.5, 0.999)
_SCALES = 4
"""Sizes at which pictures are compared, each half the one before."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DNetWeights(_Settings):
    """How much each loss counts, as PIRender has it."""

    warping: float = Field(2.5, ge=0, description="features of the warped face")
    final: float = Field(
        4.0, ge=0, description="features of the final face, and their Gram matrices"
    )
    mouth: float = Field(
        1.0,
        ge=1,
        description="times that the mouth's box counts in features; published: 1. It is a few "
        "hundredths of the picture, and where it counts no more, heads are long followed, and lips "
        "are not",
    )


class DNetSettings(_Settings):
    """What is trained; the defaults are the paper's."""

    size: DNetSize = DNetSize()
    coefficients: Driver = Field(
        "network",
        description="what drives it, then also in dubbing: network, Deep3D's as published; mesh, "
        "the fit of the project's own basis, which needs no weights",
    )
    losses: DNetWeights = DNetWeights.model_validate({})
    stride: int = Field(5, ge=1, description="frames from a sample of a clip to the next")
    judged_stride: int = Field(
        25, ge=1, description="frames from a validation sample of a clip to the next"
    )
    other_expressions: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of faces driven by another expression than the one that is shown, half "
        "of them by the neutral one, and compared above the mouth alone; published: 0. Of few "
        "clips a network reads off the expression where the head is, and frozen faces lose their "
        "pose",
    )
    warping_steps: int = Field(
        200_000,
        ge=0,
        description="steps in which only the flow is learned; then optimizers begin anew, and all "
        "is learned",
    )
    learning_rate: float = Field(1e-4, gt=0, description="of Adam")
    normal_start: bool = Field(
        True, description="begin with weights of N(0, 0.02), as published, and not as torch does"
    )
    schedule: Schedule = Schedule.model_validate(
        {"fall_steps": 300_000, "end": 0.2, "at_once": True}
    )
    start: str | None = Field(
        None,
        description="weights to begin with: a name, or a file of `dubflow train`; none: random",
    )


class DNetRecipe:
    """Training of D-Net.

    Args:
        settings: What is trained.
        store: Holds the weights to begin with, and those of VGG19, if the user has added them.
    """

    name = "video_retalking.dnet"
    phases = ("dnet",)
    judged_by = "loss"
    lower_is_better = True

    def __init__(self, settings: DNetSettings, store: str) -> None:
        self._settings, self._store = settings, Store(store)
        self._perceptual = find_perceptual_network(self._store)
        self.restarts = (settings.warping_steps,)

    def networks(self) -> dict[str, nn.Module]:
        network: nn.Module = DNet(self._settings.size)
        network = begin(network) if self._settings.normal_start else network
        return {"dnet": begin_with(network, self._settings.start, "vrt_dnet", self._store)}

    def frozen(self) -> dict[str, nn.Module]:
        return {"perceptual": PerceptualLoss(self._perceptual.backbone, _SCALES)}

    def optimizer(self, phase: str, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, self._settings.learning_rate, betas=_BETAS)

    def schedule(self, step: int) -> float:
        return self._settings.schedule.factor(step)

    def batch(self, sample: Sample, device: torch.device, rng: np.random.Generator | None) -> Batch:
        faces, others = (
            sample[name].to(device).float() / 127.5 - 1 for name in ("face", "other_face")
        )
        windows = [sample[name].to(device) for name in ("other_window", "window")]
        # Both directions: each face of a pair becomes the other.
        found = {
            "source": torch.cat([faces, others]),
            "window": torch.cat(windows),
            "target": torch.cat([others, faces]),
            "mouth": torch.cat([sample[n].to(device) for n in ("other_mouth", "mouth")]),
        }
        if rng is not None and self._settings.other_expressions:
            drawn = torch.from_numpy(rng.random(len(found["source"])).astype(np.float32))
            drawn = drawn.to(device) / self._settings.other_expressions
            found["window"] = _other_expressions(found["window"], drawn)
            found["above_mouth"] = drawn < 1
        return found

    def loss(
        self, phase: str, networks: Networks, batch: Batch, step: int, carried: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        warming_up = step < self._settings.warping_steps
        made = networks["dnet"](batch["source"], batch["window"], "warp" if warming_up else None)
        total, parts = self._compared(networks, made, batch)
        if warming_up:
            # Every parameter takes part in each step, as processes that train together need.
            learned = (p.sum() for p in networks["dnet"].parameters() if p.requires_grad)
            total = total + 0 * torch.stack(list(learned)).sum()
        return total, parts

    def figures(self, networks: Networks, batches: Iterator[Batch]) -> dict[str, float]:
        found = Means()
        for batch in batches:
            source, target, window = (batch[name] for name in ("source", "target", "window"))
            made = networks["dnet"](source, window)
            total, parts = self._compared(networks, made, batch)
            # The faces' own windows are those of the other direction.
            own = networks["dnet"](source, window.roll(len(window) // 2, 0))["fake_image"]
            pairs = {
                "psnr_db": (made["fake_image"], target),
                "warped_psnr_db": (made["warp_image"], target),
                "source_psnr_db": (source, target),
                "own_psnr_db": (own, source),
            }
            told = {name: mean_psnr(*(_shares(x) for x in two)) for name, two in pairs.items()}
            for name, value in {"loss": total, **parts, **told}.items():
                found.add(name, value, len(source))
        return found.found()

    def show(self, networks: Networks, batch: Batch) -> BoardMedia:
        few = {name: tensor[:6] for name, tensor in batch.items()}
        made = networks["dnet"](few["source"], few["window"])
        columns = (few["source"], made["warp_image"], made["fake_image"], few["target"])
        sheet = shown_sheet(list(zip(*(levels(c).cpu().numpy() for c in columns), strict=True)))
        return BoardMedia({"dnet/source, warped, final, true": sheet})

    def export(self, networks: Networks) -> dict[str, Export]:
        size = self._settings.size.model_dump(mode="json")
        return {"vrt_dnet": Export("vrt_dnet", size, networks["dnet"].state_dict())}

    def facts(self) -> dict[str, Any]:
        return {"perceptual_backbone": self._perceptual.name}

    def _compared(
        self, networks: Networks, made: dict[str, Tensor], batch: Batch
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss and its parts, in float32, for Gram matrices are sums over a picture."""
        judge, weights, target = networks["perceptual"], self._settings.losses, batch["target"]
        assert isinstance(judge, PerceptualLoss)
        weight = self._weight(batch)
        alike = ~batch["above_mouth"] if "above_mouth" in batch else None
        with torch.autocast(target.device.type, enabled=False):
            with torch.no_grad():
                wanted = judge.features(compared_colours(target))
            warped = judge.features(compared_colours(made["warp_image"]))
            parts = {"warping": judge(warped, wanted, weight=weight)}
            total = weights.warping * parts["warping"]
            if "fake_image" in made:
                parts["final"] = judge(
                    judge.features(compared_colours(made["fake_image"])),
                    wanted,
                    style_weight=judge.model.style_weight,
                    weight=weight,
                    styled=alike,
                )
                total = total + weights.final * parts["final"]
        return total, parts

    def _weight(self, batch: Batch) -> Tensor | None:
        """(batch, 1, side, side) how much each pixel counts; None: all the same."""
        side, times = batch["target"].shape[-1], self._settings.losses.mouth
        if times == 1 and "above_mouth" not in batch:
            return None
        weight = 1 + (times - 1) * pixels_in(batch["mouth"][:, None], side=side)[:, 0]
        if "above_mouth" in batch:
            above = torch.zeros_like(batch["mouth"])  # from the left edge to the right one
            above[:, 2], above[:, 3] = 1, batch["mouth"][:, 1]
            seen = pixels_in(above[:, None], side=side)[:, 0]
            weight = torch.where(batch["above_mouth"][:, None, None, None], seen, weight)
        return weight


def _other_expressions(windows: Tensor, drawn: Tensor) -> Tensor:
    """Windows (batch, 73, frame) of which some have another expression.

    Args:
        windows: Of targets: of the first faces of pairs, then of the second ones.
        drawn: (batch,) below 0.5 the neutral expression is taken, below 1 that of the other face
            of the pair, else its own.
    """
    count = EXPRESSION.stop - EXPRESSION.start
    own, draw = windows[:, :count], drawn[:, None, None]
    other = torch.where(draw < 0.5, torch.zeros_like(own), own.roll(len(own) // 2, 0))
    return torch.cat([torch.where(draw < 1, other, own), windows[:, count:]], 1)


def _shares(images: Tensor) -> Tensor:
    """-1..1 → 0..1."""
    return (images.float() + 1) / 2
