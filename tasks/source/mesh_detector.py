"""Finding faces in frames: the only module of Dubflow's own rooms that imports mediapipe.

Three networks of MediaPipe are used, from models/face_mesh: the full-range detector finds faces,
the face mesh with attention reads 478 points from a square, upright region of 192 x 192 px around
each. The region follows the previous frame's points, so the detector runs only now and then. A mesh
is laid on anything, with a high score; so the short-range detector looks for a face in the same
region, and its key points must lie where the mesh has them. Faces that lie on a side or head down
are searched in the turned frame where no upright one is found.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, cached_property
from types import ModuleType
from typing import Any, Protocol, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from stores.media.frame import Frame
from stores.media.pixels import warped
from stores.shipped import shipped_file

os.environ.setdefault("GLOG_minloglevel", "3")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

MESH_SIZE = 192
"""Side of the mesh network's input [px]; other sizes would be resampled once more inside."""

REGION_MARGIN = 1.5
"""Side of the mesh region over the longer side of the points' box (as the network was trained)."""

MIN_FACE_PX = 24
"""Faces narrower than this have no readable mouth."""

MAX_DISAGREEMENT = 0.13
"""Farthest key point of the detector from the mesh's, in face widths. On frames of 33 real clips
with hands, turned heads and laughter it is 0.02 to 0.10, on meshes laid across sideways or upside
down faces 0.16 to 0.62."""

_CHECK_EVERY = 3
"""Frames between two checks of a face that is followed; a third of the mesh's time each."""

_KEY_POINTS = ((33, 133, 159, 145), (263, 362, 386, 374), (1,), (13, 14))
"""Mesh points whose means are the detector's: the subject's right and left eye, nose tip, mouth."""

_TURNS = (0, 1, 3, 2)
"""Quarter turns against the clock in which faces are searched, one after the other."""

_MIN_TURNED_SCORE = 0.8
"""Of the detector, for a new face in a turned frame: on real faces it is 0.83 or more, while
lettering that lies on a side reaches 0.7."""

_THOROUGH_EVERY = 4
"""While no face is seen, every so many frames are searched in tiles and turned: most frames without
a face come in long stretches."""

_LEFT_EYE, _RIGHT_EYE = 263, 33
"""Outer eye corners: the line that turns the region upright."""

_stderr_lock = threading.Lock()
"""Two threads that save and restore descriptor 2 in turns would leave it silent for good."""


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Drop what native code writes to file descriptor 2: start-up notes of TFLite and absl."""
    with _stderr_lock:
        sys.stderr.flush()
        saved = os.dup(2)
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(null, 2)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            os.close(null)


class MeshNetwork:
    """478 points and a presence score from one 192 x 192 face image.

    The network is run as an image embedder: that task gives it the whole picture, and what comes
    out as numbers. MediaPipe's face landmarker would look for a face first, and make an object of
    each point.
    """

    def __init__(self) -> None:
        self._network = _vision().ImageEmbedder.create_from_options(
            _vision().ImageEmbedderOptions(base_options=_model("face_mesh"))
        )

    def __call__(self, image: Image) -> tuple[Floats, float]:
        """image: (192, 192, 3) uint8 RGB -> points (478, 3) in px of the image, score 0..1."""
        numbers = self._network.embed(_picture(image)).embeddings[0].embedding
        return np.asarray(numbers[:-1], np.float32).reshape(478, 3), float(numbers[-1])

    def close(self) -> None:
        self._network.close()


class _FaceFinder:
    """One of the two detectors."""

    def __init__(self, name: str) -> None:
        self._network = _vision().FaceDetector.create_from_options(
            _vision().FaceDetectorOptions(_model(name), min_detection_confidence=0.5)
        )

    def __call__(self, image: Image) -> list[Any]:
        """image: (h, w, 3) uint8 RGB -> MediaPipe's detections."""
        return list(self._network.detect(_picture(image)).detections)

    def close(self) -> None:
        self._network.close()


@cache
def _vision() -> Any:
    with _drawing_nothing():
        from mediapipe.tasks.python import vision

        return vision


@contextmanager
def _drawing_nothing() -> Iterator[None]:
    """Lets MediaPipe be imported without Matplotlib, which only its drawing functions need: 2 s."""
    names = [name for name in ("matplotlib", "matplotlib.pyplot") if name not in sys.modules]
    sys.modules |= {name: ModuleType(name) for name in names}
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


def _model(name: str) -> Any:
    from mediapipe.tasks.python import BaseOptions

    content = shipped_file(f"models/face_mesh/{name}.tflite").read_bytes()
    return BaseOptions(model_asset_buffer=content)


