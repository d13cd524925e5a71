"""Sketches: landmarks drawn as grey lines, the form in which the renderer sees them.

Convention: sizes are (height, width); landmarks are in 0..1 of the face crop and are drawn at the
pixel that holds them; a landmark outside the crop is dropped with its lines.
"""

import cv2
import numpy as np
from jaxtyping import Float32, Int64, UInt8

from models.ip_lap.landmarks import CONNECTIONS, FULL

Landmarks131 = Float32[np.ndarray, "2 131"]  # x and y of the 131 landmarks, shares of the crop

SIZE = 128
"""Side of a sketch [px]."""
GREY = 224
_COLUMN = {point: column for column, point in enumerate(FULL)}
_ENDS = np.array([[_COLUMN[start], _COLUMN[end]] for start, end in CONNECTIONS])


def draw_canvas(
    landmarks: Landmarks131, crop_size: tuple[int, int]
) -> UInt8[np.ndarray, "height width"]:
    """The lines at the crop's own aspect, its shorter side SIZE.

    Args:
        landmarks: In the order of `landmarks.FULL`, x first.
        crop_size: Height and width of the face crop [px].

    Returns:
        0 and GREY.

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
    inside = np.all((at >= 0) & (at <= 1 + 1e-9), axis=0)
    limit = np.array([[width], [height]])
    pixels = np.minimum(np.floor(np.where(inside, at, 0) * limit), limit - 1).astype(np.int32)
    lines = pixels.T[_ENDS[inside[_ENDS].all(axis=1)]]
    cv2.polylines(canvas, list(lines), False, (GREY,))
    return canvas


def draw_sketch(
    landmarks: Landmarks131, crop_size: tuple[int, int]
) -> Float32[np.ndarray, "128 128"]:
    """The canvas resized to SIZE x SIZE.

    Args:
        landmarks: As in `draw_canvas`.
        crop_size: As in `draw_canvas`.

    Returns:
        0..GREY.
    """
    canvas = draw_canvas(landmarks, crop_size).astype(np.float32)
    return cv2.resize(canvas, (SIZE, SIZE)).astype(np.float32, copy=False)


def renderer_sketches(
    landmarks: Float32[np.ndarray, "frame 2 131"], crop_sizes: Int64[np.ndarray, "frame 2"]
) -> Float32[np.ndarray, "frame 3 128 128"]:
    """Sketches of many frames as the renderer takes them.

    Args:
        landmarks: As in `draw_canvas`.
        crop_sizes: Height and width of each face crop [px].

    Returns:
        0..1, three equal channels.
    """
    drawn = np.empty((len(landmarks), 1, SIZE, SIZE), np.float32)
    for into, points, (height, width) in zip(drawn, landmarks, crop_sizes, strict=True):
        into[0] = draw_sketch(points, (int(height), int(width)))
    return np.repeat(drawn / 255, 3, axis=1)
