"""The perceptual loss takes the best network whose weights are here."""

import importlib.util
from pathlib import Path

import pytest
import torch

from models.ip_lap.perceptual import Vgg19
from stores.errors import MissingWeights
from stores.store import Store
from tasks.perceptual import perceptual_loss
from tasks.weights_intake import add_weights
from tests.published_weights import write_registry


def test_torchvisions_file_comes_before_the_package(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss, name = perceptual_loss(store=store)
    assert name.startswith("EfficientNet-Lite0")
    image = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        levels = [float(found.abs().mean()) for found in loss.features(image)[0]]
    assert all(0.05 < level < 20 for level in levels)

    registry = write_registry(tmp_path / "own.yaml", "vgg19", "ip_lap_renderer")
    monkeypatch.setenv("DUBFLOW_WEIGHTS", str(registry))
    state = {
        key.replace("network.", "features."): value for key, value in Vgg19().state_dict().items()
    }
    path = tmp_path / "vgg19-dcbb9e9d.pth"
    torch.save(state | {"classifier.0.weight": torch.zeros(1)}, path)
    add_weights(store, "vgg19", path)
    loss, name = perceptual_loss(store=store)
    assert name == "VGG19 (torchvision)"
    found = loss.model.state_dict()["network.0.weight"]
    assert torch.equal(found, state["features.0.weight"])


def test_without_any_the_message_names_both_ways(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingWeights, match=r"dubflow\[metrics\].*weights pull vgg19"):
        perceptual_loss(store=store)
