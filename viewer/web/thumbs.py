"""Small pictures of a run's artifacts at a row, for the strip of its stages."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from stores.artifacts.artifact import Artifact
from stores.errors import StoreError
from viewer.web.frames import shrunk
from viewer.web.overlays import Shape, shapes
from viewer.web.run import RunView, Sound, dims, has
from viewer.web.sound import Heard

Image = NDArray[np.uint8]

_COLOURS = {"chosen": (123, 224, 165), "wanted": (255, 209, 102), "other": (196, 204, 212)}
_SEEN = (92, 184, 255)
_DRAWN = {
    "faces": "boxes",
    "track": "boxes",
    "landmarks": "landmarks",
    "motion": "mouth",
    "speaker": "mouth",
    "lip_expression": "mouth",
}
_SOURCE, _DUB = ("timeline", "output_frames"), ("composite", "dubbed")
_SOUND = ("waveform", "mel")
_ORDER = {"rgb": slice(None), "bgr": slice(None, None, -1)}


def thumb(run: RunView, kind: str, row: int, width: int, heard: Callable[[Sound], Heard]) -> Image:
    """What an artifact of the run shows at a row, (h, w, 3) uint8 RGB, no wider than asked.

    Args:
        run: The run.
        kind: Of the artifact.
        row: Of the run.
        width: px.
        heard: A sound of the run.

    Raises:
        StoreError: there is no such artifact, or nothing to be seen in it.
    """
    artifact, at = run.need(kind), int(run.source_frame[run.row(row)])
    if kind in _SOURCE:
        return shrunk(run.pictures("source").frame(at), width)
    if kind in _DUB:
        return shrunk(run.pictures("dub").frame(row), width)
    if kind in _DRAWN:
        return _drawn(run, shapes(run, _DRAWN[kind], row), at, width, close=kind not in ("faces",))
    if kind == "lenders":
        lender = int(artifact.read("first", row, row + 1)[0])
        return shrunk(
            run.pictures("source", aside=True).frame(lender if lender >= 0 else at), width
        )
    if kind in _SOUND:
        return _heard(run, kind, row, width, heard)
    name, rows = _pictures(artifact), run.row_of(artifact, row)
    if name is None or rows is None:
        raise StoreError(f"{kind} has no picture at row {row}")
    picture = _picture(artifact, name, rows)
    scale = width / picture.shape[1]
    if scale < 1:
        size = (width, max(1, round(picture.shape[0] * scale)))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    return picture


def has_thumb(artifact: Artifact) -> bool:
    """Whether there is anything to be seen in it."""
    known = {*_SOURCE, *_DUB, *_DRAWN, *_SOUND, "lenders"}
    sizes = set(artifact.sizes)
    pictures = {"frame", "y", "x"} <= sizes and not sizes.isdisjoint(_ORDER)
    return artifact.kind in known or pictures


def _pictures(artifact: Artifact) -> str | None:
    """Name of the artifact's first array of pictures."""
    if has_thumb(artifact):
        for name in artifact.array_names:
            if (found := dims(artifact, name))[1:3] == ("y", "x") and found[-1] in _ORDER:
                return name
    return None


def _picture(artifact: Artifact, name: str, row: int) -> Image:
    """One of its pictures, on grey where it has a mask."""
    order = _ORDER[dims(artifact, name)[-1]]
    picture = artifact.read(name, row, row + 1)[0][..., order]
    if has(artifact, "mask"):
        share = artifact.read("mask", row, row + 1)[0][..., None] / 255
        picture = picture * share + 32 * (1 - share)
    return np.ascontiguousarray(picture, np.uint8)


def _drawn(run: RunView, found: list[Shape], at: int, width: int, *, close: bool) -> Image:
    """Shapes over the source's frame; close up where they are all of one face."""
    frame = run.pictures("source").frame(at)
    x0, y0, x1, y1 = 0, 0, frame.width, frame.height
    points = [np.asarray(each["xy"], np.float64) for each in found if len(each["xy"])]
    if close and points:
        every = np.concatenate(points)
        middle, side = (every.min(0) + every.max(0)) / 2, 0.75 * float(np.ptp(every, axis=0).max())
        x0, y0 = np.clip(middle - side, 0, (frame.width - 2, frame.height - 2)).astype(int).tolist()
        x1, y1 = np.clip(middle + side, (x0 + 2, y0 + 2), (frame.width, frame.height)).astype(int)
    scale = min(1.0, width / (x1 - x0))
    size = (max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale)))
    cut = frame.crop_rgb(x0, y0, int(x1), int(y1))
    canvas = np.ascontiguousarray(cv2.resize(cut, size, interpolation=cv2.INTER_AREA), np.uint8)
    for each, xy in zip([e for e in found if len(e["xy"])], points, strict=True):
        colour = _COLOURS.get(each["role"], _SEEN)
        placed = np.rint((xy - (x0, y0)) * scale).astype(np.int32)
        if each["kind"] == "points":
            for x, y in placed.tolist():
                cv2.circle(canvas, (x, y), 0, colour, -1)
        elif each["kind"] == "box":
            cv2.rectangle(canvas, placed[0].tolist(), placed[1].tolist(), colour, 1)
        else:
            cv2.polylines(canvas, [placed], each["kind"] == "polygon", colour, 1, cv2.LINE_AA)
    return canvas


def _heard(run: RunView, kind: str, row: int, width: int, heard: Callable[[Sound], Heard]) -> Image:
    """A second of sound around the row."""
    sound: Sound = "speech" if run.waveform("speech") is not None else "own"
    height = width * 9 // 16
    start = float(run.times[row]) - 0.5
    if kind == "mel":
        picture = heard(sound).mel_picture(start, start + 1, height)
        return np.asarray(cv2.resize(picture, (width, height)), np.uint8)
    canvas = np.full((height, width, 3), 24, np.uint8)
    pairs = heard(sound).envelope(start, start + 1, width)
    for x, (low, high) in enumerate(((1 - pairs[:, ::-1]) * (height - 1) / 2).astype(int)):
        cv2.line(canvas, (x, int(low)), (x, int(high)), _SEEN, 1)
    cv2.line(canvas, (width // 2, 0), (width // 2, height), (255, 255, 255), 1)
    return canvas
