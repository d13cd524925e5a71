"""What the three recipes of the StyleGAN2 talking face share: settings, batches, beginnings."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from models.face_basis.own import LANDMARKS
from models.stylegan2_face.encoders import Embedding
from models.stylegan2_face.losses import (
    contrast,
    distances,
    lag_curve,
    mean_length,
    nearer_others,
)
from models.stylegan2_face.settings import Settings, SquareSettings
from stores.artifacts.store import Store
from stores.errors import SettingsError
from tasks.source.landmarks import mirrored_points
from tasks.training.face_squares import SquareWindows
from tasks.training.recipe import Batch, Sample
from tasks.training.schedule import Schedule
from tasks.weights.networks import find_weights, load_network, network_of

WORDS = 500
CONTRAST_FRAMES, SPACING = 12, 2
"""Every second of 25 frames, as DAVS has it."""
LAGS = 5
"""Ticks to either side of which the lag curve tells."""
CRITIC_BETAS = (0.5, 0.999)
Size = TypeVar("Size", bound=SquareSettings)
Network = TypeVar("Network", bound=nn.Module)


class SquareAugmentation(Settings):
    """How the faces of a sample vary, all of them alike."""

    mirror: float = Field(0.5, ge=0, le=1, description="chance that they are seen in a mirror")
    shift_px: int = Field(
        2, ge=0, le=16, description="farthest that they are moved along an axis [px of 256]"
    )


class SquareRecipeSettings(Settings):
    """Settings of all three recipes; the defaults are the paper's, or DAVS's where it is silent."""

    augmentation: SquareAugmentation = SquareAugmentation.model_validate({})
    stride: int = Field(5, ge=1, description="ticks (1/25 s) from a sample of a clip to the next")
    judged_stride: int = Field(
        25, ge=1, description="ticks from a validation sample of a clip to the next"
    )
    learning_rate: float = Field(1e-4, gt=0, description="of Adam")
    schedule: Schedule = Schedule.model_validate({})


class SpeakingSquareSettings(SquareRecipeSettings):
    """Settings of the two recipes that hear speech."""

    frames: int = Field(
        CONTRAST_FRAMES, ge=1, description="faces of a sample, whose lips are compared with speech"
    )
    spacing: int = Field(SPACING, ge=1, description="ticks from one to the next")
    speech_classes: Literal["words", "units"] = Field(
        "words",
        description="what speech is sorted into: words, of clips named as LRW's; units, groups of "
        "moments that sound alike, which any clip has",
    )
    classes: int = Field(
        WORDS, ge=2, description="how many of them: the first words by alphabet, or units"
    )
    contrast: Literal["unit", "raw", "both"] = Field(
        "both", description="what is compared: features of unit length, as they are, or both"
    )
    sync: bool = Field(True, description="a critic tells features of speech from those of lips")

    @property
    def window(self) -> SquareWindows:
        """What a sample holds, of a side that is still to be set."""
        return SquareWindows(
            side=256, frames=self.frames, spacing=self.spacing, stride=self.stride, references=0
        )


class SquareRecipe:
    """What the recipes do alike.

    Args:
        settings: What is trained.
    """

    restarts = ()

    def __init__(self, settings: SquareRecipeSettings) -> None:
        self._common = settings
        self._rates: dict[int, float] = {}  # of parameters by id, as shares of the learning rate

    def optimizer(self, phase: str, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        betas = CRITIC_BETAS if phase.startswith("critic") else (0.9, 0.999)
        groups: dict[float, list[nn.Parameter]] = {}
        for parameter in parameters:
            groups.setdefault(self._rates.get(id(parameter), 1.0), []).append(parameter)
        rate = self._common.learning_rate
        each = [{"params": group, "lr": share * rate} for share, group in groups.items()]
        return torch.optim.Adam(each, rate, betas=betas)

    def schedule(self, step: int) -> float:
        return self._common.schedule.factor(step)

    def batch(self, sample: Sample, device: torch.device, rng: np.random.Generator | None) -> Batch:
        return square_batch(sample, self._common.augmentation, device, rng)


def square_batch(
    sample: Sample,
    change: SquareAugmentation,
    device: torch.device,
    rng: np.random.Generator | None,
) -> Batch:
    """A sample on the device, its faces RGB -1..1, mirrored and moved together.

    Args:
        sample: Of `SquareBlocks`.
        change: How they vary.
        device: Where to.
        rng: Of augmentation; None: no augmentation.
    """
    batch = {name: tensor.to(device) for name, tensor in sample.items()}
    names = [name for name in batch if name.endswith("face")]
    count, side = len(batch["row"]), batch["face"].shape[-1]
    mirrored, moved = np.zeros(count, bool), np.zeros((count, 2), np.int64)
    if rng is not None:
        reach = round(change.shift_px * side / 256)
        mirrored = rng.random(count) < change.mirror
        moved = rng.integers(-reach, reach + 1, (count, 2))
    if mirrored.any() or moved.any():
        at = np.clip(np.arange(side) + moved[..., None], 0, side - 1)
        at[mirrored, 1] = side - 1 - at[mirrored, 1]
        rows, columns = torch.from_numpy(at).to(device).unbind(1)
        for name in names:
            each = zip(batch[name], rows, columns, strict=True)
            batch[name] = torch.stack([faces[..., r, :][..., c] for faces, r, c in each])
        batch["points"] = _moved(batch["points"], mirrored, moved, side)
    return batch | {name: batch[name].float() / 127.5 - 1 for name in names}


def _moved(
    points: Tensor, mirrored: np.ndarray[Any, Any], moved: np.ndarray[Any, Any], side: int
) -> Tensor:
    turned = torch.from_numpy(mirrored).to(points.device)[:, None, None, None]
    flipped = points[:, :, mirror_of_points()] * points.new_tensor([-1, 1])
    flipped = flipped + points.new_tensor([side, 0])
    off = torch.from_numpy(moved[:, None, None, ::-1].astype(np.float32)).to(points.device)
    return torch.where(turned, flipped, points) - off


@cache
def mirror_of_points() -> list[int]:
    """For each of iBUG's 68 points its partner on the other side of the face."""
    mirror = mirrored_points()
    return [LANDMARKS.index(int(mirror[point])) for point in LANDMARKS]


