"""How large, sharp and turned a face is, frame by frame."""

import cv2
import numpy as np
from jaxtyping import Float32

from models.arrays import FrameValues, Mesh, Picture
from models.faces.mesh.indices import LIPS

PATCH_WIDTH, PATCH_HEIGHT = 80, 48
"""Size of the mouth's picture at which sharpness is measured [px]."""

PATCH_FACE_HEIGHTS = 0.5
"""Width of that picture [face heights]."""

TURNED_DEGREES = 45.0
"""Heads turned further away from the camera count as turned."""

_LEAST_SPREAD = 2.0
"""Standard deviation [levels] that any patch is given: a flat one has no edges to judge."""


def turn_degrees(rotation: Float32[np.ndarray, "frame 3 3"]) -> FrameValues:
    """Angle between where a head looks and the camera, 0..180 [degrees].

    Args:
        rotation: of `models.faces.mesh.align.Pose`.
    """
    return np.asarray(np.degrees(np.arccos(np.clip(rotation[:, 2, 2], -1, 1))), np.float32)


def mouth_sharpness(face: Picture, landmarks: Mesh, face_height: float) -> float:
    """Share of fine detail in the mouth region, at one size for all faces: 0 flat, ~1 very sharp.

    The standard deviation of a Laplacian over that of the region's brightness, so that neither
    light nor contrast counts. Small faces are enlarged to the common size, and count as blurred.

    Args:
        face: RGB, a part of a frame.
        landmarks: its mesh [px of `face`, pixel centres on integers + 0.5].
        face_height: [px of `face`].
    """
    centre = landmarks[list(LIPS), :2].mean(0)
    zoom = PATCH_WIDTH / (PATCH_FACE_HEIGHTS * max(face_height, 1.0))
    middle = np.array([PATCH_WIDTH, PATCH_HEIGHT]) / 2
    matrix = np.zeros((2, 3))
    matrix[:, :2] = np.eye(2) * zoom
    matrix[:, 2] = middle - 0.5 - zoom * (centre - 0.5)
    gray = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
    if zoom < 1:  # averaged first, so that fine detail does not fold into coarse
        gray = cv2.GaussianBlur(gray, (0, 0), 0.5 / zoom)
    patch = cv2.warpAffine(
        gray,
        matrix,
        (PATCH_WIDTH, PATCH_HEIGHT),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    ).astype(np.float32)
    detail = cv2.Laplacian(patch, cv2.CV_32F, ksize=1)
    return float(detail.std() / max(float(patch.std()), _LEAST_SPREAD))
