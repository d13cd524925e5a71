"""A training that takes milliseconds: two small networks, one after the other, on drawn numbers."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tasks.training.recipe import Batch, BoardMedia, Data, Export, Networks, Sample

SAMPLES = 64
BATCHES_OF_EPOCH = 5


class ToyLoader:
    """Numbers that follow from the place in the epoch; a rank takes its share of each batch."""

    def __init__(self, batch: int, rank: int, world: int) -> None:
        self._batch, self._rank, self._world = batch, rank, world
        self._epoch = self._given = 0

    def __iter__(self) -> Iterator[Sample]:
        while self._given < BATCHES_OF_EPOCH:
            number = self._epoch * BATCHES_OF_EPOCH + self._given
            # All parts of a step together are the same numbers, however they are shared.
            total = self._batch * self._world
            drawn = [
                self._row(number * total + self._rank * self._batch + i) for i in range(self._batch)
            ]
            self._given += 1
            if self._given == BATCHES_OF_EPOCH:
                self._epoch, self._given = self._epoch + 1, 0
                yield _sample(drawn)
                return
            yield _sample(drawn)

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self._epoch, "given": self._given}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._epoch, self._given = state["epoch"], state["given"]

    @staticmethod
    def _row(number: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        return np.random.default_rng(number).standard_normal(4).astype(np.float32)


def _sample(rows: list[Any]) -> Sample:
    x = torch.from_numpy(np.stack(rows))
    return {"x": x, "y": x.sum(1, keepdim=True)}


class Toy:
    """The recipe: `first` learns a sum; `second` learns what is left of it, by what is carried."""

    name = "toy"
    phases = ("first", "second")
    judged_by = "error"
    lower_is_better = True

    def __init__(
        self,
        *,
        dropout: float = 0.0,
        noise: float = 0.0,
        rate: float = 1e-2,
        restarts: tuple[int, ...] = (),
    ) -> None:
        self.restarts = restarts
        self._dropout, self._noise, self._rate = dropout, noise, rate
        self.errors: list[float] | None = None

    def networks(self) -> dict[str, nn.Module]:
        return {
            "first": nn.Sequential(
                nn.Linear(4, 8), nn.Dropout(self._dropout), nn.ReLU(), nn.Linear(8, 1)
            ),
            "second": nn.Linear(1, 1),
        }

    def frozen(self) -> dict[str, nn.Module]:
        return {"judge": nn.Identity()}

    def optimizer(self, phase: str, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        if phase == "second":
            return torch.optim.SGD(parameters, self._rate)
        return torch.optim.Adam(parameters, self._rate)

    def schedule(self, step: int) -> float:
        return 1 / (1 + step / 100)

    def batch(self, sample: Sample, device: torch.device, rng: np.random.Generator | None) -> Batch:
        x = sample["x"].to(device)
        if rng is not None:
            x = x + self._noise * torch.from_numpy(rng.standard_normal(x.shape, np.float32)).to(
                device
            )
        return {"x": x, "y": sample["y"].to(device)}

    def loss(
        self, phase: str, networks: Networks, batch: Batch, step: int, carried: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if phase == "first":
            found = networks["first"](batch["x"])
            carried["found"] = found.detach()
            assert not any(p.requires_grad for p in networks["second"].parameters())
            loss = (networks["judge"](found) - batch["y"]).square().mean()
            return loss, {"square": loss}
        left = batch["y"] - carried["found"]
        return (networks["second"](carried["found"]) - left).square().mean(), {}

    def figures(self, networks: Networks, batches: Iterator[Batch]) -> dict[str, float]:
        if self.errors is not None:
            return {"error": self.errors.pop(0)}
        assert not any(network.training for network in networks.values())
        errors = [float((networks["first"](b["x"]) - b["y"]).abs().mean()) for b in batches]
        return {"error": float(np.mean(errors))}

    def show(self, networks: Networks, batch: Batch) -> BoardMedia:
        tone = np.sin(np.arange(800) / 5).astype(np.float32)
        return BoardMedia({"picture": np.zeros((3, 8, 8), np.uint8)}, {"tone": (tone, 16000)})

    def export(self, networks: Networks) -> dict[str, Export]:
        return {"toy": Export("toy", {"inputs": 4}, networks["first"].state_dict())}

    def facts(self) -> dict[str, Any]:
        return {"sort": "toy"}


def toy_data(part: int) -> Data:
    """Numbers for training in parts of so many samples, and one batch to judge by."""

    def validation() -> Iterable[Sample]:
        return [_sample([ToyLoader._row(10**6 + i) for i in range(16)])]

    return Data(
        lambda rank, world: ToyLoader(part, rank, world), validation, {"persons": 1}, "toy numbers"
    )
