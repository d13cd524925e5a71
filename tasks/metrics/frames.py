"""Frames of a result beside those of its reference, and where the face is in them.

Nothing here holds more than two frames or one block of landmarks at a time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.faces.mesh.indices import LIPS
from models.faces.tracks import face_boxes
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import Schema, series
from stores.artifacts.source import Source
from stores.media.frame import Frame
from stores.media.read import read_frames
from stores.media.timeline import Timeline
from tasks.engine.stage import Made
from tasks.source.landmarks import LANDMARKS

Image = NDArray[np.uint8]
Boxes = NDArray[np.float32]

SAMPLES = 24
"""Frames of a clip, evenly spaced, on which costly metrics are computed."""

CROP_SIZE = 256
"""Side of the face crops that networks see [px]."""

_STACKED = 8
"""Samples that a runner takes at once."""

_CROP_ROOM = 1.3
"""Side of a face crop, as a multiple of the longer side of the mesh's bounding box."""

_FACE_MARGIN = 0.1
"""Of the face region around the mesh's bounding box, as a share of its sides."""

_MOUTH_MARGIN = 0.35
"""Of the mouth region around the lips' bounding box, as a share of its width."""

_ASPECT_TOLERANCE = 0.02

NO_FACE = "no frame in which a face is seen in the result and in the reference"
NO_MATCH = "no frame of the reference is shown at the time of one of the result"

FACE_CROP = (
    f"a square around the face mesh ({_CROP_ROOM:g} times its longer side), scaled to "
    f"{CROP_SIZE} x {CROP_SIZE} px (averaged where it shrinks, cubic where it grows)"
)
SAMPLED = f"at most {SAMPLES} evenly spaced frames of a clip"
SCALED = "a reference of another size is scaled to the result's"


def metric_schema(kind: str, names: Sequence[str], doc: str) -> Schema:
    """Of a stage whose arrays are metrics over the result's frames."""
    return Schema(kind, dict.fromkeys(names, series("NaN where not defined")), {}, doc)


def measured(
    arrays: Mapping[str, NDArray[np.float32]], reasons: Mapping[str, str], **values: float | None
) -> Made:
    """What a metric stage makes of its per-frame arrays: each value is the mean where defined.

    Args:
        arrays: By metric, NaN where not defined.
        reasons: Why a metric is nowhere defined, for each that may be so.
        values: In place of the mean, or without an array; None where not defined.
    """
    found: dict[str, float | None] = {}
    for name, array in arrays.items():
        defined = array[np.isfinite(array)]
        found[name] = float(defined.mean(dtype=np.float64)) if len(defined) else None
    found |= values
    missing = {name: reasons[name] for name, value in found.items() if value is None}
    return Made(dict(arrays), {"values": found, "reasons": missing})


def blank(frames: int) -> NDArray[np.float32]:
    """A metric that is defined on no frame yet."""
    return np.full(frames, np.nan, np.float32)


def even_rows(match: Artifact, most: int = SAMPLES) -> tuple[list[int], list[int]]:
    """Evenly spaced frames of the result and those of the reference that stand beside them.

    Args:
        match: Of tasks.metrics.match.
        most: Of them; the middles of so many equal parts.
    """
    reference = match.read("reference")
    rows = spread(np.flatnonzero(reference >= 0), most)
    return rows.tolist(), reference[rows].tolist()


