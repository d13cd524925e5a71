"""Family `fid`: the Fréchet inception distance of all results to all references."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.metrics.metric import Metric
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from tasks.engine.stage import Made, stage
from tasks.metrics.crops import face_squares, metric_runner, sampled_sides
from tasks.metrics.family import Comparison, Family
from tasks.metrics.frames import FACE_CROP, SAMPLED, Image, batches, some_frames
from tasks.metrics.pooled import beside as put_beside
from tasks.metrics.pooled import both_schema, features_schema, frechet_distances
from tasks.source.timeline import load_timeline
from tasks.weights.networks import find_weights

FEATURES = 2048

_ABOUT = (
    "Squared Fréchet distance between Inception features (2048, last pooling) of the results' "
    "and of the references' frames, pooled over all clips. {} RGB, -1..1, stretched to 299 x 299 "
    f"px (bilinear, not averaged). {SAMPLED.capitalize()}, the references' at the same times. It "
    "falls with the number of frames: compare only figures of as many; under 2048 frames the "
    "covariances are singular, and it says little."
)
_SOURCE = "Heusel et al. 2017, in the numbers of pytorch-fid"

METRICS = (
    Metric("fid_full", "FID, full frame", "lower", _ABOUT.format("Whole frames."), _SOURCE),
    Metric(
        "fid_crop",
        "FID, face crop",
        "lower",
        _ABOUT.format(f"Faces, each by its own mesh: {FACE_CROP}."),
        _SOURCE,
    ),
)

INCEPTION = features_schema("inception_features", FEATURES, "Inception features of some frames.")
FID = both_schema("metric_fid", FEATURES, "Inception features of a result and its reference.")


@stage(INCEPTION, version=1)
def inception_features(
    video: Source, timeline: Artifact, *, landmarks: Artifact, rows: list[int], weights: Artifact
) -> Made:
    """Features of frames, and of the faces in those that show one.

    Args:
        rows: Frames, rising.
    """
    from tasks.weights.networks import load_network

    clip, seen = load_timeline(timeline), landmarks.read("valid")
    runner = metric_runner(("inception", weights.key), lambda: load_network(weights))
    frames = (frame.rgb() for frame in some_frames(video, clip, rows))
    faces = (
        face for (face,) in face_squares(video, clip, landmarks, [row for row in rows if seen[row]])
    )
    arrays = {}
    for area, images in (("full", frames), ("face", faces)):
        made = list(runner.map(batches(_stretched(images))))
        arrays[area] = np.concatenate(made) if made else np.zeros((0, FEATURES), np.float32)
    return Made(arrays)


def _stretched(images: Iterator[Image]) -> Iterator[tuple[NDArray[np.float32]]]:
    """(3, 299, 299) float32 RGB in 0..1, as the network would stretch them itself."""
    import torch
    from torch.nn.functional import interpolate

    from models.metrics.inception import SIDE_PX

    for image in images:
        tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        size = (SIDE_PX, SIDE_PX)
        yield (interpolate(tensor, size, mode="bilinear", align_corners=False)[0].numpy(),)


@stage(FID, version=1)
def fid(result: Artifact, reference: Artifact) -> Made:
    """The features of both."""
    return put_beside(result, reference)


def measure(comparison: Comparison) -> Artifact:
    """Features of a comparison; their distance takes all clips."""
    weights = find_weights("fid_inception_v3")
    _, sides = sampled_sides(inception_features, comparison, weights=weights)
    return fid(*sides)


def pooled(artifacts: Sequence[Artifact]) -> Mapping[str, float]:
    """FID of all clips, where there are frames enough."""
    return frechet_distances(artifacts, {"full": "fid_full", "face": "fid_crop"})


FAMILY = Family("fid", "picture", METRICS, measure, weights=("fid_inception_v3",), pooled=pooled)
