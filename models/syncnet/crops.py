"""Face crops for SyncNet, cut out by the rules of its authors' pipeline (syncnet_python).

Frames are 25 a second. A box has half the side s = max(width, height) / 2; its centre and s are
median filtered over 13 frames; the crop reaches 1.4 s to either side of the centre, from 1 s above
to 1.8 s below it. What lies outside the frame is grey.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float64, Int64, UInt8

from models.arrays import Boxes, FrameMask, Picture
from models.syncnet.network import SIZE

RATE = 25
"""Frames a second."""
MARGIN = 0.4
"""Added on each side, in units of s."""
MEDIAN = 13
"""Frames under the median filter."""
OUTSIDE = 110
"""Level beyond the frame's border."""
LONGEST_GAP = 25
"""Frames without a face over which a track goes on [frames]."""
SHORTEST_TRACK = 100
"""A track has more frames than this."""
SMALLEST_FACE = 100.0
"""The larger side of the boxes of a track, on average, is more than this [px]."""


@dataclass(frozen=True)
class Track:
    """A face in consecutive frames.

    Attributes:
        start: Number of its first frame.
        boxes: x0, y0, x1, y1 [px].
    """

    start: int
    boxes: Float64[np.ndarray, "frame 4"]

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def side(self) -> float:
        """The larger of mean width and mean height [px]."""
        return float((self.boxes[:, 2:] - self.boxes[:, :2]).mean(axis=0).max())


def find_tracks(
    boxes: Float64[np.ndarray, "frame 4"], valid: FrameMask, scene_start: FrameMask
) -> list[Track]:
    """Runs of frames with a face within a scene, over short gaps too, where boxes are interpolated.

    Args:
        boxes: x0, y0, x1, y1 [px].
        valid: Whether there is a face.
        scene_start: Whether it is the first frame after a cut.
    """
    rows = np.flatnonzero(valid)
    if not len(rows):
        return []
    scene = np.cumsum(scene_start)[rows]
    breaks = (np.diff(rows) > LONGEST_GAP) | (np.diff(scene) > 0)
    tracks = []
    for part in np.split(rows, np.flatnonzero(breaks) + 1):
        every = np.arange(part[0], part[-1] + 1)
        columns = [np.interp(every, part, boxes[part, corner]) for corner in range(4)]
        tracks.append(Track(int(part[0]), np.stack(columns, axis=1)))
    return tracks


def crop_windows(boxes: Float64[np.ndarray, "frame 4"]) -> Boxes:
    """Windows x0, y0, x1, y1 [px], ends excluded, which may reach outside the frame."""
    from scipy.signal import medfilt  # takes seconds to import

    half = medfilt((boxes[:, 2:] - boxes[:, :2]).max(axis=1) / 2, MEDIAN)
    centre_x = medfilt((boxes[:, 0] + boxes[:, 2]) / 2, MEDIAN)
    centre_y = medfilt((boxes[:, 1] + boxes[:, 3]) / 2, MEDIAN)
    side = 1 + MARGIN
    border = np.floor(half * (1 + 2 * MARGIN))  # edges are cut to whole pixels of the padded frame
    edges = (
        centre_x - side * half,
        centre_y - half,
        centre_x + side * half,
        centre_y + (1 + 2 * MARGIN) * half,
    )
    whole = [np.trunc(edge + border) - border for edge in edges]
    return np.asarray(np.stack(whole, axis=1), np.int64)


def inside(window: Int64[np.ndarray, "4"], frame_size: tuple[int, int]) -> Int64[np.ndarray, "4"]:
    """The part of a window x0, y0, x1, y1 [px] that is in a frame of (height, width)."""
    height, width = frame_size
    return np.asarray(np.clip(window, 0, [width, height, width, height]), np.int64)


def crop_face(
    part: Picture, window: Int64[np.ndarray, "4"], frame_size: tuple[int, int]
) -> UInt8[np.ndarray, "224 224 3"]:
    """The square crop of a window, grey outside the frame, scaled bilinearly.

    Args:
        part: The frame's rectangle `inside(window, frame_size)`.
        window: x0, y0, x1, y1 [px].
        frame_size: (height, width) [px].
    """
    seen = inside(window, frame_size)
    if not part.size:
        return np.full((SIZE, SIZE, 3), OUTSIDE, np.uint8)
    left, top = seen[:2] - window[:2]
    right, bottom = window[2:] - seen[2:]
    top, bottom, left, right = int(top), int(bottom), int(left), int(right)
    grey = (OUTSIDE,) * 3
    whole = cv2.copyMakeBorder(part, top, bottom, left, right, cv2.BORDER_CONSTANT, value=grey)
    return np.asarray(cv2.resize(whole, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR), np.uint8)
