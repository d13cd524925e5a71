"""Artifacts that are seen frame by frame: a picture of each row that is asked for."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from stores.artifacts.artifact import Artifact
from viewer.drawings.lineage import Image, Lineage

Draw = Callable[[Lineage, Sequence[int]], Iterator[Image]]
"""Pictures of rows in ascending order, (h, w, 3) uint8 RGB, one in memory at a time."""

CHOSEN, OTHER, WRONG = (123, 224, 165), (150, 160, 170), (255, 90, 90)
PANEL_PX = 200
_GAIN = 4
"""Of differences, so that an eye sees them."""
PANELS = ("before", "after", f"difference x {_GAIN}", "mask")
"""Of a composite, from left to right."""
FIT_PANELS = ("picture", "render", "both", "errors")
"""Of a fitted face: two above, two below."""


def frame_count(lineage: Lineage) -> int:
    """How many pictures there are."""
    artifact = lineage.artifact
    frames = artifact.attributes["frames"] if artifact.kind == "dubbed" else artifact.sizes["frame"]
    return int(frames)


def crops(lineage: Lineage, rows: Sequence[int]) -> Iterator[Image]:
    """The crops, landmarks drawn over them."""
    artifact, landmarks = lineage.artifact, lineage.need("landmarks")
    for row in rows:
        crop = artifact.read("crop", row, row + 1)[0].copy()
        transform = artifact.read("transform", row, row + 1)[0]
        points = landmarks.read("landmarks", row, row + 1)[0, :, :2]
        yield dotted(crop, points @ transform[:, :2].T + transform[:, 2])


def render(lineage: Lineage, rows: Sequence[int]) -> Iterator[Image]:
    """New mouths on grey."""
    artifact = lineage.artifact
    for row in rows:
        patch = artifact.read("patch", row, row + 1)[0].astype(np.float32)
        mask = artifact.read("mask", row, row + 1)[0][..., None] / 255
        yield np.asarray(patch * mask + 32 * (1 - mask), np.uint8)


def face_fit(lineage: Lineage, rows: Sequence[int]) -> Iterator[Image]:
    """Picture, render, render in the picture, and errors over time."""
    from viewer.face_fit import fitted_faces

    for squares in fitted_faces(lineage.artifact, lineage.need("face_fit_person"), rows):
        named = [_written(s.copy(), name) for s, name in zip(squares, FIT_PANELS, strict=True)]
        yield np.vstack([np.hstack(named[:2]), np.hstack(named[2:])])


def faces(lineage: Lineage, rows: Sequence[int]) -> Iterator[Image]:
    """All meshes and boxes in the source's frame."""
    artifact = lineage.artifact
    for row, (picture, scale) in zip(rows, lineage.pictures(rows), strict=True):
        meshes, boxes = (artifact.read(n, row, row + 1)[0] for n in ("landmarks", "box"))
        for slot in np.flatnonzero(artifact.read("score", row, row + 1)[0] > 0):
            _box(picture, boxes[slot] * scale, CHOSEN)
            dotted(picture, meshes[slot, :, :2] * scale)
        yield picture


def landmarks(lineage: Lineage, rows: Sequence[int]) -> Iterator[Image]:
    """The mesh in the source's frame, close up."""
    artifact = lineage.artifact
    for row, (picture, scale) in zip(rows, lineage.pictures(rows), strict=True):
        if not artifact.read("valid", row, row + 1)[0]:
            yield _written(picture, "no usable face")
            continue
        points = artifact.read("landmarks", row, row + 1)[0, :, :2] * scale
        x0, y0, x1, y1 = _around(points, picture)
        yield dotted(picture[y0:y1, x0:x1].copy(), points - (x0, y0))


def track(lineage: Lineage, rows: Sequence[int]) -> Iterator[Image]:
    """Boxes of all faces in the source's frame, the one that is dubbed in green."""
    found = lineage.need("faces")
    for row, (picture, scale) in zip(rows, lineage.pictures(rows), strict=True):
        chosen = int(lineage.artifact.read("slot", row, row + 1)[0])
        boxes = found.read("box", row, row + 1)[0] * scale
        for slot in np.flatnonzero(found.read("score", row, row + 1)[0] > 0):
            _box(picture, boxes[slot], CHOSEN if slot == chosen else OTHER)
        yield picture if chosen >= 0 else _written(picture, "not seen")


