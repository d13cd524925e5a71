"""What is drawn over the source's picture: shapes in px of the upright frame."""

from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.faces.mesh.align import Pose
from models.faces.mesh.indices import INNER_LIP, JAW, OUTER_LIP
from stores.artifacts.artifact import Artifact
from stores.errors import InputError
from viewer.web.fit import CAMERA_PX
from viewer.web.run import RunView, has

Shape = dict[str, Any]

_MOUTH_PARTS = {"jaw": JAW, "outer": OUTER_LIP, "inner": INNER_LIP}


def overlay_list(run: RunView) -> list[dict[str, str]]:
    """Those that the run has something for."""
    return [
        {"name": name, "title": title}
        for name, (title, kind, _) in _OVERLAYS.items()
        if (run.one(kind) is not None if kind else _cut_out(run))
    ]


def shapes(run: RunView, name: str, row: int) -> list[Shape]:
    """What an overlay shows at a row.

    Raises:
        InputError: there is none of that name.
    """
    if name not in _OVERLAYS:
        raise InputError(f"there is no overlay {name!r}; there is {', '.join(_OVERLAYS)}")
    return list(_OVERLAYS[name][2](run, run.row(row)))


def shape(kind: str, xy: NDArray[Any] | None = None, **more: str) -> Shape:
    """A shape as the page takes it: kind, points, and what is said of it."""
    points = [] if xy is None else np.round(xy.astype(np.float64), 2).tolist()
    return {"kind": kind, "xy": points, "label": "", "role": "", **more}


def _landmarks(run: RunView, row: int) -> Iterator[Shape]:
    face, at = run.need("landmarks"), int(run.source_frame[row])
    if face.read("valid", at, at + 1)[0]:
        yield shape("points", face.read("landmarks", at, at + 1)[0, :, :2], role="seen")


def _mouth(run: RunView, row: int) -> Iterator[Shape]:
    face, at = run.need("landmarks"), int(run.source_frame[row])
    if not face.read("valid", at, at + 1)[0]:
        return
    mesh = face.read("landmarks", at, at + 1)[0, :, :2]
    for part in (OUTER_LIP, INNER_LIP):
        yield shape("polygon", mesh[list(part)], role="seen", label="seen" * (part is OUTER_LIP))
    motion = run.one("motion")
    if motion is None or motion.sizes.get("mouth_point") is None:
        return
    pose = Pose(*(face.read(name, at, at + 1) for name in ("scale", "rotation", "translation")))
    wanted = pose.to_image(motion.read("mouth", row, row + 1))[0, :, :2]
    first = 0
    for name, part in _MOUTH_PARTS.items():
        points, first = wanted[first : first + len(part)], first + len(part)
        label = "wanted" if name == "outer" else ""
        yield shape("line" if name == "jaw" else "polygon", points, role="wanted", label=label)


def _boxes(run: RunView, row: int) -> Iterator[Shape]:
    at = int(run.source_frame[row])
    found, track = run.need("faces"), run.one("track")
    boxes, scores = found.read("box", at, at + 1)[0], found.read("score", at, at + 1)[0]
    chosen = -1 if track is None else int(track.read("slot", at, at + 1)[0])
    for slot in np.flatnonzero(scores > 0).tolist():
        role = "chosen" if slot == chosen else "other"
        label = f"{slot}: {scores[slot]:.2f}"
        yield shape("box", boxes[slot].reshape(2, 2), role=role, label=label)


def _crop(run: RunView, row: int) -> Iterator[Shape]:
    for cut in _cut_out(run):
        at = run.row_of(cut, row)
        if at is None:
            continue
        if has(cut, "box"):
            yield shape("box", cut.read("box", at, at + 1)[0].reshape(2, 2), label=cut.kind)
        else:
            corners = _from_crop(cut.read("transform", at, at + 1)[0], _square(cut))
            if corners is not None:
                yield shape("polygon", corners, label=cut.kind)


def _cut_out(run: RunView) -> list[Artifact]:
    """Artifacts that hold pictures cut out of frames."""
    return [
        artifact
        for kind, artifact in run.used.items()
        if kind not in ("render", "face_fit")
        and {"frame", "x", "y"} <= set(artifact.sizes)
        and (has(artifact, "transform") or has(artifact, "box"))
    ]


