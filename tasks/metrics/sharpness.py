"""Family `sharpness`: how sharp the result is, without a reference."""

import numpy as np

from models.metrics.metric import Metric
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from tasks.engine.stage import Made, stage
from tasks.metrics.family import Comparison, Family
from tasks.metrics.frames import (
    SAMPLED,
    SAMPLES,
    Regions,
    blank,
    measured,
    metric_schema,
    some_frames,
    spread,
)
from tasks.source.timeline import load_timeline

SMALLEST_PX = 64
"""CPBD counts whole blocks of this side."""

_ABOUT = (
    "Cumulative probability of blur detection, 0..1: the share of edges whose blur nobody notices. "
    "Luma (ITU-R 601 weights), 0..255, at the result's own resolution, so that figures of systems "
    f"of different resolution do not compare. {SAMPLED.capitalize()}."
)
_SOURCE = "Narvekar and Karam 2011, in the numbers of python-cpbd"

METRICS = (
    Metric(
        "cpbd_face",
        "CPBD, face",
        "higher",
        f"{_ABOUT} On the bounding box of the result's face mesh, a tenth of its sides wider on "
        f"each side, where that is {SMALLEST_PX} px or more.",
        _SOURCE,
        digits=3,
    ),
    Metric(
        "cpbd_full", "CPBD, full frame", "higher", f"{_ABOUT} On whole frames.", _SOURCE, digits=3
    ),
)

SHARPNESS = metric_schema(
    "metric_sharpness", [metric.name for metric in METRICS], "Sharpness without a reference."
)


@stage(SHARPNESS, version=1)
def sharpness(
    video: Source, timeline: Artifact, *, landmarks: Artifact, most: int = SAMPLES
) -> Made:
    """CPBD of some frames.

    Args:
        most: So many frames, evenly spaced.
    """
    import cv2

    from models.metrics.cpbd import cpbd

    clip, regions = load_timeline(timeline), Regions.of(landmarks)
    arrays = {metric.name: blank(len(clip)) for metric in METRICS}
    rows = spread(np.arange(len(clip)), most).tolist()
    for row, frame in zip(rows, some_frames(video, clip, rows), strict=True):
        gray = np.asarray(cv2.cvtColor(frame.rgb(), cv2.COLOR_RGB2GRAY), np.uint8)
        if min(gray.shape) >= SMALLEST_PX:
            arrays["cpbd_full"][row] = cpbd(gray)
        box = regions.face_pixels(row, frame) if regions.valid[row] else None
        if box and min(box[2] - box[0], box[3] - box[1]) >= SMALLEST_PX:
            arrays["cpbd_face"][row] = cpbd(gray[box[1] : box[3], box[0] : box[2]])
    reasons = {
        "cpbd_face": f"no face of {SMALLEST_PX} px or more in the frames looked at",
        "cpbd_full": f"the frames are smaller than {SMALLEST_PX} px",
    }
    return measured(arrays, reasons)


def measure(comparison: Comparison) -> Artifact:
    """Sharpness of a comparison's result."""
    seen = comparison.result
    return sharpness(seen.video, seen.timeline, landmarks=seen.landmarks)


FAMILY = Family("sharpness", "picture", METRICS, measure)
