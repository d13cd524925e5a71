"""Rendering: borrowed crops warped to the mouth shape that a frame shall show.

Each frame's patch is one borrowed crop (two during a cross-fade) warped onto the frame's own mesh
with the predicted mouth. The frame's own pixels around the jaw move along (`own_shift`), so the
chin is where the new mouth needs it, once, and the patch ends inside the face.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from models.arrays import (
    BankRows,
    Crop,
    FrameMask,
    FrameRows,
    FrameValues,
    Mesh,
    Mouth,
    Mouths,
    Transform,
    Transforms,
)
from models.exemplar.settings import RenderSettings
from models.exemplar.shapes import closure, lip_gap
from models.faces.crop.crop import pixel_matrix
from models.faces.crop.lower_face import lower_face
from models.faces.crop.rendered import PATCH_MARGIN, SHIFT_GRID, Rendered
from models.faces.crop.warp import active_box, part_of_field, rasterise, remap
from models.faces.mesh.align import Pose
from models.faces.mesh.indices import JAW, MOUTH

_Image = NDArray[np.uint8]

MAX_GRID = 128
"""Cells along a side of the warps' raster, at most."""

_CHIN = tuple(MOUTH.index(i) for i in (149, 176, 148, 152, 377, 400, 378))
_JAW = tuple(MOUTH.index(i) for i in JAW)
_MAX_CHIN_MOVE = 0.10
"""Farther than this [face heights] a chin moves only through a detector's mistake."""


@dataclass(frozen=True)
class Mix:
    """Which bank rows each frame shows: `first`, cross-faded with `second` by `weight`.

    Attributes:
        first: bank rows.
        second: bank rows, equal to `first` outside cross-fades.
        weight: 0..1, share of `second`.
    """

    first: FrameRows
    second: FrameRows
    weight: FrameValues


def mix_donors(path: FrameRows, run: BankRows, *, scene_start: FrameMask, fade_frames: int) -> Mix:
    """Cross-fade where the path jumps: both runs go on a little under the fade.

    Args:
        path: bank rows, as `choose_donors` gives.
        run: `Bank.run`.
        scene_start: true for the first frame after each cut; a cut is not faded.
        fade_frames: length of a fade [frames]; 0 for none.
    """
    second, weight = path.copy(), np.zeros(len(path), np.float32)
    if fade_frames == 0 or len(path) < 2:
        return Mix(path, second, weight)
    steps = np.diff(path)
    jump = (steps != 0) & ((steps != 1) | (run[path[1:]] != run[path[:-1]])) & ~scene_start[1:]
    before = fade_frames // 2
    for at in (np.flatnonzero(jump) + 1).tolist():
        for offset in range(-before, fade_frames - before):
            frame = at + offset
            if not 0 <= frame < len(path) or scene_start[min(frame, at) + 1 : max(frame, at)].any():
                continue
            share = abs(offset + 0.5) / (fade_frames + 1)
            side = path[at] if offset < 0 else path[at - 1]
            other = _walk(int(side), offset if offset < 0 else offset + 1, run)
            if 0.5 - share > weight[frame]:
                second[frame], weight[frame] = other, 0.5 - share
    return Mix(path, second, weight)


def _walk(row: int, steps: int, run: BankRows) -> int:
    """The bank row `steps` on from `row`, as far as its run goes."""
    stride = 1 if steps > 0 else -1
    for _ in range(abs(steps)):
        after = row + stride
        if not 0 <= after < len(run) or run[after] != run[row]:
            break
        row = after
    return row


def mixed_mouths(
    mouths: Float32[np.ndarray, "source_frame 57 3"],
    first: FrameRows,
    second: FrameRows,
    weight: FrameValues,
) -> Mouths:
    """The mouths that frames borrow, canonical: of two source frames, mixed by the second's weight.

    Args:
        mouths: of all source frames.
        first: source frame of each frame.
        second: source frame of each frame.
        weight: 0..1.
    """
    share = weight[:, None, None]
    return np.asarray((1 - share) * mouths[first] + share * mouths[second])


def mouth_displacement(
    wanted: Mouths,
    borrowed: Mouths,
    own: Mouths,
    *,
    neutral: Mouth,
    settings: RenderSettings | None = None,
) -> Mouths:
    """How far the frame's own mouth points move; all arguments and the result are canonical.

    Args:
        wanted: the predicted mouth.
        borrowed: the bank's mouths that the frames show (mixed by weight during cross-fades).
        own: the mouths that the frames had.
        neutral: the closed mouth.
        settings: how far the warp goes.

    The lips go to the borrowed shape plus `correction` of what it lacks, wholly so where lips shall
    be shut. Of the jaw only the chin's way up and down is taken over: the detector's
    contour slides along the face when the head turns, and following that would pull at the neck.
    """
    settings = settings or RenderSettings()
    rest_gap = float(lip_gap(neutral[None])[0])
    shut = closure(lip_gap(wanted), rest_gap)
    share = settings.correction + (1 - settings.correction) * shut
    lacking = wanted - borrowed
    length = np.linalg.norm(lacking, axis=-1, keepdims=True)
    lacking = lacking * np.minimum(1, settings.max_correction / np.maximum(length, 1e-6))
    final = borrowed + share[:, None, None] * lacking
    moved = final - own
    chin = np.median(final[:, _CHIN] - own[:, _CHIN], axis=1)
    chin[:, 0] = 0
    chin = np.clip(chin, -_MAX_CHIN_MOVE, _MAX_CHIN_MOVE)
    moved[:, _JAW] = chin[:, None]
    return np.asarray(moved, np.float32)