def _mask(run: RunView, row: int) -> Iterator[Shape]:
    render = run.need("render")
    if not render.read("valid", row, row + 1)[0]:
        return
    transform = render.read("transform", row, row + 1)[0]
    whole = _from_crop(transform, _square(render))
    if whole is not None:
        yield shape("polygon", whole, role="other", label=render.kind)
    mask = (render.read("mask", row, row + 1)[0] >= 128).astype(np.uint8)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    for outline in outlines:
        points = _from_crop(transform, outline[:, 0].astype(np.float32) + 0.5)
        if points is not None and len(points) > 2:
            yield shape("polygon", points, role="chosen", label="mask")


def _fit(run: RunView, row: int) -> Iterator[Shape]:
    fit = run.need("face_fit")
    at = run.row_of(fit, row)
    if at is None or not fit.read("valid", at, at + 1)[0]:
        yield shape("text", label="no fit", role="bad")
        return
    error, photo = (
        float(fit.read(f"{name}_error", at, at + 1)[0]) for name in ("landmark", "photo")
    )
    if (box := fit_box(run, at)) is not None:
        xy = np.asarray(box).reshape(2, 2)
        yield shape("image", xy, label="fit", href=f"/api/runs/{run.record.id}/fit/{row}")
    yield shape("text", label=f"landmarks {error:.2f} px of 256, colours {photo:.3f}")


def fit_box(run: RunView, at: int) -> tuple[int, int, int, int] | None:
    """The upright box x0, y0, x1, y1 [frame px] around the square that a fit looked at."""
    fit = run.need("face_fit")
    square = np.asarray([(0, 0), (CAMERA_PX, CAMERA_PX)], np.float32)
    corners = _from_crop(fit.read("transform", at, at + 1)[0], square)
    if corners is None:
        return None
    x0, y0 = np.floor(corners.min(0)).astype(int).tolist()
    x1, y1 = np.ceil(corners.max(0)).astype(int).tolist()
    return x0, y0, x1, y1


def _lender(run: RunView, row: int) -> Iterator[Shape]:
    lenders = run.need("lenders")
    first, second, share = (
        lenders.read(name, row, row + 1)[0].item() for name in ("first", "second", "weight")
    )
    lent = [(int(first), 1 - share), (int(second), share)]
    lent = [(frame, part) for frame, part in lent if part > 0 and frame >= 0]
    seconds = run.clip.seconds
    for frame, part in lent:
        label = f"frame {frame} at {seconds[frame]:.3f} s, {100 * part:.0f} %"
        href = f"/api/runs/{run.record.id}/source/{frame}?width=192"
        yield shape("image", label=label, href=href)
    if not lent:
        yield shape("text", label="no frame was borrowed")


def _square(artifact: Artifact) -> NDArray[np.float32]:
    """Corners of the artifact's pictures [their px]."""
    x, y = artifact.sizes["x"], artifact.sizes["y"]
    return np.asarray([(0, 0), (x, 0), (x, y), (0, y)], np.float32)


def _from_crop(
    transform: NDArray[np.float32], points: NDArray[np.float32]
) -> NDArray[np.float64] | None:
    """Points (n, 2) of a crop → of the frame; None where nothing was cut out."""
    linear = transform[:, :2].astype(np.float64)
    if abs(np.linalg.det(linear)) < 1e-9:
        return None
    return np.asarray(np.linalg.solve(linear, (points - transform[:, 2]).T).T)


_OVERLAYS: dict[str, tuple[str, str, Callable[[RunView, int], Iterator[Shape]]]] = {
    "landmarks": ("Landmarks", "landmarks", _landmarks),
    "mouth": ("Mouth, seen and wanted", "landmarks", _mouth),
    "boxes": ("Boxes of all faces", "faces", _boxes),
    "crop": ("Crop", "", _crop),
    "mask": ("Mask of the new mouth", "render", _mask),
    "fit": ("3D fit", "face_fit", _fit),
    "lender": ("Borrowed frame", "lenders", _lender),
}
"""Title, kind that is needed, and what draws it."""