def visibility(lineage: Lineage, rows: Sequence[int]) -> Iterator[Image]:
    """The crops in a frame that is green where the mouth is free, red where it is not."""
    artifact, seen = lineage.artifact, lineage.need("crops")
    for row in rows:
        picture = seen.read("crop", row, row + 1)[0].copy()
        free = bool(artifact.read("free", row, row + 1)[0])
        side = len(picture)
        corner = (side - 1, side - 1)
        cv2.rectangle(picture, (0, 0), corner, CHOSEN if free else WRONG, max(2, side // 20))
        yield _written(picture, f"{float(artifact.read('quality', row, row + 1)[0]):.2f}")


def lenders(lineage: Lineage, rows: Sequence[int]) -> Iterator[Image]:
    """The crop of the frame that lends most of each mouth."""
    artifact, seen = lineage.artifact, lineage.need("crops")
    for row in rows:
        first, second, share = (
            artifact.read(name, row, row + 1)[0] for name in ("first", "second", "weight")
        )
        lender = int(second if share > 0.5 else first)
        yield _written(seen.read("crop", lender, lender + 1)[0].copy(), f"of {lender}")


def output_frames(lineage: Lineage, rows: Sequence[int]) -> Iterator[Image]:
    """The source's frames that the output shows."""
    shown = lineage.artifact.read("source_frame")[list(rows)].tolist()
    for frame, (picture, _) in zip(shown, lineage.pictures(shown), strict=True):
        yield _written(picture, f"shows {frame}")


def composite(lineage: Lineage, rows: Sequence[int]) -> Iterator[Image]:
    """Before, after, their difference (times _GAIN) and the mask, around the mouth."""
    rendered = lineage.made_of.get("render")
    shown = lineage.need("output_frames").read("source_frame")[list(rows)].tolist()
    before = lineage.pictures(shown)
    for row, (old, scale), new in zip(rows, before, lineage.composed(rows), strict=True):
        mask, place = _mask(rendered, row, old.shape, scale)
        x0, y0, x1, y1 = place
        old, new, mask = (each[y0:y1, x0:x1] for each in (old, new, mask))
        change = np.abs(new.astype(np.int16) - old) * _GAIN
        panels = (old, new, np.clip(change, 0, 255), np.repeat(mask[..., None], 3, axis=2))
        squares = [_square(np.asarray(panel, np.uint8)) for panel in panels]
        yield np.hstack([_written(s, name) for s, name in zip(squares, PANELS, strict=True)])


def _mask(
    rendered: Artifact | None, row: int, shape: tuple[int, ...], scale: float
) -> tuple[Image, tuple[int, int, int, int]]:
    """Where the new mouth is, (h, w) uint8 of the picture, and a rectangle around it."""
    height, width = shape[:2]
    if rendered is None or not rendered.read("valid", row, row + 1)[0]:
        return np.zeros((height, width), np.uint8), (0, 0, width, height)
    transform = rendered.read("transform", row, row + 1)[0].astype(np.float64)
    patch = rendered.read("mask", row, row + 1)[0]
    transform[:, :2] /= scale  # from px of the picture
    mask = cv2.warpAffine(
        patch, transform, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    side = len(patch)
    corners = np.array([(0, 0), (side, 0), (side, side), (0, side)], np.float64)
    placed = np.linalg.solve(transform[:, :2], (corners - transform[:, 2]).T).T
    return np.asarray(mask, np.uint8), _around(placed, mask, margin=0.05)


def dubbed(lineage: Lineage, rows: Sequence[int]) -> Iterator[Image]:
    """Frames of the file."""
    artifact, wanted = lineage.artifact, set(rows)
    with av.open(str(artifact.file(artifact.attributes["file"]))) as container:
        for row, frame in enumerate(container.decode(video=0)):
            if row in wanted:
                yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def any_pictures(name: str, order: str) -> Draw:
    """Those of an array of that name, whatever the stage; its last dimension is `order`."""

    def draw(lineage: Lineage, rows: Sequence[int]) -> Iterator[Image]:
        for row in rows:
            picture = lineage.artifact.read(name, row, row + 1)[0]
            picture = picture[..., ::-1] if order == "bgr" else picture
            yield np.ascontiguousarray(picture, np.uint8)

    return draw


def dotted(picture: Image, points: NDArray[np.floating[Any]]) -> Image:
    """The picture with points (x, y) [px] drawn into it."""
    radius = picture.shape[0] // 250
    for x, y in points:
        cv2.circle(picture, (round(float(x)), round(float(y))), radius, (90, 255, 140), -1)
    return picture


def fitted(picture: Image, width: int, height: int) -> Image:
    """The picture as large as it fits into a rectangle."""
    scale = min(width / picture.shape[1], height / picture.shape[0])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, size, interpolation=how), np.uint8)


def _square(picture: Image) -> Image:
    canvas = np.zeros((PANEL_PX, PANEL_PX, 3), np.uint8)
    small = fitted(picture, PANEL_PX, PANEL_PX)
    canvas[: small.shape[0], : small.shape[1]] = small
    return canvas


def _box(picture: Image, box: NDArray[np.float32], colour: tuple[int, int, int]) -> None:
    x0, y0, x1, y1 = box.round().astype(int).tolist()
    cv2.rectangle(picture, (x0, y0), (x1, y1), colour, max(2, picture.shape[0] // 120))


def _around(
    points: NDArray[np.floating[Any]], picture: Image, margin: float = 0.25
) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of a rectangle around points, inside the picture."""
    height, width = picture.shape[:2]
    low, high = points.min(0), points.max(0)
    room = margin * float((high - low).max())
    x0, y0 = np.clip(low - room, 0, (width - 2, height - 2)).astype(int).tolist()
    x1, y1 = np.clip(high + room, (x0 + 2, y0 + 2), (width, height)).astype(int).tolist()
    return x0, y0, x1, y1


def _written(picture: Image, text: str) -> Image:
    """The picture with words at its lower edge."""
    height = picture.shape[0]
    size, place = height / 300, (height // 40, height - height // 30)
    for colour, thick in (((0, 0, 0), 2.5), ((255, 255, 255), 1.2)):
        thickness = max(1, round(thick * height / 150))
        cv2.putText(
            picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, thickness, cv2.LINE_AA
        )
    return picture


PICTURES: dict[str, Draw] = {
    "crops": crops,
    "render": render,
    "restored": render,
    "faces": faces,
    "landmarks": landmarks,
    "track": track,
    "visibility": visibility,
    "lenders": lenders,
    "output_frames": output_frames,
    "composite": composite,
    "face_fit": face_fit,
    "dubbed": dubbed,
}
"""By kind of artifact."""
WIDE = {"composite": 4}
"""How many times as wide as high the pictures of a kind are, if not as wide."""