def begun_with(
    network: Network, size: Size, given: str | None, kind: str, *, what: str, store: Store
) -> Network:
    """The network, with the weights that a training shall begin with.

    Args:
        network: Of that size.
        size: The part of the settings that the weights must agree with.
        given: A file of `dubflow train`; None: it stays as it is.
        kind: Of the network.
        what: Setting that gave the file.
        store: Where files are kept.

    Raises:
        SettingsError: they are of another network, or of another size, alignment or sound.
    """
    if given is None:
        return network
    weights = find_weights(given, store=store)
    if network_of(weights) != kind:
        raise SettingsError(f"{what}: {given} holds {network_of(weights)}, not {kind}")
    there = type(size).model_validate(weights.manifest.parameters["trained"])
    ours = size.model_dump(mode="json")
    unlike = [f"{n}={v}" for n, v in there.model_dump(mode="json").items() if ours[n] != v]
    if unlike:
        raise SettingsError(f"{what}: {given} has {', '.join(unlike)}; set size so")
    network.load_state_dict(load_network(weights).state_dict())
    return network


def part_of(size: SquareSettings, kind: type[Size]) -> Size:
    """The fields of a size that are those of a part's."""
    return kind.model_validate(size.model_dump(include=set(kind.model_fields)))


def contrasts(audio: Tensor, lips: Tensor, which: str) -> dict[str, Tensor]:
    """The contrasts that are asked for, by name."""
    kinds = {"unit": True, "raw": False}
    chosen = kinds if which == "both" else {which: kinds[which]}
    return {f"{name}_contrast": contrast(audio, lips, unit=unit) for name, unit in chosen.items()}


class SpokenFeatures:
    """Features of lips and of speech, gathered from a validation's batches.

    Args:
        shown: Ticks of a window whose lips are seen.
    """

    def __init__(self, shown: list[int]) -> None:
        self._shown = shown
        self._kept: dict[str, list[Tensor]] = {"audio": [], "lips": [], "rows": []}

    def add(self, embedding: Embedding, lips: Tensor, batch: Batch) -> None:
        """Those of a batch, of speech at all ticks.

        Args:
            embedding: By which speech is heard.
            lips: (window, frame, feature) of the ticks that are shown.
            batch: Of windows.
        """
        cepstra = batch["cepstra"]
        heard = rows_of(embedding.audio(cepstra.flatten(0, 1)), cepstra.shape[:2])
        for kept, value in zip(self._kept.values(), (heard, lips, batch["row"]), strict=True):
            kept.append(value.cpu())

    def figures(self) -> dict[str, float]:
        """How well speech finds its lips, and when they are nearest."""
        audio, lips, rows = (torch.cat(kept) for kept in self._kept.values())
        audio, lips = audio.float(), lips.float()
        heard = audio[:, self._shown]
        if len(set(rows.tolist())) == 1:
            rows = torch.arange(len(rows))  # of one clip alone, among its other moments
        found = retrieval_figures(heard, lips, rows)
        found["own_distance"] = distances_of_own(heard, lips)
        found["feature_length"] = float(mean_length(heard, lips))
        reach = min(LAGS, (audio.shape[1] - 1) // 4)
        curve = lag_curve(audio, lips, self._shown, reach)
        found |= {f"lag{lag:+d}": float(curve[reach + lag]) for lag in range(-reach, reach + 1)}
        return found | {"lag_ticks": float(int(curve.argmin()) - reach)}


def retrieval_figures(first: Tensor, second: Tensor, kinds: Tensor) -> dict[str, float]:
    """How well one half of a pair finds the other among those of other kinds; none if all are one.

    Args:
        first: (pair, frame, feature).
        second: Likewise.
        kinds: (pair,) by number.
    """
    nearer = nearer_others(first, second, kinds)
    if not len(nearer):
        return {}
    found = float((nearer == 0).float().mean())
    return {"nearer_others": float(nearer.mean()), "retrieval": found}


def distances_of_own(audio: Tensor, lips: Tensor) -> float:
    """Mean distance of speech and lips of the same moment, of unit length."""
    each = [distances(a[None], v[None], unit=True) for a, v in zip(audio, lips, strict=True)]
    return float(torch.stack(each).mean())


def weighed(parts: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Sum of losses by their weights."""
    return torch.stack([weights[name] * part for name, part in parts.items()]).sum()


def rows_of(tensor: Tensor, shape: Sequence[int]) -> Tensor:
    """A first axis split into these."""
    return tensor.reshape(*shape, *tensor.shape[1:])
