"""Family `identity`: whether the face is still the same person's, by ArcFace."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.metrics.metric import Metric
from models.restore.points import five_points
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.artifacts.source import Source
from stores.media.frame import Frame
from tasks.engine.stage import Made, stage
from tasks.metrics.crops import metric_runner, sampled_sides
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
from tasks.source.timeline import load_timeline
from tasks.weights.networks import find_weights

if TYPE_CHECKING:
    from torch import nn

WEIGHTS = "arcface_r50_ms1mv3"

METRICS = (
    Metric(
        "csim",
        "Identity (ArcFace r50)",
        "higher",
        "Cosine similarity, -1..1, of ArcFace embeddings of the result's face and of the "
        "reference's at the same time. Aligned by five points of each mesh (eye centres, nose "
        "tip, mouth corners) to the published 112 x 112 px, bilinear; RGB, -1..1. Frames without a "
        f"face in either do not count. {SAMPLED.capitalize()}.",
        "Deng et al. 2019; insightface, iresnet50 trained on MS1MV3",
        digits=4,
    ),
)

EMBEDDINGS = Schema(
    "arcface_embeddings",
    {
        "embedding": ArraySpec(("sample", "feature"), "float32", "", "of length 1", shard=256),
        "valid": ArraySpec(("sample",), "bool", "", "a face is seen", shard=256),
    },
    {"feature": 512},
    "ArcFace embeddings of the face in some frames.",
)
CSIM = metric_schema("metric_csim", ["csim"], "Whether the face is the same person's.")


@stage(EMBEDDINGS, version=1)
def arcface_embeddings(
    video: Source, timeline: Artifact, *, landmarks: Artifact, rows: list[int], weights: Artifact
) -> Made:
    """Embeddings of the face in some frames.

    Args:
        rows: Frames, rising.
    """
    clip = load_timeline(timeline)
    valid = landmarks.read("valid")[rows]
    seen = [row for row, shows in zip(rows, valid, strict=True) if shows]
    runner = metric_runner(("arcface", weights.key), lambda: _embedder(weights))

    def faces() -> Iterator[tuple[Image]]:
        from models.faces.recognition.alignment import aligned

        for row, frame in zip(seen, some_frames(video, clip, seen), strict=True):
            points = five_points(landmarks.read("landmarks", row, row + 1))[0, :, :2]
            x0, y0, image = around(frame, points)
            yield (aligned(image, points - [x0 + 0.5, y0 + 0.5]),)

    embedding = np.zeros((len(rows), 512), np.float32)
    if seen:
        embedding[valid] = np.concatenate(list(runner.map(batches(faces()))))
    return Made({"embedding": embedding, "valid": valid})


@stage(CSIM, version=1)
def csim(result: Artifact, reference: Artifact, *, rows: list[int], frames: int) -> Made:
    """Cosine of the embeddings.

    Args:
        rows: The result's frames that `result` is of.
        frames: Of the result.
    """
    first, second = result.read("embedding"), reference.read("embedding")
    both = result.read("valid") & reference.read("valid")
    found = blank(frames)
    found[np.array(rows, np.int64)[both]] = np.einsum("sf,sf->s", first, second)[both]
    return measured({"csim": found}, {"csim": NO_FACE})


def around(frame: Frame, points: NDArray[np.float32]) -> tuple[int, int, Image]:
    """The part of a frame in which an aligned face can lie: left, top, pixels RGB.

    Args:
        points: (5, 2) [px].
    """
    reach = 3 * float(np.ptp(points, axis=0).max())
    centre = points.mean(0)
    low = np.clip(np.floor(centre - reach), 0, [frame.width - 1, frame.height - 1]).astype(int)
    high = np.clip(np.ceil(centre + reach), low + 1, [frame.width, frame.height]).astype(int)
    x0, y0, x1, y1 = np.concatenate([low, high]).tolist()
    return x0, y0, frame.crop_rgb(x0, y0, x1, y1)


def _embedder(weights: Artifact) -> "nn.Module":
    from models.faces.recognition.embedder import Embedder
    from tasks.weights.networks import load_network

    return Embedder(load_network(weights))


def measure(comparison: Comparison) -> Artifact:
    """Identity of a comparison."""
    weights = find_weights(WEIGHTS)
    rows, sides = sampled_sides(arcface_embeddings, comparison, weights=weights)
    return csim(*sides, rows=rows, frames=comparison.match.sizes["frame"])


FAMILY = Family("identity", "person", METRICS, measure, weights=(WEIGHTS,))
