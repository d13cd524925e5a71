"""Faces aligned by five points, as face recognition expects them.

Convention: five points are x, y in px of the image, pixel centres on integers: left eye (in the
image), right eye, nose, left and right corner of the mouth; a similarity maps them to the crop.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from models.arrays import Affine, FivePoints, Picture
from models.faces.recognition.arcface import IMAGE_SIZE

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


def similarity(points: Float[np.ndarray, "n 2"], target: Float[np.ndarray, "n 2"]) -> Affine:
    """The similarity transform that moves points nearest to a target.

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


def aligned(image: Picture, points: FivePoints) -> UInt8[np.ndarray, "112 112 3"]:
    """The face as insightface cuts it: bilinear, black outside the image.

    Args:
        image: RGB.
        points: [px of the image].
    """
    size = (IMAGE_SIZE, IMAGE_SIZE)
    return np.asarray(cv2.warpAffine(image, similarity(points, TEMPLATE), size), np.uint8)
