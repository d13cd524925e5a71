"""The recipe `exemplar.polish`: mouths made of other moments, to be as they really were."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from models.exemplar.polish import MOUTH_SIDE, REFERENCES, differences, network_inputs
from models.exemplar.polish_network import Polish, correction
from models.exemplar.settings import PolishSize
from models.ip_lap.perceptual import PerceptualLoss
from stores.artifacts.store import Store
from tasks.training.figures import Means
from tasks.training.perceptual import PerceptualNetwork, find_perceptual_network
from tasks.training.recipe import Batch, BoardMedia, Export, Networks, Sample, shown_sheet
from tasks.training.schedule import Schedule

_GROWN = 0.5
"""Of the lips' box on every side, in shares of it: where the mouth counts, and is judged."""
_GAINS = (0.8, 1.2)
"""Of each colour, at random."""
_AREA = 5
"""Side of the squares whose contrast is compared [px]."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PolishWeights(_Settings):
    """How much each loss counts."""

    mouth: float = Field(4.0, ge=1, description="times that the lips' box counts in all losses")
    temporal: float = Field(
        0.5, ge=0, description="change from frame to frame, in small areas, against the true one"
    )
    contrast: float = Field(
        2.0, ge=0, description="contrast of small areas against that of the true mouth's"
    )
    perceptual: float = Field(0.004, ge=0, description="features of a frozen network")


class PolishSettings(_Settings):
    """What is trained."""

    size: PolishSize = PolishSize()
    losses: PolishWeights = PolishWeights.model_validate({})
    apart_s: float = Field(
        1.0, ge=0, description="mouths are borrowed from so far away in time, at least [s]"
    )
    predicted: bool = Field(
        True,
        description="learn from mouths whose lips speech asked for, too: where these are wrong, "
        "only a mean of all mouths is right",
    )
    stride: int = Field(2, ge=1, description="frames from a window of a clip to the next")
    judged_stride: int = Field(
        12, ge=1, description="frames from a validation window of a clip to the next"
    )
    mirror: float = Field(0.5, ge=0, le=1, description="share of the windows that are mirrored")
    learning_rate: float = Field(1e-3, gt=0, description="of Adam")
    schedule: Schedule = Schedule.model_validate({"rise_steps": 500, "fall_steps": 60_000})


class PolishRecipe:
    """Training of the polishing network.

    Args:
        settings: What is trained.
        store: Holds the weights of VGG19, if the user has added them.
    """

    name = "exemplar.polish"
    phases = ("polish",)
    restarts = ()
    judged_by = "loss"
    lower_is_better = True

    def __init__(self, settings: PolishSettings, store: str) -> None:
        self._settings = settings
        self._perceptual: PerceptualNetwork | None = None
        if settings.losses.perceptual:
            self._perceptual = find_perceptual_network(Store(store))

    def networks(self) -> dict[str, nn.Module]:
        return {"polish": Polish(self._settings.size)}

    def frozen(self) -> dict[str, nn.Module]:
        if self._perceptual is None:
            return {}
        return {"perceptual": PerceptualLoss(self._perceptual.backbone, 1)}

    def optimizer(self, phase: str, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, self._settings.learning_rate)

    def schedule(self, step: int) -> float:
        return self._settings.schedule.factor(step)

    def batch(self, sample: Sample, device: torch.device, rng: np.random.Generator | None) -> Batch:
        arrays = {name: value.numpy() for name, value in sample.items()}
        weight = mouth_weight(arrays["box"], more=self._settings.losses.mouth)
        windows = []
        for number in range(len(weight)):
            window = {n: arrays[n][number] for n in arrays} | {"weight": weight[number]}
            if rng is not None:
                window = _changed(window, rng, mirror=self._settings.mirror)
            windows.append(_seen(window))
        names = windows[0]
        stacked = {n: torch.from_numpy(np.stack([w[n] for w in windows])).to(device) for n in names}
        # Windows, then their frames, one after the other.
        flat = {name: value.flatten(0, 1) for name, value in stacked.items()}
        return flat | {"predicted": sample["predicted"].to(device)}

    def loss(
        self, phase: str, networks: Networks, batch: Batch, step: int, carried: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return self._compared(networks, made_of(networks, batch), batch)

    def figures(self, networks: Networks, batches: Iterator[Batch]) -> dict[str, float]:
        found = Means()
        for batch in batches:
            made, count = made_of(networks, batch), len(batch["predicted"])
            total, parts = self._compared(networks, made, batch)
            for name, value in {"loss": total, **parts}.items():
                found.add(name, value, count)
            mean = batch["blended"] + batch["more"].sum(1) / (1 + REFERENCES) * batch["mask"]
            shown = {"": made, "rendered_": batch["blended"], "mean_": mean}
            for kind, chosen in (("true", ~batch["predicted"]), ("predicted", batch["predicted"])):
                rows = chosen.repeat_interleave(2)
                if not chosen.any():
                    continue
                for name, picture in shown.items():
                    figures = judged(picture[rows], batch["own"][rows], batch["judged"][rows])
                    for figure, value in figures.items():
                        found.add(f"{kind}_{name}{figure}", value, int(chosen.sum()))
        return found.found()

    def show(self, networks: Networks, batch: Batch) -> BoardMedia:
        few = {name: value[:12:2] for name, value in batch.items() if name != "predicted"}
        columns = (few["blended"], made_of(networks, few), few["own"])
        levels = [(c.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy() for c in columns]
        sheet = shown_sheet(list(zip(*levels, strict=True)))
        return BoardMedia({"polish/rendered, polished, true": sheet})

    def export(self, networks: Networks) -> dict[str, Export]:
        size = self._settings.size.model_dump(mode="json")
        state = networks["polish"].state_dict()
        return {"exemplar_polish": Export("exemplar_polish", size, state)}

    def facts(self) -> dict[str, Any]:
        name = None if self._perceptual is None else self._perceptual.name
        return {"perceptual_backbone": name}

    def _compared(
        self, networks: Networks, made: Tensor, batch: Batch
    ) -> tuple[Tensor, dict[str, Tensor]]:
        weights, own, weight = self._settings.losses, batch["own"], batch["weight"]
        moved = [picture[1::2] - picture[::2] for picture in (made, own)]
        parts = {
            "l1": _weighted((made - own).abs(), weight),
            "temporal": _weighted((strength(moved[0]) - strength(moved[1])).abs(), weight[1::2]),
            "contrast": _weighted((contrast(made) - contrast(own)).abs(), weight),
        }
        total = parts["l1"] + weights.temporal * parts["temporal"]
        total = total + weights.contrast * parts["contrast"]
        if weights.perceptual:
            judge = networks["perceptual"]
            assert isinstance(judge, PerceptualLoss)
            with torch.autocast(made.device.type, enabled=False):
                with torch.no_grad():
                    wanted = judge.features(own.flip(1))
                found = judge.features(made.flip(1))
                parts["perceptual"] = judge(found, wanted, weight=weight)
            total = total + weights.perceptual * parts["perceptual"]
        return total, parts


def made_of(networks: Networks, batch: Batch) -> Tensor:
    """Polished mouths in their frames (sample, 3, 64, 64), 0..1."""
    output = networks["polish"](batch["inputs"]).float()
    return batch["blended"] + correction(output, batch["more"], batch["mask"])


def contrast(pictures: Tensor) -> Tensor:
    """How much brightness varies around each pixel (sample, 1, height, width), root mean square.

    Where a mouth is a pixel aside, this hardly differs; where it is blurred, it falls.
    """
    light = (pictures * pictures.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, True)
    return strength(light - _around(light))


def strength(values: Tensor) -> Tensor:
    """Root mean square of all channels around each pixel (sample, 1, height, width)."""
    return (_around(values.square().mean(1, True)) + 1e-6).sqrt()


def _around(maps: Tensor) -> Tensor:
    reach = _AREA // 2
    padded = functional.pad(maps, (reach,) * 4, mode="replicate")
    return functional.avg_pool2d(padded, _AREA, stride=1)


def judged(made: Tensor, own: Tensor, judged: Tensor) -> dict[str, Tensor]:
    """Of pairs of consecutive mouths (2 x sample, 3, 64, 64), where `judged` is 1.

    Returns:
        `psnr_db` of each frame, in the mean; `flicker`, the mean change from frame to frame, and
        `contrast`, both over those of the true mouths.
    """
    made = (made.clamp(0, 1) * 255).round() / 255

    def mean(values: Tensor, where: Tensor) -> Tensor:
        return (values.mean(1, True) * where).flatten(1).sum(1) / where.flatten(1).sum(1)

    squared = mean((made - own).square(), judged).clamp(min=1e-10)
    changes = [mean((x[1::2] - x[::2]).abs(), judged[1::2]) for x in (made, own)]
    contrasts = [mean(contrast(x), judged) for x in (made, own)]
    return {
        "psnr_db": -10 * squared.log10().mean(),
        "flicker": changes[0].mean() / changes[1].mean().clamp(min=1e-6),
        "contrast": contrasts[0].mean() / contrasts[1].mean(),
    }


def mouth_weight(box: NDArray[np.float32], *, more: float) -> NDArray[np.float32]:
    """How much each pixel counts (..., 1, 64, 64): `more` around the lips, elsewhere 1.

    Args:
        box: (..., 4) x0, y0, x1, y1 of the lips [px].
        more: Times that the lips count.
    """
    low, high = box[..., :2], box[..., 2:]
    grown = _GROWN * (high - low)
    at = np.arange(MOUTH_SIDE, dtype=np.float32) + np.float32(0.5)
    inside = [
        (at >= (low - grown)[..., axis, None]) & (at <= (high + grown)[..., axis, None])
        for axis in (0, 1)
    ]
    both = inside[1][..., :, None] & inside[0][..., None, :]
    return np.asarray(1 + (more - 1) * both, np.float32)[..., None, :, :]


def _changed(window: dict[str, Any], rng: np.random.Generator, *, mirror: float) -> dict[str, Any]:
    """Other colours, and the other way round."""
    gain = rng.uniform(*_GAINS, 3).astype(np.float32)
    found = dict(window)
    for name in ("patch", "blended", "own", "reference"):
        found[name] = np.rint(np.minimum(window[name] * gain, 255)).astype(np.uint8)
    if rng.random() < mirror:
        for name in ("patch", "blended", "own", "reference"):
            found[name] = found[name][..., ::-1, :]
        for name in ("lips", "mask", "weight"):
            found[name] = found[name][..., ::-1]
    return found


def _seen(window: dict[str, Any]) -> dict[str, NDArray[np.float32]]:
    """What the network takes and is compared with, of the two frames in a window's middle."""
    patch, mask = window["patch"], window["mask"]
    more = [differences(patch[n + 1], window["reference"][n], mask[n]) for n in (0, 1)]
    inputs = [
        network_inputs(patch[n + 1], patch[n], patch[n + 2], more[n], window["lips"][n], mask[n])
        for n in (0, 1)
    ]
    shares = {n: window[n].transpose(0, 3, 1, 2) / np.float32(255) for n in ("blended", "own")}
    share = mask[:, None] / np.float32(255)
    return {
        "inputs": np.stack(inputs),
        "more": np.stack(more),
        "mask": share,
        "weight": np.ascontiguousarray(window["weight"] * share),
        "judged": np.asarray(window["weight"] == window["weight"].max(), np.float32),
        **{name: np.ascontiguousarray(value, np.float32) for name, value in shares.items()},
    }


def _weighted(values: Tensor, weight: Tensor) -> Tensor:
    return (values.mean(1, True) * weight).sum() / weight.sum()
