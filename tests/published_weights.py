"""Checkpoint files in their published nesting, with the goldens' weights for learnt ones."""

import json
import warnings
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file

from models.published import build, build_trained
from stores.artifacts.store import Store
from stores.weights.registry import read_registry
from tasks.weights.intake import add_weights
from tests.goldens import fill
from tests.goldens.golden import OURS


def filled_state(network: str) -> dict[str, torch.Tensor]:
    """The weights of a golden network by their published keys, in the size that `build` makes."""
    manifest = json.loads((OURS / f"{network}.json").read_text())
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a network loads by itself does not reach "meta"
        built = build(network).state_dict()
    for entry in manifest["state_dict"]:
        if entry[0] in built:
            entry[1] = built[entry[0]].shape
    return {key: torch.from_numpy(value) for key, value in fill.of_manifest(manifest).items()}


def write_registry(path: Path, *names: str) -> Path:
    """The shipped entries of those names, without what holds of the real files alone."""
    entries: dict[str, Any] = {}
    for name in names:
        entry = read_registry()[name].model_dump(mode="json", exclude_defaults=True)
        for field in ("size", "sha256", "sha256_prefix", "address", "instead_of"):
            entry.pop(field, None)
        entries[name] = entry
    path.write_text(yaml.safe_dump({"weights": entries}))
    return path


def write_filled(name: str, folder: Path) -> Path:
    """Write the entry's file, nested and prefixed as published."""
    entry = read_registry()[name]
    weights: Any = filled_state(entry.network)
    for prefix in entry.nesting.drop:
        weights = {f"{prefix}.{key}": value for key, value in weights.items()}
    nesting = entry.nesting.under[0]
    path = folder / Path(entry.file).name
    torch.save(weights if nesting == "." else {nesting: weights, "global_step": 1}, path)
    return path


def add_filled(store: Store, name: str, folder: Path) -> None:
    """Add the entry to the store, from a file as published."""
    path = write_filled(name, folder)
    add_weights(store, name, path)
    path.unlink()


def trained_file(path: Path, network: str, size: dict[str, Any]) -> str:
    """Write a file as `dubflow train` does: random weights of a fixed seed, in that size."""
    torch.manual_seed(1)
    metadata = {"network": network, "config": json.dumps(size)}
    save_file(build_trained(network, size).state_dict(), path, metadata=metadata)
    return str(path)