def canonical_to_crop(pose: Pose, transform: Transforms) -> Transforms:
    """Linear maps that take canonical displacements to crop px, from transforms frame → crop px."""
    projected = pose.scale[:, None, None] * pose.rotation[:, :2]
    return np.asarray(np.einsum("fij,fjk->fik", transform[:, :, :2], projected), np.float32)


@dataclass(frozen=True)
class Donor:
    """A frame that lends its mouth.

    Attributes:
        crop: RGB.
        landmarks: [crop px].
        square: where the aligned crop lies in it, one row of `face_squares`.
        share: 0..1, of what is seen.
    """

    crop: Crop
    landmarks: Mesh
    square: Transform
    share: float


class MouthRenderer:
    """Renders frames of one crop size.

    Args:
        mean_face: canonical.
        size: side of the crops [px].
    """

    def __init__(self, mean_face: Mesh, *, size: int) -> None:
        self._mesh, self._size = lower_face(mean_face), size
        self._grid = min(size // 2, MAX_GRID)
        self._taper = _edge_taper(self._grid)

    def render(
        self,
        target: Mesh,
        displacement: Mouth,
        to_crop: Transform,
        *,
        square: Transform,
        donors: Sequence[Donor],
        opacity: float = 1.0,
    ) -> Rendered:
        """One frame's patch, mask and own shift.

        Args:
            target: the frame's own landmarks [crop px].
            displacement: canonical, one row of `mouth_displacement`.
            to_crop: one row of `canonical_to_crop`.
            square: where the aligned crop lies in the frame's own, one row of `face_squares`.
            donors: one or more; their shares add up to 1.
            opacity: 0..1, for fading in and out; scales the displacement as well.
        """
        mesh = self._mesh
        own = self._vertices(target, square)
        moved = own.copy()
        # While fading, the new mouth also takes the old one's shape, so that lips never show twice.
        moved[: len(mesh.points)] += opacity * ((mesh.spread @ displacement) @ to_crop.T)
        behind = np.full(len(mesh.border), 1e6, np.float32)
        raster = rasterise(
            moved,
            mesh.triangles,
            depth=np.concatenate([target[mesh.points, 2], behind]),
            size=self._size,
            grid=self._grid,
        )
        # Displacements rather than positions: errors in slivers of triangles then stay small.
        columns = [mesh.mask[:, None], own - moved]
        columns += [self._vertices(each.landmarks, each.square) - moved for each in donors]
        values = raster.interpolate(np.concatenate(columns, axis=1))
        edge = self._edge(square)
        blur = 0.012 * self._grid * float(np.hypot(square[0, 0], square[1, 0])) / self._size
        alpha = cv2.GaussianBlur(values[0], (0, 0), blur) * edge
        own_shift = cv2.merge([values[1] * edge, values[2] * edge])
        small = cv2.resize(own_shift, (SHIFT_GRID, SHIFT_GRID), interpolation=cv2.INTER_AREA)
        whole = cv2.resize(alpha, (self._size, self._size), interpolation=cv2.INTER_LINEAR)
        mask = np.asarray(cv2.convertScaleAbs(whole, alpha=255 * opacity), np.uint8)
        patch = np.zeros((self._size, self._size, 3), np.uint8)
        box = active_box(mask, margin=PATCH_MARGIN)
        if box is not None:
            warped = [
                remap(
                    each.crop,
                    part_of_field(cv2.merge([x, y]), box, self._size),
                    box,
                    sharp=each.share >= 0.5,
                )
                for each, x, y in zip(donors, values[3::2], values[4::2], strict=True)
            ]
            box.of(patch)[...] = _mixed(warped, [each.share for each in donors])
        return Rendered(patch, mask, np.asarray(small, np.float32))

    def _vertices(self, landmarks: Mesh, square: Transform) -> Float32[np.ndarray, "vertex 2"]:
        """Of the mesh, in crop px."""
        border = self._mesh.border @ square[:, :2].T + square[:, 2]
        return np.concatenate([landmarks[self._mesh.points, :2], border])

    def _edge(self, square: Transform) -> Float32[np.ndarray, "grid grid"]:
        """The taper along the sides of the aligned crop, on the raster of this one; 0 outside."""
        cell = square * np.float32(self._grid / self._size)
        cell[:, :2] /= self._grid
        size = (self._grid, self._grid)
        return np.asarray(cv2.warpAffine(self._taper, pixel_matrix(cell), size), np.float32)


def _mixed(images: list[_Image], shares: list[float]) -> _Image:
    out = images[0]
    total = shares[0]
    for image, share in zip(images[1:], shares[1:], strict=True):
        total += share
        out = np.asarray(cv2.addWeighted(out, 1 - share / total, image, share / total, 0), np.uint8)
    return out


def _edge_taper(grid: int) -> Float32[np.ndarray, "{grid} {grid}"]:
    """1 inside, falling to 0 over the last 6 % before the border."""
    centre = (np.arange(grid) + 0.5) / grid
    inwards = np.clip(np.minimum(centre, 1 - centre) / 0.06 - 0.1, 0, 1)
    return np.minimum(inwards[:, None], inwards).astype(np.float32)
