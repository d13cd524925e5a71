"""Sketches: landmarks drawn as grey lines, the form in which the renderer sees them.

Convention: sizes are (height, width); landmarks are in 0..1 of the face crop and are drawn at the
pixel that holds them; a landmark outside the crop is dropped with its lines.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from models.ip_lap.landmarks import CONNECTIONS, FULL

Floats = NDArray[np.float32]

SIZE = 128
"""Side of a sketch [px]."""
GREY = 224
_COLUMN = {point: column for column, point in enumerate(FULL)}
_ENDS = np.array([[_COLUMN[start], _COLUMN[end]] for start, end in CONNECTIONS])


def draw_canvas(landmarks: Floats, crop_size: tuple[int, int]) -> NDArray[np.uint8]:
    """The lines at the crop's own aspect, its shorter side SIZE.

    Args:
        landmarks: (2, 131) in the order of `landmarks.FULL`, x first.
        crop_size: Height and width of the face crop [px].

    Returns:
        (height, width) of 0 and GREY.

    Raises:
        ValueError: there are not 131 landmarks or the crop is empty.
    """
    if landmarks.shape != (2, len(FULL)):
        raise ValueError(f"landmarks must be (2, {len(FULL)}), got {landmarks.shape}")
    shorter = min(crop_size)
    if shorter < 1:
        raise ValueError(f"the face crop must not be empty, got {crop_size}")
    # In this order and to int: a size one off moves lines.
    height, width = (int(side * SIZE / shorter) for side in crop_size)
    canvas = np.zeros((height, width), np.uint8)
    at = landmarks.astype(np.float64)
    inside = ((at >= 0) & (at <= 1 + 1e-9)).all(axis=0)
    limit = np.array([[width], [height]])
    pixels = np.minimum(np.floor(np.where(inside, at, 0) * limit), limit - 1).astype(np.int32)
    lines = pixels.T[_ENDS[inside[_ENDS].all(axis=1)]]
    cv2.polylines(canvas, list(lines), False, (GREY,))
    return canvas


def draw_sketch(landmarks: Floats, crop_size: tuple[int, int]) -> Floats:
    """The canvas resized to SIZE x SIZE.

    Args:
        landmarks: As in `draw_canvas`.
        crop_size: As in `draw_canvas`.

    Returns:
        (SIZE, SIZE) in 0..GREY.
    """
    canvas = draw_canvas(landmarks, crop_size).astype(np.float32)
    return cv2.resize(canvas, (SIZE, SIZE)).astype(np.float32, copy=False)


def renderer_sketches(landmarks: Floats, crop_sizes: NDArray[np.int64]) -> Floats:
    """Sketches of many frames as the renderer takes them.

    Args:
        landmarks: (n, 2, 131).
        crop_sizes: (n, 2) height and width of each face crop [px].

    Returns:
        (n, 3, SIZE, SIZE) in 0..1, three equal channels.
    """
    drawn = np.empty((len(landmarks), 1, SIZE, SIZE), np.float32)
    for into, points, (height, width) in zip(drawn, landmarks, crop_sizes, strict=True):
        into[0] = draw_sketch(points, (int(height), int(width)))
    return np.repeat(drawn / 255, 3, axis=1)
