"""Families `lpips_alex` and `lpips_vgg`: the learned perceptual distance, on two trunks.

Papers report that on AlexNet; losses use VGG-16.
"""

from typing import TYPE_CHECKING

from models.metrics.metric import Metric
from stores.artifacts.artifact import Artifact
from tasks.engine.stage import Made, Stage, stage
from tasks.metrics.crops import FacePair, compared_crops, face_pair, metric_runner
from tasks.metrics.family import Comparison, Family
from tasks.metrics.frames import FACE_CROP, NO_FACE, SAMPLED, SAMPLES, measured, metric_schema
from tasks.weights.networks import find_weights

if TYPE_CHECKING:
    from torch import nn

ABOUT = (
    "Distance of deep features, weighted as people judge, between the result's and the "
    f"reference's face: {FACE_CROP}, of the reference's mesh in both. RGB, -1..1. Frames without "
    f"a face in either do not count. {SAMPLED.capitalize()}; paired clips. Trunk: "
)
SOURCE = "Zhang et al. 2018, package lpips, version 0.1"


def _lpips(name: str, trunk: str) -> Stage:
    """The stage of one trunk."""

    def distance(pair: FacePair, *, weights: Artifact, most: int = SAMPLES) -> Made:
        """LPIPS of the faces in some frames, at most so many."""
        runner = metric_runner((name, weights.key), lambda: distance_of(weights))
        found, reason = compared_crops(pair, runner=runner, most=most)
        return measured({name: found}, {name: reason or NO_FACE})

    distance.__name__ = name  # a worker finds the stage by it
    return stage(metric_schema(f"metric_{name}", [name], f"LPIPS on {trunk}."), version=1)(distance)


lpips_alex = _lpips("lpips_alex", "AlexNet")
lpips_vgg = _lpips("lpips_vgg", "VGG-16")


def distance_of(weights: Artifact) -> "nn.Module":
    """LPIPS on a trunk with these weights."""
    from models.metrics.lpips import ImageDistance
    from tasks.weights.networks import load_network

    return ImageDistance(load_network(weights))


def _family(distance: Stage, network: str, trunk: str) -> Family:
    """The family of one stage; its weights have its name."""
    (name,) = distance.schema.arrays
    metric = Metric(name, f"LPIPS ({network})", "lower", f"{ABOUT}{trunk}.", SOURCE, digits=4)

    def measure(comparison: Comparison) -> Artifact:
        return distance(face_pair(comparison), weights=find_weights(name))

    return Family(name, "picture", [metric], measure, weights=(name,), paired_only=True)


ALEX = _family(lpips_alex, "AlexNet", "AlexNet")
VGG = _family(lpips_vgg, "VGG", "VGG-16")
