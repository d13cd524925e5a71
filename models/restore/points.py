"""The five points by which faces are aligned for restoration, steady through a whole clip."""

import numpy as np
from jaxtyping import Float32

from models.arrays import Meshes
from models.faces.mesh.align import Pose
from models.faces.mesh.indices import MOUTH_CORNERS, NOSE_TIP

_RIGHT_EYE, _LEFT_EYE = (33, 133, 159, 145), (362, 263, 386, 374)


def five_points(landmarks: Meshes) -> Float32[np.ndarray, "frame 5 3"]:
    """Eye centres, nose tip, mouth corners, left in the image first; in frame px like the mesh."""
    eyes = [landmarks[:, list(eye)].mean(1) for eye in (_RIGHT_EYE, _LEFT_EYE)]
    rest = [landmarks[:, point] for point in (NOSE_TIP, *MOUTH_CORNERS)]
    return np.asarray(np.stack([*eyes, *rest], axis=1), np.float32)


def steady_points(
    landmarks: Float32[np.ndarray, "sample 478 3"], pose: Pose, shown: Pose
) -> Float32[np.ndarray, "frame 5 2"]:
    """The person's own five points [frame px], moved by the head alone.

    Blinks, speech and the detector's noise move the points of single frames; a crop that followed
    them would swim.

    Args:
        landmarks: meshes of frames from all over the clip [frame px].
        pose: Of those frames.
        shown: Of the frames that are wanted.
    """
    own = np.median(pose.to_canonical(five_points(landmarks)), axis=0)
    return shown.to_image(np.broadcast_to(own, (len(shown.scale), *own.shape)))[..., :2]
