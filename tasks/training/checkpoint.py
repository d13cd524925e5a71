"""Checkpoints of a training: folders that are whole or not there, and hold no pickle.

    checkpoints/step-0012000/
        networks.safetensors     "phase/parameter", float32
        averages.safetensors     the same of the moving averages, if there are any
        optimizers.safetensors   "phase/parameter number/name"
        state.json               step, position in the data, best figure, and the rest

Written beside under another name, fsynced, renamed: a reader finds the old ones or the new one.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from stores.backends.backend import explain_full_disk
from stores.whole_files import to_disk
from tasks.training.recipe import Networks

Optimizers = Mapping[str, torch.optim.Optimizer]
"""By phase."""

_PREFIX = "step-"
_PART = ".part"


@dataclass
class State:
    """What of a training is neither in the networks nor in the optimizers; JSON.

    Attributes:
        step: Steps done.
        data: Position of the loader.
        scaler: State of the gradient scaler, for float16.
        best: Best judged figure so far.
        best_step: The step that it was found at.
        waited: Validations since.
        seconds: Wall time of training, over all its parts.
        validations: Figures by step.
    """

    step: int = 0
    data: dict[str, Any] = field(default_factory=dict)
    scaler: dict[str, Any] = field(default_factory=dict)
    best: float | None = None
    best_step: int | None = None
    waited: int = 0
    seconds: float = 0.0
    validations: list[dict[str, float]] = field(default_factory=list)


class Checkpoints:
    """The checkpoints in a folder.

    Args:
        folder: Made if there is none.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def steps(self) -> list[int]:
        """Of all checkpoints, in order."""
        found = self._folder.glob(f"{_PREFIX}*[0-9]") if self._folder.is_dir() else []
        return sorted(int(path.name.removeprefix(_PREFIX)) for path in found)

    def path(self, step: int) -> Path:
        """Folder of a checkpoint."""
        return self._folder / f"{_PREFIX}{step:07d}"

    def save(
        self, state: State, networks: Networks, averages: Networks, optimizers: Optimizers
    ) -> None:
        """Write one, at once; does nothing if that step is there."""
        final = self.path(state.step)
        if final.exists():
            return
        part = final.with_name(f".{final.name}{_PART}")
        shutil.rmtree(part, ignore_errors=True)
        tensors, numbers = pack_optimizers(optimizers)
        with explain_full_disk(f"the folder {self._folder}"):
            part.mkdir(parents=True)
            save_file(pack_networks(networks), part / "networks.safetensors")
            if averages:
                save_file(pack_networks(averages), part / "averages.safetensors")
            save_file(tensors, part / "optimizers.safetensors")
            told = {"state": asdict(state), "optimizers": numbers}
            (part / "state.json").write_text(json.dumps(told, indent=1))
            to_disk(*part.iterdir(), part)
            part.rename(final)
            to_disk(self._folder)

    def load(
        self, step: int, networks: Networks, averages: Networks, optimizers: Optimizers
    ) -> State:
        """Put one into networks, averages and optimizers; gives the rest."""
        folder = self.path(step)
        told = json.loads((folder / "state.json").read_text())
        unpack_networks(load_file(folder / "networks.safetensors"), networks)
        if averages:
            unpack_networks(load_file(folder / "averages.safetensors"), averages)
        tensors = load_file(folder / "optimizers.safetensors")
        unpack_optimizers(tensors, told["optimizers"], optimizers)
        return State(**told["state"])

    def read_state(self, step: int) -> State:
        """What a checkpoint holds beside tensors."""
        return State(**json.loads((self.path(step) / "state.json").read_text())["state"])

    def load_judged(self, step: int, networks: Networks) -> None:
        """Put the weights that were judged into networks: the averages, if there are any."""
        averages = self.path(step) / "averages.safetensors"
        found = averages if averages.exists() else self.path(step) / "networks.safetensors"
        unpack_networks(load_file(found), networks)

    def prune(self, *, keep: int, best: int | None) -> None:
        """Remove all but the last few and the best, and what was left half written."""
        for path in self._folder.glob(f".{_PREFIX}*{_PART}"):
            shutil.rmtree(path)
        for step in self.steps()[:-keep]:
            if step != best:
                # Renamed first: a checkpoint that is half removed must not look like one.
                gone = self.path(step).rename(self._folder / f".{_PREFIX}{step:07d}{_PART}")
                shutil.rmtree(gone)

    def clear(self) -> None:
        """Remove all."""
        shutil.rmtree(self._folder, ignore_errors=True)


def pack_networks(networks: Networks) -> dict[str, Tensor]:
    """State of several networks as "phase/parameter", in memory of its own."""
    return {
        f"{phase}/{name}": tensor.detach().contiguous().cpu()
        for phase, network in networks.items()
        for name, tensor in network.state_dict().items()
    }


def unpack_networks(tensors: Mapping[str, Tensor], networks: Networks) -> None:
    """The other way."""
    for phase, network in networks.items():
        start = f"{phase}/"
        network.load_state_dict(
            {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
        )


def pack_optimizers(
    optimizers: Optimizers,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by "phase/parameter number/name", and everything else as JSON by phase."""
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, Any] = {}
    for phase, optimizer in optimizers.items():
        state = optimizer.state_dict()
        rest: dict[str, dict[str, Any]] = {}
        for number, values in state["state"].items():
            for name, value in values.items():
                if isinstance(value, Tensor):
                    tensors[f"{phase}/{number}/{name}"] = value.detach().contiguous().cpu()
                else:
                    rest.setdefault(str(number), {})[name] = value
        numbers[phase] = {"groups": state["param_groups"], "state": rest}
    return tensors, numbers


def unpack_optimizers(
    tensors: Mapping[str, Tensor],
    numbers: Mapping[str, Any],
    optimizers: Optimizers,
) -> None:
    """The other way."""
    for phase, optimizer in optimizers.items():
        told = numbers[phase]
        state: dict[int, dict[str, Any]] = {int(n): dict(v) for n, v in told["state"].items()}
        for key, tensor in tensors.items():
            owner, number, name = key.split("/")
            if owner == phase:
                state.setdefault(int(number), {})[name] = tensor
        optimizer.load_state_dict({"state": state, "param_groups": told["groups"]})
