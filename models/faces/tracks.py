"""Linking the faces found in each frame into tracks, and choosing the one to dub.

Convention: a detector pass gives up to `slot` meshes per frame in any order; empty slots have
score 0. Boxes are (x0, y0, x1, y1) in frame px (see `models.faces`). Linking needs the boxes alone,
so that a video of any length fits in memory: `face_boxes` turns the meshes of one range into boxes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, Int32, Int64
from numpy.typing import NDArray

from models.arrays import FrameMask, FrameRows, Meshes, Seconds

_Floats = NDArray[np.float32]
_Bools = NDArray[np.bool_]
_Times = NDArray[np.float64]

MAX_BLINK_S = 0.1
"""A face that is missed for longer starts a new track, which `models.faces.persons` may join."""

_PAST_THE_END_S = 1.0
"""A time so far behind the last frame's is of no frame."""

_STEADY_SCORE = 0.4
"""Link score from frame to frame below which a face jumped: by a quick move, or at an unseen cut.
It starts a new track, which `models.faces.persons` may join too."""

MIN_SCORE = 0.05
"""Link score below which two boxes are not the same face."""


def face_boxes(landmarks: Float32[np.ndarray, "*batch point 3"]) -> Float32[np.ndarray, "*batch 4"]:
    """Boxes around face meshes, both in frame px."""
    xy = landmarks[..., :2]
    return np.asarray(np.concatenate([xy.min(-2), xy.max(-2)], axis=-1), np.float32)


@dataclass(frozen=True)
class Track:
    """One face through time.

    Attributes:
        frames: in which it is seen, rising.
        slots: the detector's slot that holds it in each of them.
        boxes: x0, y0, x1, y1 [frame px] in each of them.
    """

    frames: Int64[np.ndarray, " seen"]
    slots: Int32[np.ndarray, " seen"]
    boxes: Float32[np.ndarray, "seen 4"]

    @classmethod
    def joined(cls, parts: Sequence["Track"]) -> "Track":
        """One track of several that share no frame."""
        frames = np.concatenate([part.frames for part in parts])
        order = np.argsort(frames)
        slots = np.concatenate([part.slots for part in parts])
        boxes = np.concatenate([part.boxes for part in parts])
        return cls(frames[order], slots[order], boxes[order])

    @property
    def area(self) -> float:
        """Of its boxes, summed over time [px x frames]: what `largest` compares."""
        sides = (self.boxes[:, 2:] - self.boxes[:, :2]).astype(np.float64)
        return float(sides.prod(axis=1).sum())

    def slot(self, frames: int) -> FrameRows:
        """The detector's slot in each of so many frames, -1 where the face is not seen."""
        slot = np.full(frames, -1, np.int32)
        slot[self.frames] = self.slots
        return slot

    def describe(self, time_s: Seconds) -> str:
        """When it is seen, where and how large."""
        x0, y0, x1, y1 = np.median(self.boxes, axis=0)
        return (
            f"seen in {len(self.frames)} frames from {time_s[self.frames[0]]:.2f} s to "
            f"{time_s[self.frames[-1]]:.2f} s, around x={(x0 + x1) / 2:.0f} y={(y0 + y1) / 2:.0f}, "
            f"{x1 - x0:.0f} px wide"
        )


@dataclass(eq=False)
class _Growing:
    """A track while its frames are read."""

    frames: list[int] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    boxes: list[_Floats] = field(default_factory=list)

    def add(self, frame: int, slot: int, box: _Floats) -> None:
        self.frames.append(frame)
        self.slots.append(slot)
        self.boxes.append(box)

    def lost(self, frame: int, time_s: _Times) -> bool:
        last = self.frames[-1]
        return last < frame - 1 and bool(time_s[frame] - time_s[last] > MAX_BLINK_S)

    def done(self) -> Track:
        return Track(
            np.array(self.frames, np.int64),
            np.array(self.slots, np.int32),
            np.array(self.boxes, np.float32),
        )