def _picture(image: Image) -> Any:
    import mediapipe

    return mediapipe.Image(mediapipe.ImageFormat.SRGB, np.ascontiguousarray(image))


_Network = TypeVar("_Network", MeshNetwork, _FaceFinder)


def _started(make: Callable[[], _Network]) -> _Network:
    """The network after its first picture: it writes its notes then, and nobody sees them."""
    with _silent_stderr():
        network = make()
        network(np.zeros((MESH_SIZE, MESH_SIZE, 3), np.uint8))
        return network


def mesh_network() -> MeshNetwork:
    """The network, started."""
    return _started(MeshNetwork)


class View(Protocol):
    """A picture in which faces are searched; only what is asked for is converted."""

    width: int
    height: int

    def whole(self) -> Image:
        """All of it, (height, width, 3) uint8 RGB."""

    def scaled(self, x0: int, y0: int, x1: int, y1: int, width: int, height: int) -> Image:
        """A rectangle of it scaled to (height, width, 3) uint8 RGB."""

    def square(self, region: Floats) -> Image:
        """A square as (192, 192, 3) uint8 RGB, averaged where it shrinks; black beyond the picture.

        Args:
            region: Affine (2, 3), px of the square (0..192) -> px of the picture.
        """


class RgbView:
    """A picture (h, w, 3) uint8 RGB."""

    def __init__(self, rgb: Image) -> None:
        self._rgb = rgb
        self.height, self.width = rgb.shape[:2]

    def whole(self) -> Image:
        return self._rgb

    def scaled(self, x0: int, y0: int, x1: int, y1: int, width: int, height: int) -> Image:
        part = self._rgb[y0:y1, x0:x1]
        if part.shape[:2] == (height, width):
            return part
        return np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA), np.uint8)

    def square(self, region: Floats) -> Image:
        to_centres = region.astype(np.float64)
        to_centres[:, 2] -= 0.5
        return np.asarray(warped(self._rgb, to_centres, MESH_SIZE, 0), np.uint8)


class FrameView:
    """A frame of a video, scaled down so that its longer side is at most some px."""

    def __init__(self, frame: Frame, max_side: int) -> None:
        self._frame = frame
        scale = min(1.0, max_side / max(frame.width, frame.height))
        self.width = max(1, round(frame.width * scale))
        self.height = max(1, round(frame.height * scale))

    @property
    def to_frame(self) -> Floats:
        """Factors (x, y) from its px to the frame's."""
        frame = self._frame
        return np.array([frame.width / self.width, frame.height / self.height], np.float32)

    def whole(self) -> Image:
        return self._whole

    @cached_property
    def _whole(self) -> Image:
        frame = self._frame
        return frame.scaled_rgb(0, 0, frame.width, frame.height, self.width, self.height)

    def scaled(self, x0: int, y0: int, x1: int, y1: int, width: int, height: int) -> Image:
        x, y = self.to_frame.tolist()
        corners = (round(x0 * x), round(y0 * y), round(x1 * x), round(y1 * y))
        return self._frame.scaled_rgb(*corners, width, height)

    def square(self, region: Floats) -> Image:
        return self._frame.warped_rgb(region * self.to_frame[:, None], MESH_SIZE)


