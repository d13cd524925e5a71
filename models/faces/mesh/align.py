"""Head pose out, mouth shape in: 3D alignment of face meshes.

Convention: landmarks are (..., 478, 3) in pixels of the upright frame, x right, y down, z away
from the camera, z on the scale of x (mediapipe's weak perspective). Pixel centres lie on integers
+ 0.5, as mediapipe gives them. The *canonical* frame has the same axes; its unit is the face
height (forehead point 10 to chin point 152) of the mean face, its origin the mean of the rigid
points.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.faces.mesh.indices import RIGID

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Pose:
    """Similarity transform canonical → image: image = scale * canonical @ rotation.T + translation.

    Attributes:
        scale: (frame,) float32, pixels per face height.
        rotation: (frame, 3, 3) float32, proper rotations.
        translation: (frame, 3) float32, pixels.
    """

    scale: Array
    rotation: Array
    translation: Array

    def __post_init__(self) -> None:
        n = len(self.scale)
        if self.rotation.shape != (n, 3, 3) or self.translation.shape != (n, 3):
            raise ValueError(
                f"a pose of {n} frames needs rotation ({n}, 3, 3) and translation ({n}, 3), "
                f"got {self.rotation.shape} and {self.translation.shape}"
            )

    def at(self, rows: NDArray[np.integer[Any]]) -> "Pose":
        """The pose in some frames, in their order."""
        return Pose(self.scale[rows], self.rotation[rows], self.translation[rows])

    def to_image(self, points: Array) -> Array:
        """Canonical points (frame, point, 3) → image points (frame, point, 3) [px]."""
        turned = np.einsum("fij,fpj->fpi", self.rotation, points)
        placed = self.scale[:, None, None] * turned + self.translation[:, None]
        return np.asarray(placed, np.float32)

    def to_canonical(self, points: Array) -> Array:
        """Image points (frame, point, 3) [px] → canonical points (frame, point, 3)."""
        centred = (points - self.translation[:, None]) / self.scale[:, None, None]
        return np.asarray(np.einsum("fji,fpj->fpi", self.rotation, centred), np.float32)


def estimate_pose(landmarks: Array, mean_face: Array) -> Pose:
    """Least-squares similarity from the mean face's rigid points to each mesh (Umeyama 1991).

    Args:
        landmarks: (frame, 478, 3) float32 [px].
        mean_face: (478, 3) float32, canonical.
    """
    reference = mean_face[list(RIGID)].astype(np.float64)
    observed = landmarks[:, list(RIGID)].astype(np.float64)
    reference_centre = reference.mean(0)
    observed_centre = observed.mean(1)
    a = reference - reference_centre
    b = observed - observed_centre[:, None]
    u, s, vt = np.linalg.svd(np.einsum("fpi,pj->fij", b, a))
    sign = np.ones_like(s)
    sign[:, 2] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    rotation = (u * sign[:, None]) @ vt
    scale = (s * sign).sum(1) / (a**2).sum()
    translation = observed_centre - scale[:, None] * np.einsum(
        "fij,j->fi", rotation, reference_centre
    )
    return Pose(
        scale.astype(np.float32), rotation.astype(np.float32), translation.astype(np.float32)
    )


def pose_descriptor(pose: Pose) -> Array:
    """Head turn out of the image plane and face size, (frame, 3) float32: yaw, pitch [rad], size.

    Roll is missing on purpose: crops are upright.
    """
    forward = pose.rotation[:, :, 2]
    roll = np.arctan2(pose.rotation[:, 1, 0], pose.rotation[:, 0, 0])
    c, s = np.cos(roll), np.sin(roll)
    x = c * forward[:, 0] + s * forward[:, 1]
    y = -s * forward[:, 0] + c * forward[:, 1]
    yaw, pitch = np.arctan2(x, forward[:, 2]), np.arctan2(y, forward[:, 2])
    size = 0.5 * np.log(np.maximum(pose.scale, 1e-6))
    return np.asarray(np.stack([yaw, pitch, size], axis=1), np.float32)
