"""Weights of one's own training: a safetensors file whose metadata says what network it holds.

network      name in models.published
config       JSON, the model of the network's size
licence      in words
commercial   JSON, whether the licence allows commercial use; may be missing
trained_on   JSON, the data
recipe       JSON, how it was trained
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stores.artifacts.builder import Derivation
from stores.errors import WeightsError
from stores.weights.registry import CONVERTER_VERSION, WEIGHTS

if TYPE_CHECKING:
    import torch

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class TrainedHeader:
    """What such a file says of itself.

    Attributes:
        network: As in models.published.
        config: Of the network's size.
        licence: In words.
        commercial: Whether it allows commercial use; None where nothing is stated.
        trained_on: The data.
        recipe: How it was trained.
    """

    network: str
    config: dict[str, Any]
    licence: str
    commercial: bool | None
    trained_on: Any
    recipe: Any


def read_header(path: Path) -> TrainedHeader:
    """The header of a trained network's file.

    Raises:
        WeightsError: it is no such file.
    """
    with _opened(path) as file:
        metadata: dict[str, str] = file.metadata() or {}
    if "network" not in metadata:
        raise WeightsError(
            f"{path} does not say which network it holds; take a file that `dubflow train` wrote"
        )
    try:
        config = json.loads(metadata.get("config", "{}"))
        commercial = json.loads(metadata.get("commercial", "null"))
        trained_on, recipe = (json.loads(metadata.get(k, "null")) for k in ("trained_on", "recipe"))
        if not isinstance(config, dict) or commercial not in (True, False, None):
            raise ValueError("config or commercial is of another kind")
    except ValueError as error:
        raise WeightsError(f"{path} has metadata that are not as they must be: {error}") from None
    return TrainedHeader(
        metadata["network"],
        config,
        metadata.get("licence", "none stated"),
        commercial,
        trained_on,
        recipe,
    )


def read_tensors(path: Path) -> "dict[str, torch.Tensor]":
    """All tensors by key.

    Raises:
        WeightsError: the file is damaged.
    """
    with _opened(path) as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def trained_derivation(header: TrainedHeader, sha256: str) -> Derivation:
    """What the weights in the store are made of: the file's bytes, and how they are read."""
    parameters = {
        "entry": f"{header.network} of own training",
        "network": header.network,
        "trained": header.config,
    }
    inputs = {"file": ("source", sha256)}
    return Derivation.of(WEIGHTS, CONVERTER_VERSION, inputs, parameters)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except FileNotFoundError:
        raise WeightsError(f"there is no file {path}; check the name") from None
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path} is no whole safetensors file: {error}") from None
