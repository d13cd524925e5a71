"""The square that a face is fitted in: about the lower face, as high as two faces, upright.

A transform leads from frame px to its 256 px, in which the face model's camera sees (times n / 256
to a picture of n px).
"""

from typing import Literal

import numpy as np

from models.arrays import FrameMask, Mesh, Transforms
from models.audiodvp.face_model import IMAGE_SIZE
from models.faces.mesh.align import Pose
from models.faces.mesh.indices import JAW, OUTER_LIP
from models.faces.smooth import smooth_landmarks, valid_runs

SIDE = 2.0
"""Of the square [face heights]: so large that the brows stay inside."""
SMOOTH_S = 1.0
"""Window over which its place and size are smoothed."""


def fit_transforms(
    pose: Pose,
    valid: FrameMask,
    *,
    mean_face: Mesh,
    scene_start: FrameMask,
    frame_rate_hz: float,
    mode: Literal["track", "fixed"] = "track",
) -> Transforms:
    """Frame px → 256 px; zeros where there is no face.

    Args:
        pose: Of the head.
        valid: The face is seen.
        mean_face: Canonical.
        scene_start: True for the first frame after each cut.
        frame_rate_hz: Frames a second.
        mode: `track` follows the head, `fixed` keeps the mean place and size of each scene.
    """
    centre = mean_face[[*JAW, *OUTER_LIP]].mean(0)
    at = pose.to_image(np.broadcast_to(centre, (len(valid), 1, 3)))[:, 0, :2]
    placed = np.column_stack([at, np.log(np.maximum(pose.scale, 1e-6))]).astype(np.float32)
    if mode == "track":
        placed = smooth_landmarks(
            placed, valid, scene_start=scene_start, frame_rate_hz=frame_rate_hz, window_s=SMOOTH_S
        )
    else:
        scene = np.cumsum(scene_start)
        for one in np.unique(scene[valid]):
            placed[scene == one] = placed[(scene == one) & valid].mean(0)
    zoom = IMAGE_SIZE / (SIDE * np.exp(placed[:, 2]))
    transforms = np.zeros((len(valid), 2, 3), np.float32)
    transforms[:, 0, 0] = transforms[:, 1, 1] = zoom
    transforms[:, :, 2] = IMAGE_SIZE / 2 - zoom[:, None] * placed[:, :2]
    transforms[~valid] = 0
    return transforms


def linked(valid: FrameMask, scene_start: FrameMask) -> FrameMask:
    """Frames that go on from the one before: both are valid, and there is no cut between them."""
    found = np.zeros(len(valid), bool)
    for start, stop in valid_runs(valid, scene_start):
        found[start + 1 : stop] = True
    return found


def between(first: Transforms, second: Transforms) -> Transforms:
    """Px of the first square → px of the second, of those that lead from frame px to each."""
    linear = second[:, :, :2] @ np.linalg.inv(first[:, :, :2])
    moved = second[:, :, 2:] - linear @ first[:, :, 2:]
    return np.asarray(np.concatenate([linear, moved], 2), np.float32)
