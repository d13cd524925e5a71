"""Family `drift`: what a system changed that it should not have, and where its paste shows."""

import cv2
import numpy as np
from numpy.typing import NDArray

from models.faces.crop.crop import crop_size, crop_transforms, to_crop
from models.metrics.metric import Metric
from stores.artifacts.artifact import Artifact
from stores.media.timeline import Timeline
from tasks.engine.stage import Made, stage
from tasks.metrics.crops import FacePair, face_pair
from tasks.metrics.family import Comparison, Family
from tasks.metrics.frames import (
    NO_FACE,
    SCALED,
    Image,
    Regions,
    blank,
    fitted,
    measured,
    metric_schema,
    other_aspect,
    pairs,
)
from tasks.source.area import crop_of
from tasks.source.landmarks import load_pose
from tasks.source.timeline import load_timeline

MARGIN = 0.25
"""Around the bounding box of a face, as a share of its sides: jaws move, edges fade."""

_MOST_CROP_PX = 384

METRICS = (
    Metric(
        "drift_outside",
        "Drift outside the face",
        "zero",
        "Mean absolute difference to the reference's frame of the same time, outside the bounding "
        "boxes of the result's and of the reference's face mesh, a quarter of their sides wider "
        f"on each side. RGB, 0..255, at the result's own resolution; {SCALED}. Encoding alone "
        "makes one to seven levels. Frames without a face in either do not count.",
        "Dubflow",
        unit="levels",
    ),
    Metric(
        "seam",
        "Seam",
        "none",
        "Gradient across the border of the lower face (where methods blend: the jaw line and "
        "below the nose, 6 % of the aligned crop outside the mesh), relative to the reference's "
        "at the same place; 1: as in the source, more: the border shows, less: it is blurred. "
        "Luma, 0..255, of aligned crops of the reference's pose at its own resolution (96 to "
        f"{_MOST_CROP_PX} px), averaged along the border first, so that texture cancels out. Sum "
        "over frames against sum over frames.",
        "Dubflow",
        unit="of the source's",
    ),
)

DRIFT = metric_schema(
    "metric_drift", [metric.name for metric in METRICS], "Changes where there should be none."
)


@stage(DRIFT, version=1)
def drift(pair: FacePair) -> Made:
    """Compare each frame outside the face, and along the border of the lower face."""
    from models.metrics.seam import border, border_energy

    mine, theirs = load_timeline(pair.result_timeline), load_timeline(pair.reference_timeline)
    arrays = {metric.name: blank(len(mine)) for metric in METRICS}
    reasons = {"drift_outside": f"{NO_FACE}, or faces fill it", "seam": NO_FACE}
    if reason := other_aspect(mine, theirs):
        return measured(arrays, dict.fromkeys(arrays, reason), seam=None)
    rows = pair.match.read("reference")
    own = Regions.of(pair.result_landmarks)
    regions = Regions.of(pair.reference_landmarks).scaled(theirs, mine)
    size, transforms = _crops(pair.reference_landmarks, theirs)
    back = _between(mine, theirs)
    energy = np.zeros(2)
    videos = (pair.result, mine), (pair.reference, theirs)
    for row, frame, beside in pairs(*videos, rows):
        there = int(rows[row])
        if not (own.valid[row] and regions.valid[there]):
            continue
        faces = np.stack([own.face[row], regions.face[there]])
        truth = fitted(beside.rgb(), (frame.width, frame.height))
        arrays["drift_outside"][row] = _outside(frame.rgb(), truth, faces)
        transform = transforms[there]
        mesh = pair.reference_landmarks.read("landmarks", there, there + 1)
        weight, normal = border(to_crop(mesh, transform[None])[0], size)
        moved = transform.copy()
        moved[:, :2] *= back
        found = [
            border_energy(crop_of(picture, placed, size), weight, normal)
            for picture, placed in ((frame, moved), (beside, transform))
        ]
        if found[1] > 0:
            energy += found
            arrays["seam"][row] = found[0] / found[1]
    return measured(arrays, reasons, seam=energy[0] / energy[1] if energy[1] else None)


def _crops(landmarks: Artifact, clip: Timeline) -> tuple[int, NDArray[np.float32]]:
    pose, valid = load_pose(landmarks), landmarks.read("valid")
    size = crop_size(pose.scale, valid, max_size=_MOST_CROP_PX) if valid.any() else 96
    return size, crop_transforms(pose, size=size)


def _between(mine: Timeline, theirs: Timeline) -> NDArray[np.float32]:
    """Px of the reference per px of the result, along x and y."""
    ours, other = mine.video, theirs.video
    return np.array([other.width / ours.width, other.height / ours.height], np.float32)


def _outside(image: Image, truth: Image, faces: NDArray[np.float32]) -> float:
    """Mean absolute difference [levels] outside boxes (box, 4); nan if they fill the frame."""
    height, width = image.shape[:2]
    outside = np.ones((height, width), np.uint8)
    for box in faces:
        margin = MARGIN * (box[2:] - box[:2])
        low = np.maximum(np.floor(box[:2] - margin), 0).astype(int)
        high = np.maximum(np.ceil(box[2:] + margin), 0).astype(int)
        outside[low[1] : high[1], low[0] : high[0]] = 0
    if not outside.any():
        return float("nan")
    return float(np.mean(cv2.mean(cv2.absdiff(image, truth), mask=outside)[:3]))


def measure(comparison: Comparison) -> Artifact:
    """Drift and seam of a comparison."""
    return drift(face_pair(comparison))


FAMILY = Family("drift", "picture", METRICS, measure)
