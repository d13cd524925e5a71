"""IP-LAP's face boxes: the bounds of a frame's landmarks, padded, one box per frame.

Convention: a box is (x1, y1, x2, y2) in frame px, x to the right and y down, pixel centres on
integers + 0.5. It is not square; the network sees it stretched to 128 x 128, and landmarks are
shares of it, 0..1 from its left and its upper edge. Points are in the order of `landmarks.FULL`.
"""

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from models.arrays import Boxes, FrameBoxes, Points2D
from models.ip_lap.landmarks import FULL

_Boxes = FrameBoxes | Boxes

PAD = 0.08
"""Room around the landmarks, as a share of the mean side of their bounds. In training IP-LAP leaves
5 px around the faces of LRS2, which are about 60 px wide."""


def face_boxes(
    points: Float32[np.ndarray, "frame 131 coordinate"], *, pad: float = PAD
) -> FrameBoxes:
    """The box of each frame.

    Args:
        points: x, y and whatever else [frame px].
        pad: Room on every side, as a share of the mean side.

    Returns:
        x1, y1, x2, y2 [frame px]; a box may leave the frame.

    Raises:
        ValueError: there are not 131 points.
    """
    if points.ndim != 3 or points.shape[1] != len(FULL):
        raise ValueError(f"points must be (frame, {len(FULL)}, >= 2), got {points.shape}")
    low, high = points[..., :2].min(axis=1), points[..., :2].max(axis=1)
    room = pad * (high - low).mean(axis=1, keepdims=True)
    return np.asarray(np.concatenate([low - room, high + room], axis=1), np.float32)


def whole_boxes(boxes: FrameBoxes, frame_size: tuple[int, int]) -> Boxes:
    """The pixels to cut: boxes within the frame, fractions cut off as published.

    Args:
        boxes: x1, y1, x2, y2 [frame px].
        frame_size: Height and width of the frames [px].

    Returns:
        x1, y1, x2, y2, ends excluded [frame px]; empty where a box is outside the frame.
    """
    height, width = frame_size
    limit = np.array([width, height, width, height])
    return np.asarray(np.clip(boxes, 0, limit), np.int64)


def to_box(points: Float32[np.ndarray, "frame point coordinate"], boxes: _Boxes) -> Points2D:
    """Points as shares of their frame's box.

    Args:
        points: x, y and whatever else [frame px].
        boxes: x1, y1, x2, y2 [frame px].

    Returns:
        0..1 within the box.
    """
    corner, side = _corner_and_side(boxes)
    return np.asarray((points[..., :2] - corner) / side, np.float32)


def from_box(shares: Points2D, boxes: _Boxes) -> Points2D:
    """Points [frame px] that are given as shares of boxes."""
    corner, side = _corner_and_side(boxes)
    return np.asarray(shares * side + corner, np.float32)


def _corner_and_side(boxes: _Boxes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each (frame, 1, 2); the side is at least a hundredth of a pixel."""
    edges = boxes.astype(np.float64)[:, None]
    return edges[..., :2], np.maximum(edges[..., 2:] - edges[..., :2], 0.01)