def spread(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most so many of the rows, evenly spaced."""
    if len(rows) <= most:
        return rows
    return np.asarray(rows[((np.arange(most) + 0.5) * len(rows) / most).astype(np.int64)])


def pairs(
    result: tuple[Source, Timeline], reference: tuple[Source, Timeline], match: NDArray[np.int64]
) -> Iterator[tuple[int, Frame, Frame]]:
    """Row and frame of the result, and the reference's frame beside it, where there is one.

    Args:
        result: The video and its timeline.
        reference: The same of the reference.
        match: (frame,) row of the reference, rising; -1 where there is none.
    """
    rows = np.flatnonzero(match >= 0)
    if not len(rows):
        return
    first, last = int(match[rows[0]]), int(match[rows[-1]])
    source = read_frames(reference[0].path, reference[1], first, last + 1)
    at, beside = first, next(source)
    start, stop = int(rows[0]), int(rows[-1]) + 1
    frames = read_frames(result[0].path, result[1], start, stop)
    for row, frame in zip(range(start, stop), frames, strict=True):
        wanted = int(match[row])
        if wanted < 0:
            continue
        while at < wanted:
            at, beside = at + 1, next(source)
        yield row, frame, beside


def some_frames(video: Source, clip: Timeline, rows: Sequence[int]) -> Iterator[Frame]:
    """Frames of those rows, which rise and may repeat."""
    if not rows:
        return
    frames = read_frames(video.path, clip, rows[0], rows[-1] + 1)
    at, frame = rows[0], next(frames)
    for row in rows:
        while at < row:
            at, frame = at + 1, next(frames)
        yield frame


def other_aspect(result: Timeline, reference: Timeline) -> str | None:
    """Why pixels can't be compared, if the two show different fields of view."""
    mine, theirs = result.video, reference.video
    ratio = (mine.width / mine.height) / (theirs.width / theirs.height)
    if abs(ratio - 1) <= _ASPECT_TOLERANCE:
        return None
    return (
        f"the result is {mine.width}x{mine.height}, the reference {theirs.width}x{theirs.height}: "
        "another shape, so their pixels do not correspond"
    )


def fitted(image: Image, size: tuple[int, int]) -> Image:
    """A picture scaled to (width, height) px; averaged where it shrinks."""
    if image.shape[1::-1] == size:
        return image
    shrinks = image.shape[1] > size[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)


@dataclass(frozen=True)
class Regions:
    """Where the face and the mouth are in each frame.

    Attributes:
        face: (frame, 4) float32 x0, y0, x1, y1 [px], around the mesh.
        mouth: (frame, 4) float32, around the lips.
        valid: (frame,) bool.
    """

    face: Boxes
    mouth: Boxes
    valid: NDArray[np.bool_]

    @classmethod
    def of(cls, landmarks: Artifact) -> "Regions":
        """Read the meshes block by block."""
        block = LANDMARKS.arrays["landmarks"].shard
        face, mouth = [], []
        for start in range(0, landmarks.sizes["frame"], block):
            meshes = landmarks.read("landmarks", start, start + block)
            face.append(face_boxes(meshes))
            mouth.append(face_boxes(meshes[:, list(LIPS)]))
        return cls(np.concatenate(face), np.concatenate(mouth), landmarks.read("valid"))

    def scaled(self, frm: Timeline, to: Timeline) -> "Regions":
        """The same places in a picture of another size."""
        zoom = np.array([to.video.width / frm.video.width, to.video.height / frm.video.height] * 2)
        zoom = zoom.astype(np.float32)
        return Regions(self.face * zoom, self.mouth * zoom, self.valid)

    def face_pixels(self, row: int, frame: Frame) -> tuple[int, int, int, int] | None:
        """Whole pixels x0, y0, x1, y1 of the face region inside the frame."""
        box = self.face[row]
        margin = _FACE_MARGIN * (box[2:] - box[:2])
        return _inside(np.concatenate([box[:2] - margin, box[2:] + margin]), frame)

    def mouth_pixels(self, row: int, frame: Frame) -> tuple[int, int, int, int] | None:
        """Whole pixels x0, y0, x1, y1 of the mouth region inside the frame."""
        box = self.mouth[row]
        margin = _MOUTH_MARGIN * (box[2] - box[0])
        return _inside(np.concatenate([box[:2] - margin, box[2:] + margin]), frame)


def crop_transform(box: Boxes) -> NDArray[np.float32]:
    """(2, 3) float32, frame px → px of the square face crop around a box (4,)."""
    side = _CROP_ROOM * float(max(box[2] - box[0], box[3] - box[1]))
    zoom = CROP_SIZE / max(side, 1.0)
    corner = (box[:2] + box[2:]) / 2 - side / 2
    return np.array([[zoom, 0, -zoom * corner[0]], [0, zoom, -zoom * corner[1]]], np.float32)


def batches(items: Iterator[tuple[NDArray[Any], ...]]) -> Iterator[tuple[NDArray[Any], ...]]:
    """Samples, stacked by a few: what a runner takes."""
    while few := list(islice(items, _STACKED)):
        yield tuple(np.stack(arrays) for arrays in zip(*few, strict=True))


def _inside(box: NDArray[Any], frame: Frame) -> tuple[int, int, int, int] | None:
    low = np.maximum(np.floor(box[:2]), 0).astype(int)
    high = np.minimum(np.ceil(box[2:]), [frame.width, frame.height]).astype(int)
    if (high - low < 8).any():  # SSIM's window is 7 px wide
        return None
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
