"""Where the square around a face lies: a similarity of eyes and mouth, as DAVS prepares LRW.

DAVS lays eyes and mouth on fixed places of a canvas, cuts a square of 268 px, makes it 260, and in
the end takes the middle 256. Its mouth centre is the talking mouth's, so scale and place follow
speech, and results zoom in and out. `rigid`, ours, takes the mean face's points under the head's
pose instead.
"""

import numpy as np
from jaxtyping import Float32, Float64
from numpy.typing import NDArray

from models.arrays import Mesh, Meshes, Transforms
from models.faces.mesh.align import Pose
from models.faces.mesh.indices import LIPS
from models.stylegan2_face.settings import Align

EYES = ((33, 160, 158, 133, 153, 144), (362, 385, 387, 263, 373, 380))
"""Points of the face mesh around the subject's right and left eye."""
_CANVAS = ((140.0, 224.0), (220.0, 224.0), (180.0, 300.0))
"""Eyes and mouth on DAVS's canvas of 356 x 436 px."""
_CORNER, _ZOOM, _MARGIN = (44.0, 104.0), 260 / 268, 2.0
SIDE = 256
"""Side of the published squares [px]."""
TARGETS: NDArray[np.float64] = (np.array(_CANVAS) - _CORNER) * _ZOOM - _MARGIN
"""(3, 2) where the right eye, the left eye and the mouth lie in a square of 256 px."""
MOUTH_BOX = (170, 234, 64, 192)
"""Rows and columns of a square of 256 px, ends excluded, that DAVS takes for the mouth."""
EYE_BOX = (82, 146, 52, 208)
"""Likewise for eyes and brows; ours."""

AnchorPoints = Float32[np.ndarray, "frame 3 2"]


def anchors(landmarks: Meshes) -> AnchorPoints:
    """Centres of the right eye, the left eye and the mouth of meshes [their unit]."""
    groups = (*EYES, LIPS)
    return np.stack([landmarks[:, list(group), :2].mean(1) for group in groups], 1)


def square_anchors(landmarks: Meshes, pose: Pose, *, mean_face: Mesh, align: Align) -> AnchorPoints:
    """The three points that lay a face into its square [frame px].

    Args:
        landmarks: Of the frames; only `davs` looks at them.
        pose: Of the head in these frames.
        mean_face: Canonical.
        align: By which mouth.
    """
    if align == "davs":
        return anchors(landmarks)
    rigid = np.broadcast_to(mean_face, (len(pose.scale), *mean_face.shape))
    return anchors(pose.to_image(np.asarray(rigid, np.float32)))


def square_transforms(points: AnchorPoints, *, side: int) -> Transforms:
    """Similarities of least squares, frame px → px of the square.

    Args:
        points: Of `square_anchors`.
        side: Of the square [px].
    """
    found, at = points.astype(np.float64), points.mean(1, dtype=np.float64)
    wanted = TARGETS * (side / SIDE)
    a, b = found - at[:, None], wanted - wanted.mean(0)
    size = np.maximum((a**2).sum((1, 2)), 1e-9)
    real = np.einsum("fpi,pi->f", a, b) / size
    turn = (a[..., 0] @ b[:, 1] - a[..., 1] @ b[:, 0]) / size
    linear = np.stack([np.stack([real, -turn], -1), np.stack([turn, real], -1)], 1)
    offset = wanted.mean(0) - np.einsum("fij,fj->fi", linear, at)
    return np.asarray(np.concatenate([linear, offset[:, :, None]], 2), np.float32)


def box_in(side: int, box: tuple[int, int, int, int]) -> tuple[slice, slice]:
    """Rows and columns of one of the boxes in a square of that side."""
    top, bottom, left, right = (round(edge * side / SIDE) for edge in box)
    return slice(top, bottom), slice(left, right)


def placed(
    points: Float32[np.ndarray, "frame point 2"], transforms: Transforms
) -> Float32[np.ndarray, "frame point 2"]:
    """Points in frame px → px of the squares."""
    turned: Float64[np.ndarray, ...] = np.einsum("fij,fpj->fpi", transforms[:, :, :2], points)
    return np.asarray(turned + transforms[:, None, :, 2], np.float32)
