"""Head pose from a face mesh, and mouth shapes free of it: 3D similarity alignment.

Convention: landmarks are in frame or in canonical coordinates (see `models.faces`), z on the scale
of x (mediapipe's weak perspective).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Integer

from models.arrays import FrameValues, Mesh, Meshes, Points3D
from models.faces.mesh.indices import RIGID


@dataclass(frozen=True)
class Pose:
    """Similarity transform canonical → frame: point = scale * canonical @ rotation.T + translation.

    Attributes:
        scale: frame px per face height.
        rotation: proper rotations.
        translation: where the canonical origin lies [frame px].
    """

    scale: FrameValues
    rotation: Float32[np.ndarray, "frame 3 3"]
    translation: Float32[np.ndarray, "frame 3"]

    def __post_init__(self) -> None:
        n = len(self.scale)
        if self.rotation.shape != (n, 3, 3) or self.translation.shape != (n, 3):
            raise ValueError(
                f"a pose of {n} frames needs rotation ({n}, 3, 3) and translation ({n}, 3), "
                f"got {self.rotation.shape} and {self.translation.shape}"
            )

    def at(self, rows: Integer[np.ndarray, " row"]) -> "Pose":
        """The pose in some frames, in their order."""
        return Pose(self.scale[rows], self.rotation[rows], self.translation[rows])

    def to_image(self, points: Points3D) -> Points3D:
        """Canonical points → the same in frame px."""
        turned = np.einsum("fij,fpj->fpi", self.rotation, points)
        placed = self.scale[:, None, None] * turned + self.translation[:, None]
        return np.asarray(placed, np.float32)

    def to_canonical(self, points: Points3D) -> Points3D:
        """Points in frame px → the same in canonical coordinates."""
        centred = (points - self.translation[:, None]) / self.scale[:, None, None]
        return np.asarray(np.einsum("fji,fpj->fpi", self.rotation, centred), np.float32)


def estimate_pose(landmarks: Meshes, mean_face: Mesh) -> Pose:
    """Least-squares similarity from the mean face's rigid points to each mesh (Umeyama 1991).

    Args:
        landmarks: face meshes [frame px].
        mean_face: canonical.
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


def pose_descriptor(pose: Pose) -> Float32[np.ndarray, "frame 3"]:
    """Head turn out of the image plane and face size: yaw, pitch [rad], half the log of the scale.

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
