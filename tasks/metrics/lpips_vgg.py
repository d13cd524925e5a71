"""Family `lpips_vgg`: the learned perceptual distance on the trunk that losses use."""

from models.metrics.metric import Metric
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from tasks.engine.stage import Made, stage
from tasks.metrics.crops import compared_crops, metric_runner, paired_inputs
from tasks.metrics.family import Comparison, Family
from tasks.metrics.frames import NO_FACE, SAMPLES, measured, metric_schema
from tasks.metrics.lpips_alex import ABOUT, SOURCE, distance_of
from tasks.weights.networks import find_weights

METRICS = (Metric("lpips_vgg", "LPIPS (VGG)", "", "lower", f"{ABOUT}VGG-16.", SOURCE, 4),)

LPIPS_VGG = metric_schema("metric_lpips_vgg", ["lpips_vgg"], "LPIPS on VGG-16.")


@stage(LPIPS_VGG, version=1)
def lpips_vgg(
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
        runner=metric_runner(("lpips_vgg", weights.key), lambda: distance_of(weights)),
        most=most,
    )
    return measured({"lpips_vgg": found}, {"lpips_vgg": reason or NO_FACE})


def measure(comparison: Comparison) -> Artifact:
    """LPIPS of a comparison."""
    return lpips_vgg(*paired_inputs(comparison), find_weights("lpips_vgg"))


FAMILY = Family(METRICS, measure, weights=("lpips_vgg",), paired_only=True)
