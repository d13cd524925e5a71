"""The renderer's training compares in the best network whose weights are here."""

from pathlib import Path

import pytest
import torch

from models.ip_lap.perceptual import PerceptualLoss, Vgg19
from stores.artifacts.store import Store
from tasks.training.perceptual import find_perceptual_network
from tasks.weights.intake import add_weights
from tests.published_weights import write_registry


def test_torchvisions_file_comes_before_the_package(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = find_perceptual_network(store)
    assert network.name.startswith("EfficientNet-Lite0")
    with torch.no_grad():
        maps = PerceptualLoss(network.backbone).features(torch.rand(2, 3, 64, 64))[0]
    assert all(0.05 < float(found.abs().mean()) < 20 for found in maps)

    registry = write_registry(tmp_path / "own.yaml", "vgg19", "ip_lap_renderer")
    monkeypatch.setenv("DUBFLOW_WEIGHTS", str(registry))
    state = {
        key.replace("network.", "features."): value for key, value in Vgg19().state_dict().items()
    }
    path = tmp_path / "vgg19-dcbb9e9d.pth"
    torch.save(state | {"classifier.0.weight": torch.zeros(1)}, path)
    add_weights(store, "vgg19", path)
    network = find_perceptual_network(store)
    assert network.name == "VGG19 of vgg19"
    found = network.backbone.state_dict()["network.0.weight"]
    assert torch.equal(found, state["features.0.weight"])
