"""A number in new mouths that nobody sees: light and dark cells that change places.

Spread spectrum in space and time. 36 x 36 cells lie over the aligned lower face (`models.faces`),
so that they move, turn and scale with it: a file that was scaled, cropped or encoded anew has them
where its own face mesh says. What was there before does not change places every 0.2 s, so that
adding up frames with these signs takes it out; time is counted in seconds, so that frames may be
left out or repeated, and any part of a file will do. As in T. Kalker, G. Depovere, J. Haitsma, M.
Maes, "A video watermarking system for broadcast monitoring", SPIE 3657, 1999, the cells are added
to the luma, and found by correlation after a filter that takes out what is smooth.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8
from numpy.typing import NDArray

from models.arrays import Picture, Transform
from models.faces.crop.crop import beginning_at, crop_transforms, pixel_matrix, to_crop
from models.faces.crop.masks import lower_face_mask
from models.faces.mesh.align import Pose
from models.marks.code import Reading, read, spread

NAME = "dubflow picture 2"
CELLS = 36
"""Along a side of the aligned lower face."""

SIDE = 144
"""Of the aligned lower face in which the mark is made and found [px]: 4 to a cell."""

STRENGTH = 1.54
"""Root mean square of the mark where it is strongest, of 255 codes: in the new pixels of a dub it
lies 45 dB below full scale or more."""

PERIOD = 0.4
"""From light to light of a cell [s]."""

_STEEPNESS = 2.5  # of a sine that is cut off at 1: the change takes a few frames
_PHASES = 12
_SOFTNESS = 0.35  # cells: finer detail would be lost first
_SMOOTH, _DETAIL = 1.0, 0.25  # cells: what is smoother, or finer, is none of the mark's
_CLIP = 1.5  # codes
_NOISE = 0.05  # codes², added to the variance of each cell

_Floats = NDArray[np.float32]
Looks = UInt8[np.ndarray, "seen 144 144"]
"""Luma of the aligned lower face in some frames."""


@dataclass(frozen=True)
class PictureMark:
    """The mark of one video, and where it lies in some of its frames.

    Attributes:
        pattern: the cells on the aligned lower face [codes of 8 bits].
        transforms: frame px → px of the aligned lower face.
        valid: the face is seen; other frames have no mark.
        seconds: when each frame is shown.
    """

    pattern: Float32[np.ndarray, "144 144"]
    transforms: Float32[np.ndarray, "frame 2 3"]
    valid: Bool[np.ndarray, " frame"]
    seconds: Float64[np.ndarray, " frame"]

    @classmethod
    def of(
        cls,
        payload: int,
        pose: Pose,
        valid: Bool[np.ndarray, " frame"],
        seconds: Float64[np.ndarray, " frame"],
    ) -> "PictureMark":
        """The mark of a payload in frames with these head poses."""
        signs = spread(payload, NAME, CELLS**2).reshape(CELLS, CELLS)
        pattern = cv2.resize(signs, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        pattern = cv2.GaussianBlur(pattern, (0, 0), _SOFTNESS * SIDE / CELLS)
        pattern = np.asarray(pattern * (STRENGTH / pattern.std()), np.float32)
        return cls(pattern, crop_transforms(pose, size=SIDE), valid, seconds)

    def light(
        self, frame: int, x0: int, y0: int, shape: tuple[int, ...]
    ) -> Float32[np.ndarray, "height width"] | None:
        """Light [codes of 8 bits] that the mark adds to a rectangle of a frame, if any.

        Args:
            frame: Its row among the mark's.
            x0: The rectangle's left edge [frame px].
            y0: Its upper edge.
            shape: Its height and width.
        """
        if not self.valid[frame]:
            return None
        now = _wave(self.seconds[frame : frame + 1]).astype(np.float32)
        return lights(now * self.pattern, beginning_at(self.transforms[frame], x0, y0), shape)


def lights(
    pattern: Float32[np.ndarray, "144 144"], transform: Transform, shape: tuple[int, ...]
) -> Float32[np.ndarray, "height width"]:
    """A pattern of the aligned lower face as it lies in a picture [codes of 8 bits].

    Args:
        pattern: [codes of 8 bits].
        transform: picture px → px of the aligned lower face.
        shape: height and width of the picture.
    """
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    matrix = pixel_matrix(transform)
    return np.asarray(cv2.warpAffine(pattern, matrix, shape[1::-1], flags=flags), np.float32)


def brightened(picture: Picture, levels: Float32[np.ndarray, "height width"] | None) -> Picture:
    """A picture, RGB, with light added to its luma, as far as that goes; None: as it is."""
    if levels is None:
        return picture
    return np.asarray(cv2.add(picture, cv2.merge([levels] * 3), dtype=cv2.CV_8U), np.uint8)


def _wave(seconds: Float64[np.ndarray, " frame"]) -> Float64[np.ndarray, " frame"]:
    return np.clip(_STEEPNESS * np.sin(2 * np.pi * seconds / PERIOD), -1, 1)


def find_in_picture(
    looks: Looks, seconds: Float64[np.ndarray, " seen"], *, mean_face: Float32[np.ndarray, "478 3"]
) -> Reading | None:
    """The number in the mouths of one face; None where it is seen for less than two periods.

    Args:
        looks: The aligned lower face in frames of runs in which none is left out.
        seconds: When each is shown, from any origin.
        mean_face: Canonical, in face heights.
    """
    order = np.argsort(seconds, kind="stable")
    looks, seconds = looks[order], seconds[order]
    if len(seconds) < 8 or seconds[-1] - seconds[0] < 2 * PERIOD:
        return None
    changes = _changes(looks, seconds)
    deviation = np.sqrt(np.square(changes).mean(axis=0) + _NOISE)
    zone = _zone(mean_face)
    places = []
    for phase in range(_PHASES // 2):  # the other half are these with the other sign
        wave = _wave(seconds + phase / _PHASES * PERIOD)
        signs = np.asarray(wave - wave.mean(), np.float32)
        seen = np.tensordot(signs, changes, 1) / deviation
        cells = cv2.remap(seen, *_centres(), cv2.INTER_LINEAR) * zone
        places += [cells.ravel(), -cells.ravel()]
    return read(np.stack(places), NAME)


def _changes(looks: Looks, seconds: Float64[np.ndarray, " seen"]) -> _Floats:
    """What each frame has more than those of the period around it, of a cell's size [codes]."""
    step = SIDE / CELLS
    filtered = np.empty(looks.shape, np.float32)
    for row, look in enumerate(looks):
        fine = look.astype(np.float32)
        fine -= cv2.GaussianBlur(fine, (0, 0), _SMOOTH * step)
        filtered[row] = cv2.GaussianBlur(fine, (0, 0), _DETAIL * step)
    first = np.searchsorted(seconds, seconds - PERIOD / 2)
    last = np.searchsorted(seconds, seconds + PERIOD / 2, side="right")
    sums = np.concatenate([np.zeros((1, SIDE, SIDE)), np.cumsum(filtered, axis=0, dtype=float)])
    for row, (start, stop) in enumerate(zip(first, last, strict=True)):
        filtered[row] -= (sums[stop] - sums[start]) / (stop - start)
    return np.clip(filtered, -_CLIP, _CLIP, out=filtered)


def _centres() -> tuple[_Floats, _Floats]:
    """Where the cells' centres lie: x and y in px, for cv2."""
    at = np.asarray((np.arange(CELLS) + 0.5) * (SIDE / CELLS) - 0.5, np.float32)
    x, y = np.meshgrid(at, at)
    return x, y


def _zone(mean_face: Float32[np.ndarray, "478 3"]) -> Bool[np.ndarray, "36 36"]:
    """Cells that lie on a lower face that looks straight ahead."""
    one, none = np.ones(1, np.float32), np.zeros((1, 3), np.float32)
    pose = Pose(256 * one, np.eye(3, dtype=np.float32)[None], none)
    points = to_crop(pose.to_image(mean_face[None]), crop_transforms(pose, size=256))
    mask = cv2.resize(lower_face_mask(points[0], 256), (CELLS, CELLS), interpolation=cv2.INTER_AREA)
    return np.asarray(mask > 127)
