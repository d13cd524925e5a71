"""Mouths made of the speaker's own frames, one output frame at a time, with what polishes them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.arrays import Mesh, Mouth, Transform
from models.exemplar.polish import (
    Contours,
    References,
    SmallMask,
    SmallMouth,
    contours,
    correction,
    differences,
    mouth_squares,
    moved_points,
    network_inputs,
    polished,
    small_mask,
    small_mouth,
    warped_references,
)
from models.exemplar.render import (
    Donor,
    MouthRenderer,
    canonical_to_crop,
    mixed_mouths,
    mouth_displacement,
)
from models.exemplar.settings import RenderSettings
from models.faces.crop.crop import face_squares, to_crop
from models.faces.crop.lower_face import lower_face
from models.faces.crop.rendered import Rendered
from stores.artifacts.artifact import Artifact
from tasks.methods.polish_model import polish_network
from tasks.result.output_frames import scene_starts
from tasks.source.landmarks import load_pose, mean_face
from tasks.source.timeline import load_timeline

Kept = TypeVar("Kept")

_KEPT = 4
"""Frames whose mouth is kept: those around the one that is polished."""


@dataclass(frozen=True)
class Small:
    """A mouth as the polishing network sees it.

    Attributes:
        patch: RGB.
        mask: Where it is shown.
        lips: Where the lips are drawn.
        references: Other mouths of the person, warped to these lips.
    """

    patch: SmallMouth
    mask: SmallMask
    lips: Contours
    references: References


class _Last(Generic[Kept]):
    """The last few of what was made, by frame.

    A cache that knew who makes it would hold that one, and all pictures that it has read, until
    Python looks for garbage.
    """

    def __init__(self) -> None:
        self._made: dict[int, Kept] = {}

    def of(self, frame: int, make: Callable[[int], Kept]) -> Kept:
        if frame not in self._made:
            made = make(frame)
            if len(self._made) == _KEPT:
                del self._made[next(iter(self._made))]
            self._made[frame] = made
        return self._made[frame]


class BorrowedMouths:
    """The mouths of output frames, by their numbers.

    Args:
        lenders: Which frames lend.
        motion: The mouths that are wanted.
        landmarks: Of the source.
        timeline: Of the source.
        crops: Of the source's lower faces.
        mouths: `small_mouths`; None: nothing is polished.
        output_frames: Which source frame each shows.
        settings: Of the warp.
    """

    def __init__(
        self,
        lenders: Artifact,
        motion: Artifact,
        *,
        landmarks: Artifact,
        timeline: Artifact,
        crops: Artifact,
        mouths: Artifact | None,
        output_frames: Artifact,
        settings: RenderSettings,
    ) -> None:
        self._landmarks, self._crops, self._mouths = landmarks, crops, mouths
        self._lenders, self._motion, self._settings = lenders, motion, settings
        self.size = int(crops.attributes["crop_size_px"])
        self._renderer = MouthRenderer(mean_face(), size=self.size)
        self.source = output_frames.read("source_frame")
        cuts = load_timeline(timeline).scene_start
        self._starts = np.append(scene_starts(cuts, self.source), True)
        self._pose, self.transforms = load_pose(landmarks), crops.read("transform")
        first, second = lenders.read("first"), lenders.read("second")
        self._first, self._second = first, second
        self._weight, self.shown = lenders.read("weight"), lenders.read("opacity")
        self._squares = face_squares(self._pose, self.transforms)
        self._mouth = landmarks.read("mouth")
        lent = [first, second] if mouths is None else [first, second, lenders.read("near").ravel()]
        self._lent_points = self._read_points(np.unique(np.concatenate(lent)))
        self._own_points: dict[int, Mesh] = {}
        self._first_row = 0
        self._rendered, self._small = _Last[Rendered](), _Last[Small]()

    def begin(self, start: int, stop: int) -> None:
        """To be called before any of these frames is asked for."""
        around = slice(max(0, start - 1), min(stop + 1, len(self.source)))
        source, self._first_row = self.source[around], around.start
        self._own_points = self._read_points(np.unique(source))
        lent = (each[around] for each in (self._first, self._second, self._weight))
        self._moved = mouth_displacement(
            self._motion.read("mouth", around.start, around.stop),
            mixed_mouths(self._mouth, *lent),
            self._mouth[source],
            neutral=self._motion.read("neutral"),
            settings=self._settings,
        )
        self._linear = canonical_to_crop(self._pose.at(source), self.transforms[source])

    def rendered(self, frame: int) -> Rendered:
        """The mouth of a frame that shows one, as borrowed."""
        return self._rendered.of(frame, self._render)

    def small(self, frame: int) -> Small:
        """What the polishing network sees of it."""
        return self._small.of(frame, self._see)

    def polished(self, frame: int) -> Rendered:
        """The mouth of a frame that shows one, polished."""
        seen, rendered = self.small(frame), self.rendered(frame)
        before, after = (self._beside(frame, step) for step in (-1, 1))
        more = differences(seen.patch, seen.references, seen.mask)
        inputs = network_inputs(seen.patch, before, after, more, seen.lips, seen.mask)
        added = correction(polish_network()(inputs), more, seen.mask)
        return polished(rendered, added, self.mouth_squares[self.source[frame]])

    def _beside(self, frame: int, step: int) -> SmallMouth:
        """The mouth of the frame before or after, or the frame's own where there is none."""
        other = frame + step
        alone = self._starts[max(frame, other)] or self.shown[other] == 0
        return self.small(frame if alone else other).patch

    def _render(self, frame: int) -> Rendered:
        at, late = int(self.source[frame]), float(self._weight[frame])
        shares = [(int(self._first[frame]), 1 - late), (int(self._second[frame]), late)]
        return self._renderer.render(
            self._own_points[at],
            *self._motion_of(frame),
            square=self._squares[at],
            donors=[
                Donor(self._crop(lent), self._lent_points[lent], self._squares[lent], share)
                for lent, share in shares
                if share > 0
            ],
            opacity=float(self.shown[frame]),
        )

    def _motion_of(self, frame: int) -> tuple[Mouth, Transform]:
        """How far a frame's mouth moves, and the map of that to its crop."""
        row = frame - self._first_row
        return self._moved[row], self._linear[row]

    def _see(self, frame: int) -> Small:
        rendered, at = self.rendered(frame), int(self.source[frame])
        square, points = self.mouth_squares[at], self._own_points[at]
        moved, linear = self._motion_of(frame)
        near = self._near[frame].tolist()
        return Small(
            small_mouth(rendered.patch, square),
            small_mask(rendered.mask, square),
            contours(moved_points(points, moved, linear), square),
            warped_references(
                lower_face(mean_face()),
                points,
                moved,
                linear,
                square,
                [self._lent(each) for each in near],
            ),
        )

    def own_points(self, source: int) -> Mesh:
        """Landmarks of a source frame that was begun with [crop px]."""
        return self._own_points[source]

    def _read_points(self, frames: NDArray[np.int64]) -> dict[int, Mesh]:
        """Landmarks of source frames [crop px]."""
        points = to_crop(self._landmarks.read_rows("landmarks", frames), self.transforms[frames])
        return dict(zip(frames.tolist(), points, strict=True))

    def _crop(self, frame: int) -> NDArray[np.uint8]:
        crop: NDArray[np.uint8] = self._crops.read("crop", frame, frame + 1)[0]
        return crop

    def _lent(self, frame: int) -> tuple[SmallMouth, Mesh]:
        square, points = self.mouth_squares[frame], self._lent_points[frame]
        placed = np.column_stack([points[:, :2] @ square[:, :2].T + square[:, 2], points[:, 2]])
        return self._small_mouths[frame], np.asarray(placed, np.float32)

    @cached_property
    def mouth_squares(self) -> NDArray[np.float32]:
        return mouth_squares(self._pose, self.transforms)

    @cached_property
    def _near(self) -> NDArray[np.int32]:
        return self._lenders.read("near")

    @cached_property
    def _small_mouths(self) -> dict[int, SmallMouth]:
        assert self._mouths is not None
        frames = np.unique(self._near).astype(np.int64)
        return dict(zip(frames.tolist(), self._mouths.read_rows("mouth", frames), strict=True))
