"""Goldens: what the published code computed, and how near we come.

A golden is `NAME.json` (for a network: state-dict keys and shapes, fill rules, tolerances) and
`NAME.npz` (`in/*`, `out/*`, constants). The folder is the repository's, or DUBFLOW_GOLDENS.
"""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models.published import build
from models.undrawn import undrawn
from tests.goldens import fill

OURS = Path(__file__).parents[1] / "data" / "goldens"
RTOL = 1e-4
worst: dict[str, float] = {}
"""Golden → largest difference seen, as a share of what is allowed."""
errors: dict[str, float] = {}
"""Golden → largest difference seen, divided by the root mean square of that output."""


def folder() -> Path:
    """Where the goldens lie."""
    return Path(os.environ.get("DUBFLOW_GOLDENS") or OURS)


@dataclass(frozen=True)
class Golden:
    """One reference computation.

    Attributes:
        name: As its files are called.
        manifest: The JSON, as is.
        arrays: All arrays by full name (`in/mel`, `out/image`, `const/...`, `basis/...`).
    """

    name: str
    manifest: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def part(self, name: str) -> dict[str, np.ndarray]:
        """Arrays under `in`, `out`, `const` or `basis`, without the prefix."""
        start = f"{name}/"
        return {k.removeprefix(start): v for k, v in self.arrays.items() if k.startswith(start)}

    @cached_property
    def inputs(self) -> dict[str, np.ndarray]:
        """Arrays that go in."""
        return self.part("in")

    @cached_property
    def outputs(self) -> dict[str, np.ndarray]:
        """Arrays that must come out; for networks possibly a sample (see `compare`)."""
        return self.part("out")

    def weights(self) -> dict[str, torch.Tensor]:
        """Filled weights by published key; without the buffers that are constants."""
        filled = fill.of_manifest(self.manifest)
        if wanted := self.manifest.get("fill_sha256"):
            digest = hashlib.sha256()
            for key, value in filled.items():
                if not key.endswith(("weight_u", "weight_v")):
                    digest.update(value)
            assert digest.hexdigest() == wanted, f"{self.name}: the fill gives other bits"
        return {key: torch.from_numpy(value) for key, value in filled.items()}

    def network(self, **changes: Any) -> nn.Module:
        """The published network with filled weights, in eval mode; keys and shapes are checked.

        Args:
            changes: Constructor arguments for `build`, where the default is another size.
        """
        with undrawn():
            network = build(self.name, **changes).eval().requires_grad_(False)
        state = network.state_dict()
        ours = [[k, list(v.shape), str(v.dtype).removeprefix("torch.")] for k, v in state.items()]
        assert ours == self.manifest["state_dict"], _first_difference(
            ours, self.manifest["state_dict"]
        )
        assert sum(p.numel() for p in network.parameters()) == self.manifest["n_parameters"]
        found = network.load_state_dict(self.weights(), strict=False)
        constants = set(self.manifest["kept_buffers"])
        constants |= {key for key in state if key.endswith("num_batches_tracked")}
        assert not found.unexpected_keys
        assert set(found.missing_keys) <= constants
        return network

    def compare(self, produced: dict[str, Any], *, all_outputs: bool = True) -> None:
        """Asserts that full arrays equal the stored outputs (or samples of them) as allowed.

        Args:
            produced: Output name → tensor or array of the full shape.
            all_outputs: Every output of the golden must be among them.
        """
        if all_outputs:
            assert set(produced) == set(self.outputs)
        for name, value in produced.items():
            about = self.manifest["outputs"][name]
            got = np.asarray(value, np.float64)
            assert list(got.shape) == list(about["shape"]), f"{self.name}/{name}: {got.shape}"
            sample = got[_slices(about["stored"])]
            sample = sample.reshape(self.outputs[name].shape) if sample.ndim == 0 else sample
            self.equal(name, sample, about["atol"], RTOL)

    def equal(self, name: str, got: Any, atol: float = 0, rtol: float = 0) -> None:
        """Asserts |got - out/name| <= atol + rtol |out/name| everywhere, and records how near."""
        want = self.outputs[name].astype(np.float64)
        got = np.asarray(got, np.float64)
        assert got.shape == want.shape, f"{self.name}/{name}: {got.shape}, not {want.shape}"
        off = np.abs(got - want)
        allowed = atol + rtol * np.abs(want)
        largest = float(off.max(initial=0))
        used = float(np.max(off / np.maximum(allowed, 1e-30), initial=0)) if largest else 0.0
        scale = float(np.sqrt(np.mean(want**2))) if want.size else 1.0
        worst[self.name] = max(used, worst.get(self.name, 0.0))
        errors[self.name] = max(largest / (scale or 1.0), errors.get(self.name, 0.0))
        bad = ~(off <= allowed)
        assert not bad.any(), (
            f"{self.name}/{name}: {bad.sum()} of {off.size} off, largest difference {largest:.3g}, "
            f"{used:.3g} times what is allowed"
        )


def load(name: str) -> Golden:
    """The golden of that name; skips the test where the folder has none."""
    manifest = folder() / f"{name}.json"
    if not manifest.exists():
        pytest.skip(f"no golden {name} in {folder()}")
    arrays: dict[str, np.ndarray] = {}
    if manifest.with_suffix(".npz").exists():
        with np.load(manifest.with_suffix(".npz")) as stored:
            arrays = dict(stored)
    return Golden(name, json.loads(manifest.read_text()), arrays)


def tensor(array: np.ndarray) -> torch.Tensor:
    """As a tensor; 8-bit samples become float32 in 0..255."""
    found = torch.from_numpy(array)
    return found.float() if found.dtype == torch.uint8 else found


def _slices(text: str) -> tuple[Any, ...]:
    """'[:, ::4]' → slices; 'full' → everything."""
    if text == "full":
        return (Ellipsis,)
    axes = re.sub(r"[\[\]\s]", "", text).split(",")
    return tuple(slice(*(int(n) if n else None for n in axis.split(":"))) for axis in axes)


def _first_difference(ours: list[Any], theirs: list[Any]) -> str:
    for place, (a, b) in enumerate(zip(ours, theirs, strict=False)):
        if a != b:
            return f"entry {place}: ours {a}, published {b}"
    return f"{len(ours)} entries, published {len(theirs)}"
