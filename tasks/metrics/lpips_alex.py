"""Family `lpips_alex`: the learned perceptual distance that papers report."""

from typing import TYPE_CHECKING

from models.metrics.metric import Metric
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from tasks.engine.stage import Made, stage
from tasks.metrics.crops import compared_crops, metric_runner, paired_inputs
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

METRICS = (Metric("lpips_alex", "LPIPS (AlexNet)", "", "lower", f"{ABOUT}AlexNet.", SOURCE, 4),)

LPIPS_ALEX = metric_schema("metric_lpips_alex", ["lpips_alex"], "LPIPS on AlexNet.")


@stage(LPIPS_ALEX, version=1)
def lpips_alex(
    result: Source,
    result_timeline: Artifact,
    *,
    result_landmarks: Artifact,
    reference: Source,
    reference_timeline: Artifact,
    reference_landmarks: Artifact,
    match: Artifact,
    weights: Artifact,
    most: int = SAMPLES,
) -> Made:
    """LPIPS of the faces in some frames, at most so many."""
    found, reason = compared_crops(
        result,
        result_timeline,
        result_landmarks,
        reference,
        reference_timeline,
        reference_landmarks,
        match,
        runner=metric_runner(("lpips_alex", weights.key), lambda: distance_of(weights)),
        most=most,
    )
    return measured({"lpips_alex": found}, {"lpips_alex": reason or NO_FACE})


def distance_of(weights: Artifact) -> "nn.Module":
    """LPIPS on a trunk with these weights."""
    from models.metrics.lpips import ImageDistance
    from tasks.weights.networks import load_network

    return ImageDistance(load_network(weights))


def measure(comparison: Comparison) -> Artifact:
    """LPIPS of a comparison."""
    return lpips_alex(*paired_inputs(comparison), find_weights("lpips_alex"))


FAMILY = Family(METRICS, measure, weights=("lpips_alex",), paired_only=True)