def link_faces(
    boxes: Float32[np.ndarray, "frame slot 4"],
    scores: Float32[np.ndarray, "frame slot"],
    *,
    scene_start: FrameMask,
    time_s: Seconds,
) -> list[Track]:
    """Link per-frame faces into tracks without interruption.

    Args:
        boxes: x0, y0, x1, y1 [frame px].
        scores: 0 for an empty slot, up to 1.
        scene_start: true for the first frame after each cut.
        time_s: presentation times [s], rising.

    Returns:
        Tracks that end at cuts and where the face is gone; by their first frames, then by slots.
    """
    done: list[_Growing] = []
    live: list[_Growing] = []
    for frame in range(len(boxes)):
        stale = [track for track in live if scene_start[frame] or track.lost(frame, time_s)]
        done += stale
        live = [track for track in live if track not in stale]
        slots = [int(slot) for slot in np.flatnonzero(scores[frame] > 0)]
        pairs = sorted(
            (
                (link_score(track.boxes[-1], boxes[frame, slot]), number, slot)
                for number, track in enumerate(live)
                for slot in slots
            ),
            reverse=True,
        )
        taken: set[int] = set()
        free = set(slots)
        for score, number, slot in pairs:
            if score >= _STEADY_SCORE and number not in taken and slot in free:
                live[number].add(frame, slot, boxes[frame, slot])
                taken.add(number)
                free.discard(slot)
        for slot in sorted(free):
            track = _Growing()
            track.add(frame, slot, boxes[frame, slot])
            live.append(track)
    tracks = [track.done() for track in done + live]
    return sorted(tracks, key=lambda track: (track.frames[0], track.slots[0]))


def link_score(a: Float32[np.ndarray, " 4"], b: Float32[np.ndarray, " 4"]) -> float:
    """Overlap 0..1 of two boxes; a little for near ones of like size, as after a quick move."""
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    area_a, area_b = (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])
    shared = max(0.0, wide) * max(0.0, high)
    overlap = float(shared / max(area_a + area_b - shared, 1e-6))
    if overlap >= MIN_SCORE:
        return overlap
    return MIN_SCORE if _near(a, b) else 0.0


def _near(a: _Floats, b: _Floats) -> bool:
    """Whether sizes differ by less than 1.6x and centres by less than 0.8 box sizes."""
    size_a, size_b = max(a[2] - a[0], a[3] - a[1]), max(b[2] - b[0], b[3] - b[1])
    distance = np.hypot(a[0] + a[2] - b[0] - b[2], a[1] + a[3] - b[1] - b[3]) / 2
    ratio = max(size_a, size_b) / max(min(size_a, size_b), 1e-6)
    return bool(ratio < 1.6 and distance < 0.8 * max(size_a, size_b))


def choose_track(tracks: Sequence[Track], face: str = "largest", *, time_s: Seconds) -> int:
    """The index of the track that a user means.

    Args:
        tracks: of persons, largest first.
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
    exist = "; ".join(
        f"track:{index} {track.describe(time_s)}" for index, track in enumerate(tracks[:8])
    )
    if number := re.fullmatch(r"track:(\d+)", face):
        index = int(number[1])
        if index >= len(tracks):
            raise ValueError(f"there is no {face}; the video has {exist}")
        return index
    decimal = r"(\d+(?:\.\d+)?)"
    if place := re.fullmatch(rf"{decimal},{decimal}@{decimal}", face):
        x, y, seconds = (float(part) for part in place.groups())
        if len(time_s) > 1 and seconds > time_s[-1] + _PAST_THE_END_S:
            raise ValueError(f"the last frame is shown at {time_s[-1]:.2f} s")
        at = _track_at(tracks, x, y, frame=int(np.abs(time_s - seconds).argmin()))
        if at is None:
            raise ValueError(f"no face lies at {face}; the video has {exist}")
        return at
    raise ValueError(f"a face is named by largest, track:N or x,y@seconds, got {face!r}")


def _track_at(tracks: Sequence[Track], x: float, y: float, *, frame: int) -> int | None:
    distances: dict[int, float] = {}
    for index, track in enumerate(tracks):
        for x0, y0, x1, y1 in track.boxes[track.frames == frame]:
            beside = max(x0 - x, x - x1, 0), max(y0 - y, y - y1, 0)
            distances[index] = float(np.hypot(*beside) / max(x1 - x0, 1))
    best = min(distances, key=lambda index: distances[index], default=None)
    return best if best is not None and distances[best] < 0.5 else None


def gather_track(
    landmarks: Float32[np.ndarray, "frame slot 478 3"], slot: FrameRows
) -> tuple[Meshes, FrameMask]:
    """The chosen face out of the meshes of some frames.

    Args:
        landmarks: all faces' meshes [frame px].
        slot: `Track.slot` of the same frames.

    Returns:
        The face's mesh [frame px], zeros where it is not seen, and whether it is.
    """
    valid = slot >= 0
    chosen = landmarks[np.arange(len(slot)), np.maximum(slot, 0)]
    return np.where(valid[:, None, None], chosen, 0).astype(np.float32), valid
