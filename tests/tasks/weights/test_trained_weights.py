"""Weights of one's own training: found by content, checked, and loaded at their own size."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from models.ip_lap.settings import LandmarkSize
from models.published import build_trained
from stores.artifacts.store import Store
from stores.errors import WeightsError
from tasks.weights.networks import find_weights, licence_notes, licences, load_network, network_of

CONFIG = LandmarkSize(width=64, layers=1, feedforward=64).model_dump()
NETWORK = "ip_lap_landmark_generator"


def write(path: Path, state: dict[str, Tensor], **changes: str) -> Path:
    metadata = {
        "network": NETWORK,
        "config": json.dumps(CONFIG),
        "licence": "CC BY-NC 4.0",
        "commercial": "false",
    }
    save_file(state, path, metadata=metadata | changes)
    return path


@pytest.fixture
def state() -> dict[str, Tensor]:
    network = build_trained(NETWORK, CONFIG)
    return {
        key: t.half() if t.is_floating_point() else t for key, t in network.state_dict().items()
    }


def test_a_trained_file_loads_at_its_own_size(
    store: Store, tmp_path: Path, state: dict[str, Tensor]
) -> None:
    path = write(tmp_path / "mine.safetensors", state)
    weights = find_weights(str(path), store=store)
    moved = Path(shutil.copy(path, tmp_path / "other_name.safetensors"))
    assert find_weights(str(moved), store=store).key == weights.key
    assert network_of(weights) == NETWORK
    loaded = load_network(weights).state_dict()
    assert all(torch.equal(loaded[key], state[key].to(loaded[key].dtype)) for key in state)
    (note,) = licence_notes(licences([weights]))
    assert note == f"made with non-commercial weights: {NETWORK} of own training (CC BY-NC 4.0)"


def test_other_files_are_refused_in_one_line(
    store: Store, tmp_path: Path, state: dict[str, Tensor]
) -> None:
    path = tmp_path / "mine.safetensors"
    wrong = {
        "there is no file": lambda: path.unlink(missing_ok=True),
        "no whole safetensors file": lambda: path.write_bytes(b"x" * 100),
        "does not say which network": lambda: save_file(state, path),
        "no network 's3fd' is trained": lambda: write(path, state, network="s3fd"),
        "metadata that are not": lambda: write(path, state, config="{"),
        "does not fit the network": lambda: write(path, state, config="{}"),
        "heads do not divide": lambda: write(path, state, config='{"width": 64, "heads": 5}'),
    }
    for message, make in wrong.items():
        make()
        with pytest.raises(WeightsError, match=message):
            find_weights(str(path), store=store)
