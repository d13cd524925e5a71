"""Linking the faces found in each frame into tracks, and choosing the one to dub.

Convention: a detector pass gives up to `slot` meshes per frame in any order; empty slots have
score 0. Boxes are (x0, y0, x1, y1) in frame px (see `models.faces`). Linking needs the boxes alone,
so that a video of any length fits in memory: `face_boxes` turns the meshes of one range into boxes.
"""

import re
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32
from numpy.typing import NDArray

_Floats = NDArray[np.float32]
_Bools = NDArray[np.bool_]
_Times = NDArray[np.float64]

MAX_GAP_S = 0.5
"""A face that is gone for longer starts a new piece of track."""

_MIN_SCORE = 0.05
"""Link score below which two boxes are not the same face."""


def face_boxes(
    landmarks: Float32[np.ndarray, "*batch point 3"],
) -> Float32[np.ndarray, "*batch 4"]:
    """Boxes around face meshes, both in frame px."""
    xy = landmarks[..., :2]
    return np.asarray(np.concatenate([xy.min(-2), xy.max(-2)], axis=-1), np.float32)


@dataclass(frozen=True)
class Tracks:
    """Faces through time, largest first: track 0 is what `--face largest` means.

    Attributes:
        slot: the detector's slot holding this face, -1 where it is not seen.
        boxes: x0, y0, x1, y1 [frame px]; zeros where it is not seen.
    """

    slot: Int32[np.ndarray, "track frame"]
    boxes: Float32[np.ndarray, "track frame 4"]

    def __post_init__(self) -> None:
        if self.boxes.shape != (*self.slot.shape, 4):
            raise ValueError(
                f"tracks of slots {self.slot.shape} need boxes {(*self.slot.shape, 4)}, "
                f"got {self.boxes.shape}"
            )

    def __len__(self) -> int:
        return len(self.slot)

    def describe(self, time_s: Float64[np.ndarray, " frame"]) -> list[str]:
        """One line per track: number, when it is seen, where and how large."""
        lines = []
        for index, (slot, boxes) in enumerate(zip(self.slot, self.boxes, strict=True)):
            seen = np.flatnonzero(slot >= 0)
            x0, y0, x1, y1 = np.median(boxes[seen], axis=0)
            lines.append(
                f"track:{index} seen in {len(seen)} frames from {time_s[seen[0]]:.2f} s to "
                f"{time_s[seen[-1]]:.2f} s, around x={(x0 + x1) / 2:.0f} y={(y0 + y1) / 2:.0f}, "
                f"{x1 - x0:.0f} px wide"
            )
        return lines


@dataclass
class _Piece:
    """One face without interruption: inside one scene, gaps of MAX_GAP_S at most."""

    frames: list[int] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    area: float = 0.0
    box: _Floats = field(default_factory=lambda: np.zeros(4, np.float32))

    def add(self, frame: int, slot: int, box: _Floats) -> None:
        self.frames.append(frame)
        self.slots.append(slot)
        self.area += float((box[2] - box[0]) * (box[3] - box[1]))
        self.box = box


def link_faces(
    boxes: Float32[np.ndarray, "frame slot 4"],
    scores: Float32[np.ndarray, "frame slot"],
    *,
    scene_start: Bool[np.ndarray, " frame"],
    time_s: Float64[np.ndarray, " frame"],
) -> Tracks:
    """Link per-frame faces into tracks.

    Args:
        boxes: x0, y0, x1, y1 [frame px].
        scores: 0 for an empty slot, up to 1.
        scene_start: true for the first frame after each cut.
        time_s: presentation times [s], rising.

    Returns:
        Tracks, largest (by area summed over time) first; none if no slot is filled. Inside a scene
        a face that comes back at a like size and place continues its track. After a cut faces are
        matched by their order of size, since nothing else is known of them.
    """
    pieces = _link_pieces(boxes, scores, scene_start, time_s)
    scene = np.cumsum(scene_start.astype(np.int32))
    tracks: list[list[_Piece]] = []
    for scene_pieces in _by_scene(pieces, scene):
        for rank, group in enumerate(_join_pieces(scene_pieces)):
            if rank == len(tracks):
                tracks.append([])
            tracks[rank] += group
    tracks.sort(key=lambda group: -sum(piece.area for piece in group))
    slot = np.full((len(tracks), len(boxes)), -1, np.int32)
    for index, group in enumerate(tracks):
        for piece in group:
            slot[index, piece.frames] = piece.slots
    rows = np.arange(len(boxes))
    track_boxes = boxes[rows, np.maximum(slot, 0)] * (slot >= 0)[..., None]
    return Tracks(slot, track_boxes.astype(np.float32).reshape(*slot.shape, 4))


