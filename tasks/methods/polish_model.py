"""The shipped network that polishes mouths."""

import json
import threading
from pathlib import Path

from safetensors import safe_open

from models.exemplar.polish import PolishNetwork
from models.exemplar.settings import PolishSize
from stores.artifacts.keys import file_key
from stores.shipped import shipped_file


def polish_key() -> str:
    """Content key of the shipped weights: new weights make new mouths."""
    return file_key(_weights_file())


def _weights_file() -> Path:
    return shipped_file("models/exemplar/polish.safetensors")


def polish_network() -> PolishNetwork:
    """The network; each thread has its own."""
    if not hasattr(_here, "network"):
        with safe_open(_weights_file(), framework="numpy") as file:
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            config = json.loads(file.metadata()["config"])
        _here.network = PolishNetwork(weights, PolishSize.model_validate(config))
    network: PolishNetwork = _here.network
    return network


_here = threading.local()
