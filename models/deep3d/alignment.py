"""Cutting faces for the regressor and for ArcFace, from 68 landmarks.

Convention: landmarks are in px with y UP, that is y = height - 1 - row; images are RGB.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64
from PIL import Image as Pillow
from skimage.transform import SimilarityTransform

from models.arrays import Affine, Crop, FivePoints, Landmarks68, Picture
from models.faces.recognition.alignment import TEMPLATE

CROP_SIZE = 224
"""Side of what the regressor reads [px]."""

FACE_SIZE_PX = 102.0
"""Px in the crop for a length of 1 in STANDARD_POINTS."""

STANDARD_POINTS = np.array(
    [
        [-0.31148657, 0.29036078, 0.13377953],
        [0.30979887, 0.28972036, 0.13179526],
        [0.0032535, -0.04617932, 0.55244243],
        [-0.25216928, -0.38133916, 0.22405732],
        [0.2484662, -0.38128236, 0.22235769],
    ],
    np.float32,
)
"""Left eye, right eye, nose and mouth corners of a mean face [dm], x right, y up, z to the front;
`similarity_Lm3D_all.mat` of Deep3DFaceRecon, brought to five points."""


class Aligned(NamedTuple):
    """A face cut out for the regressor.

    Attributes:
        transform: Width and height of the whole image [px], scale, and the face's origin x, y in
            the whole image [px], y up.
        image: RGB; black outside the whole image.
        landmarks: In the crop [px], y up.
    """

    transform: Float64[np.ndarray, "5"]
    image: Crop
    landmarks: Float64[np.ndarray, "68 2"]


def five_points(landmarks: Landmarks68) -> FivePoints:
    """Eyes (left and right in the image), nose tip and mouth corners of the 68 points."""
    if landmarks.shape != (68, 2):
        raise ValueError(f"five points are read from (68, 2) landmarks, not {landmarks.shape}")
    left, right = landmarks[[36, 39]].mean(0), landmarks[[42, 45]].mean(0)
    return np.stack([left, right, *landmarks[[30, 48, 54]]])


def orthographic_pose(
    points: Float[np.ndarray, "point 2"], solid: Float[np.ndarray, "point 3"]
) -> tuple[float, float, float]:
    """Scale and origin x, y of a solid in its scaled orthographic picture, by least squares.

    Args:
        points: In the picture.
        solid: The same points in space.
    """
    known = np.concatenate([solid, np.ones((len(solid), 1))], 1)
    solution = np.linalg.lstsq(known, points.astype(np.float64), rcond=None)[0]
    x, y = solution[3].tolist()
    return float(np.linalg.norm(solution[:3], axis=0).mean()), x, y


def align(
    image: Picture, landmarks: Landmarks68, *, standard: Float[np.ndarray, "5 3"] = STANDARD_POINTS
) -> Aligned:
    """Resizes and cuts so that the face has one size and stands in the middle.

    Args:
        image: RGB.
        landmarks: [px], y up.
        standard: Places in space that the five points are compared with.
    """
    height, width = image.shape[:2]
    size_in_image, x, y = orthographic_pose(five_points(landmarks), standard)
    if not size_in_image > 1:
        raise ValueError(f"cannot align: 1 dm of this face would be {size_in_image:.3g} px wide")
    scale = FACE_SIZE_PX / size_in_image
    small_width, small_height = int(width * scale), int(height * scale)
    left = int(small_width / 2 - CROP_SIZE / 2 + (x - width / 2) * scale)
    top = int(small_height / 2 - CROP_SIZE / 2 + (height / 2 - y) * scale)
    # Pillow's bicubic filter blurs before it shrinks, which OpenCV's does not
    resized = Pillow.fromarray(image).resize((small_width, small_height), Pillow.Resampling.BICUBIC)
    crop = resized.crop((left, top, left + CROP_SIZE, top + CROP_SIZE))
    # the published order of operations, in the landmarks' own precision
    moved = np.stack([landmarks[:, 0] - x + width / 2, landmarks[:, 1] - y + height / 2], 1)
    corner = np.array([small_width / 2 - CROP_SIZE / 2, small_height / 2 - CROP_SIZE / 2])
    transform = np.array([width, height, scale, x, y])
    return Aligned(transform, np.asarray(crop), moved * scale - corner)


def arcface_transform(landmarks: Landmarks68, height: int) -> Affine:
    """Similarity transform from image px to ArcFace's 112 x 112 px, y down in both.

    Args:
        landmarks: [px], y up.
        height: Of the image that the landmarks are in [px].
    """
    points = five_points(landmarks)
    points[:, 1] = height - 1 - points[:, 1]
    found = SimilarityTransform.from_estimate(points, TEMPLATE.astype(np.float32))
    if not found:
        raise ValueError(f"cannot align to ArcFace's five points: {found}")
    return np.array(found.params[:2], np.float64)