def _link_pieces(
    boxes: _Floats, scores: _Floats, scene_start: _Bools, time_s: _Times
) -> list[_Piece]:
    done: list[_Piece] = []
    live: list[_Piece] = []
    for frame in range(len(boxes)):
        stale = [
            piece
            for piece in live
            if scene_start[frame] or time_s[frame] - time_s[piece.frames[-1]] > MAX_GAP_S
        ]
        done += stale
        live = [piece for piece in live if piece not in stale]
        slots = [int(slot) for slot in np.flatnonzero(scores[frame] > 0)]
        pairs = sorted(
            (
                (_link_score(piece.box, boxes[frame, slot]), p, slot)
                for p, piece in enumerate(live)
                for slot in slots
            ),
            reverse=True,
        )
        taken: set[int] = set()
        free = set(slots)
        for score, p, slot in pairs:
            if score >= _MIN_SCORE and p not in taken and slot in free:
                live[p].add(frame, slot, boxes[frame, slot])
                taken.add(p)
                free.discard(slot)
        for slot in sorted(free):
            piece = _Piece()
            piece.add(frame, slot, boxes[frame, slot])
            live.append(piece)
    return done + live


def _link_score(a: _Floats, b: _Floats) -> float:
    """Overlap 0..1 of two boxes; a little for near ones of like size, as after a quick move."""
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    area_a, area_b = (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])
    shared = max(0.0, wide) * max(0.0, high)
    overlap = float(shared / max(area_a + area_b - shared, 1e-6))
    if overlap >= _MIN_SCORE:
        return overlap
    return _MIN_SCORE if _alike(a, b, reach=0.8) else 0.0


def _alike(a: _Floats, b: _Floats, *, reach: float) -> bool:
    """Whether sizes differ by less than 1.6x and centres by less than `reach` box sizes."""
    size_a, size_b = max(a[2] - a[0], a[3] - a[1]), max(b[2] - b[0], b[3] - b[1])
    distance = np.hypot(a[0] + a[2] - b[0] - b[2], a[1] + a[3] - b[1] - b[3]) / 2
    ratio = max(size_a, size_b) / max(min(size_a, size_b), 1e-6)
    return bool(ratio < 1.6 and distance < reach * max(size_a, size_b))


def _by_scene(pieces: list[_Piece], scene: NDArray[np.int_]) -> list[list[_Piece]]:
    grouped: dict[int, list[_Piece]] = {}
    for piece in pieces:
        grouped.setdefault(int(scene[piece.frames[0]]), []).append(piece)
    return [grouped[key] for key in sorted(grouped)]


def _join_pieces(pieces: list[_Piece]) -> list[list[_Piece]]:
    """Pieces of one scene that can be one face in turn, largest group first."""
    groups: list[list[_Piece]] = []
    for piece in sorted(pieces, key=lambda p: -p.area):
        for group in groups:
            apart = all(
                piece.frames[0] > other.frames[-1] or piece.frames[-1] < other.frames[0]
                for other in group
            )
            if apart and _alike(piece.box, group[0].box, reach=3.0):
                group.append(piece)
                break
        else:
            groups.append([piece])
    return sorted(groups, key=lambda group: -sum(piece.area for piece in group))


def choose_track(
    tracks: Tracks, face: str = "largest", *, time_s: Float64[np.ndarray, " frame"]
) -> int:
    """The index of the track that a user means.

    Args:
        tracks: of `link_faces`.
        face: `largest`, `track:N`, or `x,y@seconds`: the face at that pixel of the upright frame
            at that time.
        time_s: presentation times [s].

    Raises:
        ValueError: no such face; the message lists those that exist. Also for other texts.
    """
    if len(tracks) == 0:
        raise ValueError(f"no face was found in any of the {len(time_s)} frames")
    if face == "largest":
        return 0
    exist = "; ".join(tracks.describe(time_s)[:8])
    if number := re.fullmatch(r"track:(\d+)", face):
        index = int(number[1])
        if index >= len(tracks):
            raise ValueError(f"there is no {face}; the video has {exist}")
        return index
    decimal = r"(\d+(?:\.\d+)?)"
    if place := re.fullmatch(rf"{decimal},{decimal}@{decimal}", face):
        x, y, seconds = (float(part) for part in place.groups())
        at = _track_at(tracks, x, y, frame=int(np.abs(time_s - seconds).argmin()))
        if at is None:
            raise ValueError(f"no face lies at {face}; the video has {exist}")
        return at
    raise ValueError(f"a face is named by largest, track:N or x,y@seconds, got {face!r}")


def _track_at(tracks: Tracks, x: float, y: float, *, frame: int) -> int | None:
    seen = tracks.slot[:, frame] >= 0
    x0, y0, x1, y1 = tracks.boxes[:, frame].T
    beside = np.maximum(np.maximum(x0 - x, x - x1), 0), np.maximum(np.maximum(y0 - y, y - y1), 0)
    distance = np.where(seen, np.hypot(*beside) / np.maximum(x1 - x0, 1), np.inf)
    best = int(distance.argmin())
    return best if distance[best] < 0.5 else None


def gather_track(
    landmarks: Float32[np.ndarray, "frame slot 478 3"], slot: Int32[np.ndarray, " frame"]
) -> tuple[Float32[np.ndarray, "frame 478 3"], Bool[np.ndarray, " frame"]]:
    """The chosen face out of the meshes of some frames.

    Args:
        landmarks: all faces' meshes [frame px].
        slot: `Tracks.slot[index]` of the same frames.

    Returns:
        The face's mesh [frame px], zeros where it is not seen, and whether it is.
    """
    valid = slot >= 0
    chosen = landmarks[np.arange(len(slot)), np.maximum(slot, 0)]
    return np.where(valid[:, None, None], chosen, 0).astype(np.float32), valid