class FaceMeshDetector:
    """Meshes of all faces of a frame, following each from frame to frame.

    Args:
        max_faces: most faces a frame may give, largest first.
        min_score: presence score (0..1) under which a face counts as lost.
        search_every: frames between two searches for further faces while at least one is followed.
        find_boxes: finds boxes (x0, y0, x1, y1) [px] in a frame, in place of the wheel's detectors.
    """

    def __init__(
        self,
        *,
        max_faces: int = 4,
        min_score: float = 0.5,
        search_every: int = 15,
        find_boxes: Callable[[Image], list[Floats]] | None = None,
    ) -> None:
        if not 1 <= max_faces <= 16:
            raise ValueError(f"max_faces must be 1 to 16, got {max_faces}")
        self._max_faces, self._min_score, self._search_every = max_faces, min_score, search_every
        self._find_boxes = find_boxes
        self._mesh = mesh_network()
        self._far = _started(lambda: _FaceFinder("face_detection_full_range_sparse"))
        self._near = _started(lambda: _FaceFinder("face_detection_short_range"))
        self.reset()

    def reset(self) -> None:
        """Forget the faces followed so far: at a cut, or where another range of frames starts."""
        self._followed: list[Floats] = []
        self._frames_since_search = self._search_every
        self._frames_without = 0
        self._frames_since_check = 0

    def close(self) -> None:
        self._mesh.close()
        self._far.close()
        self._near.close()

    def detect(self, view: View) -> tuple[Floats, Floats]:
        """Faces of the next frame.

        Args:
            view: the frame, upright.

        Returns:
            landmarks (k, 478, 3) float32 [px], largest face first, and scores (k,) float32 0..1;
            k may be 0.
        """
        found: list[tuple[Floats, float]] = []
        self._frames_since_check = (self._frames_since_check + 1) % _CHECK_EVERY
        for points in self._followed:
            face = self._read(view, mesh_region(points))
            if face is not None and (self._frames_since_check or self._agrees(view, face[0])):
                self._add(found, face)
        self._frames_since_search += 1
        lost = len(found) < len(self._followed)
        if lost or not found or self._frames_since_search >= self._search_every:
            self._frames_since_search = 0
            for turn in _TURNS if self._frames_without % _THOROUGH_EVERY == 0 else _TURNS[:1]:
                if not (turn and found):
                    boxes = self._search(_turned(view, turn), thorough=not found)
                    self._read_boxes(view, boxes, found, turn=turn)
        self._frames_without = 0 if found else self._frames_without + 1
        found.sort(key=lambda face: -_area(_box(face[0])))
        found = found[: self._max_faces]
        self._followed = [points for points, _ in found]
        landmarks = np.zeros((len(found), 478, 3), np.float32)
        for slot, (points, _) in enumerate(found):
            landmarks[slot] = points
        return landmarks, np.array([score for _, score in found], np.float32)

    def _read_boxes(
        self, view: View, boxes: list[Floats], found: list[tuple[Floats, float]], *, turn: int
    ) -> None:
        """Append the faces in boxes [px of the turned frame], where none is known yet."""
        for box in boxes:
            if not turn and any(_overlap(box, _box(points)) > 0.3 for points, _ in found):
                continue
            first = self._read(view, _region_of_detection(box, turn, (view.height, view.width)))
            if first is None:
                continue
            face = self._read(view, mesh_region(first[0]))  # the region that later frames will use
            least = _MIN_TURNED_SCORE if turn else 0.0
            if face is not None and self._agrees(view, face[0], first=True, least=least):
                self._add(found, face)

    def _agrees(
        self, view: View, points: Floats, *, first: bool = False, least: float = 0.0
    ) -> bool:
        """Whether the detector sees a face in the mesh's region, with eyes, nose and mouth alike.

        Args:
            first: the face is new, and has to look more like one than turned by 90 or 180 degrees:
                both networks read a face into one that stands on its head.
            least: score (0..1) of the detector that is needed.
        """
        region = mesh_region(points)
        cut = view.square(region)
        to_region = cv2.invertAffineTransform(region)
        here = points[:, :2] @ to_region[:, :2].T + to_region[:, 2]
        mesh = np.stack([here[list(each)].mean(0) for each in _KEY_POINTS])
        bound = MAX_DISAGREEMENT * float(np.ptp(here[:, 0]))
        seen = self._near(cut)
        apart = [np.linalg.norm(_key_points(each) - mesh, axis=1).max() for each in seen]
        if min(apart, default=np.inf) > bound:
            return False
        turned = [np.ascontiguousarray(np.rot90(cut, turn)) for turn in _TURNS[1:] if first]
        others = [_best_score(self._near(each)) for each in turned]
        return _best_score(seen) > max(others, default=0.0) and _best_score(seen) >= least

    def _add(self, found: list[tuple[Floats, float]], face: tuple[Floats, float] | None) -> None:
        """Append a face unless it is one that is there already."""
        if face is None:
            return
        box = _box(face[0])
        if all(_overlap(box, _box(points)) < 0.4 for points, _ in found):
            found.append(face)

    def _read(self, view: View, region: Floats) -> tuple[Floats, float] | None:
        """The mesh inside a square region (2, 3): affine, region pixels (0..192) -> frame [px]."""
        side = float(np.hypot(region[0, 0], region[1, 0])) * MESH_SIZE
        if side < MIN_FACE_PX:
            return None
        points, score = self._mesh(view.square(region))
        if score < self._min_score:
            return None
        out = points.copy()
        out[:, :2] = out[:, :2] @ region[:, :2].T + region[:, 2]
        out[:, 2] *= side / MESH_SIZE
        box = _box(out)
        centre = (box[:2] + box[2:]) / 2
        if not (0 <= centre[0] < view.width and 0 <= centre[1] < view.height):
            return None
        if box[2] - box[0] < MIN_FACE_PX:
            return None
        return out, score

    def _search(self, view: View, *, thorough: bool) -> list[Floats]:
        """Boxes (x0, y0, x1, y1) [px] of faces, from the whole frame and from square tiles."""
        if self._find_boxes is not None:
            return self._find_boxes(view.whole())[: self._max_faces]
        h, w = view.height, view.width
        boxes = self._boxes(self._far, view, 0, 0, w, h)
        if not boxes:
            boxes = self._boxes(self._near, view, 0, 0, w, h)
        # Tiles see small faces of wide frames.
        tiles = not thorough or self._frames_without % _THOROUGH_EVERY == 0
        side = min(h, w)
        if tiles and not (boxes and thorough) and max(h, w) > side * 1.2 and side > MESH_SIZE:
            n = int(np.ceil((max(h, w) - side) / (0.7 * side))) + 1
            for start in np.linspace(0, max(h, w) - side, n).astype(int).tolist():
                x, y = (0, start) if h > w else (start, 0)
                boxes += self._boxes(self._far, view, x, y, x + side, y + side)
        kept: list[Floats] = []
        for box in sorted(boxes, key=lambda b: -_area(b)):
            if all(_overlap(box, other) < 0.3 for other in kept):
                kept.append(box)
        return kept[: self._max_faces]

    def _boxes(
        self, finder: _FaceFinder, view: View, x0: int, y0: int, x1: int, y1: int
    ) -> list[Floats]:
        """Boxes that a detector finds in a rectangle of the picture [px of the picture]."""
        w, h = x1 - x0, y1 - y0
        scale = min(1.0, 2 * MESH_SIZE / max(h, w))
        size = (max(1, round(w * scale)), max(1, round(h * scale)))
        to_view = np.array([w, h] * 2) / np.array(size * 2)
        boxes = []
        for detection in finder(view.scaled(x0, y0, x1, y1, *size)):
            b = detection.bounding_box
            left, top = b.origin_x, b.origin_y
            box = np.array([left, top, left + b.width, top + b.height])
            boxes.append(np.asarray(box * to_view + [x0, y0, x0, y0], np.float32))
        return boxes


