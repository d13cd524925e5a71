"""Faces turned and scaled so that five points come to lie where a recogniser expects them.

Convention: points are (5, 2) px, left eye (in the image), right eye, nose, left and right corner of
the mouth; a similarity is (2, 3) and maps them to the crop.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.faces.recognition.arcface import IMAGE_SIZE

Image = NDArray[np.uint8]
Points = NDArray[np.floating[Any]]

TEMPLATE = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
"""Where ArcFace wants the five points, in 112 x 112 px, pixel centres on integers."""


def similarity(points: Points, target: Points) -> NDArray[np.float64]:
    """The similarity (2, 3) that moves points (n, 2) nearest to a target (n, 2).

    By least squares; without reflection that is the estimate of Umeyama 1991.
    """
    if points.shape != target.shape or points.shape[1:] != (2,):
        raise ValueError(f"points {points.shape} can't be moved to {target.shape}")
    here, there = (each.astype(np.float64) @ [1, 1j] for each in (points, target))
    centred = here - here.mean()
    energy = np.square(np.abs(centred)).sum()
    if not energy > 0:
        raise ValueError(f"the points coincide: {points.tolist()}")
    turn = np.vdot(centred, there) / energy
    shift = there.mean() - turn * here.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def aligned(image: Image, points: Points) -> Image:
    """The face (112, 112, 3) as insightface cuts it: bilinear, black outside the image.

    Args:
        image: (h, w, 3) uint8 RGB.
        points: (5, 2) [px], pixel centres on integers.
    """
    size = (IMAGE_SIZE, IMAGE_SIZE)
    return np.asarray(cv2.warpAffine(image, similarity(points, TEMPLATE), size), np.uint8)
