"""The crop that Meta Talk works in: an upright square about the lower face, at native sharpness.

It is so large that the eyebrows stay inside, and moves slowly, so that the background behind the
chin does not swim. Faces of any size come out at one of four sides, none of which loses detail.
"""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from models.arrays import FrameMask, FrameValues, Points2D, Transforms
from models.audiodvp.face_model import IMAGE_SIZE, FaceModel, clip_matrix
from models.deep3d.basis import FaceBasis
from models.faces.smooth import smooth_landmarks
from models.tensors import PerVertex

SIDE = 2.0
"""Side of the crop [face heights]."""
SIDES = (256, 512, 768, 1024)
"""What a crop may measure [px]."""
LOWER = (*range(17), *range(48, 68))
"""Jaw and mouth among the 68 points: their mean is the crop's centre."""
SMOOTHED_S = 1.0

_CHIN, _NASION = 8, 27
_FACE_HEIGHT = 1.405
"""From forehead to chin, over the distance of these two points."""


def of_landmarks(basis: FaceBasis) -> FaceBasis:
    """The 68 points of a basis alone, which are all that a crop's place needs."""
    rows = (3 * basis.landmarks[:, None] + torch.arange(3)).flatten()
    nothing = basis.triangles[:0]
    return FaceBasis(
        mean_shape=basis.mean_shape[rows],
        identity=basis.identity[rows],
        expression=basis.expression[rows],
        mean_texture=basis.mean_texture[rows],
        texture=basis.texture[rows],
        triangles=nothing,
        vertex_triangles=torch.zeros(len(basis.landmarks), 1, dtype=torch.int64),
        landmarks=torch.arange(len(basis.landmarks)),
        front_vertices=basis.front_vertices[:0],
        front_triangles=nothing,
        skin=basis.skin[basis.landmarks],
    )


def face_height_px(model: FaceModel, world: PerVertex) -> Float[Tensor, " batch"]:
    """Height of faces in the fit's px, however they are turned.

    Args:
        model: Of a basis, or of its landmarks.
        world: Its vertices in the pose.
    """
    mean = model.mean_shape.reshape(-1, 3)[model.landmarks]
    height = _FACE_HEIGHT * (mean[_CHIN] - mean[_NASION]).norm()
    zoom, distance = clip_matrix()[1, 1].abs(), clip_matrix()[3, 3]
    found: Tensor = (
        height * zoom * IMAGE_SIZE / 2 / (distance - world[:, model.landmarks, 2].mean(1))
    )
    return found


def crop_side(height: FrameValues, valid: FrameMask) -> int:
    """The least of SIDES [px] that is not smaller than the median crop in the frame.

    Args:
        height: Of the face [frame px].
        valid: The face is seen.
    """
    native = SIDE * float(np.median(height[valid])) if valid.any() else 0.0
    return next((side for side in SIDES if side >= native), SIDES[-1])


def crop_transforms(
    points: Points2D,
    height: FrameValues,
    valid: FrameMask,
    *,
    scene_start: FrameMask,
    frame_rate_hz: float,
    mode: Literal["track", "fixed"],
    side: int,
) -> Transforms:
    """Transforms, frame px → crop px; zeros where the face is not seen.

    Args:
        points: The 68 points [frame px].
        height: Of the face [frame px].
        valid: The face is seen.
        scene_start: The frame is the first after a cut.
        frame_rate_hz: Frames a second.
        mode: Follow the face, smoothed over a second; or stay at its mean within each scene.
        side: Of the crop [px].
    """
    centre = points[:, list(LOWER)].mean(1)
    place = np.concatenate([centre, np.log(np.maximum(height, 1e-3))[:, None]], 1)
    place = place.astype(np.float32)
    if mode == "track":
        place = smooth_landmarks(
            place,
            valid,
            scene_start=scene_start,
            frame_rate_hz=frame_rate_hz,
            window_s=SMOOTHED_S,
        )
    else:
        scene = scene_start.cumsum()
        for number in np.unique(scene[valid]):
            place[scene == number] = place[valid & (scene == number)].mean(0)
    zoom = side / (SIDE * np.exp(place[:, 2]))
    transforms = np.zeros((len(place), 2, 3), np.float32)
    transforms[:, 0, 0] = transforms[:, 1, 1] = zoom
    transforms[:, :, 2] = side / 2 - zoom[:, None] * place[:, :2]
    return np.asarray(transforms * valid[:, None, None], np.float32)


def from_fit(fit: Transforms, crop: Transforms) -> Transforms:
    """The fit's px → crop px, from both transforms of the same frames.

    Args:
        fit: Frame px → the fit's px.
        crop: Frame px → crop px.
    """
    fit, crop = fit.astype(np.float64), crop.astype(np.float64)
    linear = crop[:, :, :2] @ np.linalg.inv(fit[:, :, :2])
    offset = crop[:, :, 2] - np.einsum("fij,fj->fi", linear, fit[:, :, 2])
    return np.asarray(np.concatenate([linear, offset[:, :, None]], 2), np.float32)