def _turned(view: View, quarters: int) -> View:
    """The picture turned against the clock."""
    return RgbView(np.ascontiguousarray(np.rot90(view.whole(), quarters))) if quarters else view


def _square(centre: Floats, side: float, angle: float) -> Floats:
    """Affine (2, 3) from region pixels (0..192) to frame pixels."""
    c, s = np.cos(angle) * side / MESH_SIZE, np.sin(angle) * side / MESH_SIZE
    linear = np.array([[c, -s], [s, c]], np.float32)
    offset = centre - linear @ np.full(2, MESH_SIZE / 2, np.float32)
    return np.asarray(np.concatenate([linear, offset[:, None]], axis=1), np.float32)


def mesh_region(points: Floats) -> Floats:
    """The square that the network reads a face in whose points (478, 3) [frame px] are known.

    It is turned so that the eyes lie level.

    Returns:
        Affine (2, 3) float32, px of the network's input (0..MESH_SIZE) -> frame px.
    """
    eyes = points[_LEFT_EYE, :2] - points[_RIGHT_EYE, :2]
    box = _box(points)
    side = REGION_MARGIN * float(max(box[2] - box[0], box[3] - box[1]))
    return _square((box[:2] + box[2:]) / np.float32(2), side, float(np.arctan2(eyes[1], eyes[0])))


def _region_of_detection(box: Floats, turn: int, shape: tuple[int, ...]) -> Floats:
    """The square around a box of the frame that was turned by so many quarters, in frame px."""
    side = REGION_MARGIN * 1.1 * float(max(box[2] - box[0], box[3] - box[1]))
    (h, w), (x, y) = shape[:2], (box[:2] + box[2:]) / 2
    centre = ((x, y), (w - y, x), (w - x, h - y), (y, h - x))[turn]
    return _square(np.array(centre, np.float32), side, turn * np.pi / 2)


def _key_points(detection: Any) -> Floats:
    """Eyes, nose tip and mouth (4, 2) of a detection in a region [px of the region]."""
    found = detection.keypoints[: len(_KEY_POINTS)]
    return np.array([(point.x, point.y) for point in found], np.float32) * MESH_SIZE


def _best_score(detections: Sequence[Any]) -> float:
    return max((float(each.categories[0].score) for each in detections), default=0.0)


def _box(points: Floats) -> Floats:
    return np.concatenate([points[:, :2].min(0), points[:, :2].max(0)])


def _area(box: Floats) -> float:
    return float(max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1]))


def _overlap(a: Floats, b: Floats) -> float:
    """Intersection over union."""
    inner = np.concatenate([np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])])
    shared = _area(inner) if (inner[2:] > inner[:2]).all() else 0.0
    return shared / max(_area(a) + _area(b) - shared, 1e-6)
