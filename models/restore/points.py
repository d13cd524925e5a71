"""The five points that restoration aligns faces by, steadily, from a whole clip's landmarks."""

import numpy as np
from numpy.typing import NDArray

from models.faces.mesh.align import Pose

Floats = NDArray[np.float32]

_RIGHT_EYE, _LEFT_EYE = (33, 133, 159, 145), (362, 263, 386, 374)
_NOSE_TIP, _MOUTH_CORNERS = 1, (61, 291)


def five_points(landmarks: Floats) -> Floats:
    """Eye centres, nose tip, mouth corners (frame, 5, 3), left in the image first.

    Args:
        landmarks: (frame, 478, 3) float32 [px].
    """
    eyes = [landmarks[:, list(eye)].mean(1) for eye in (_RIGHT_EYE, _LEFT_EYE)]
    rest = [landmarks[:, point] for point in (_NOSE_TIP, *_MOUTH_CORNERS)]
    return np.asarray(np.stack([*eyes, *rest], axis=1), np.float32)


def steady_points(landmarks: Floats, pose: Pose, shown: Pose) -> Floats:
    """The person's own five points (frame, 5, 2) [px], moved by the head alone.

    Blinks, speech and the detector's noise move the points of single frames; a crop that followed
    them would swim.

    Args:
        landmarks: (sample, 478, 3) float32 [px] of frames from all over the clip.
        pose: Of those frames.
        shown: Of the frames that are wanted.
    """
    own = np.median(pose.to_canonical(five_points(landmarks)), axis=0)
    return shown.to_image(np.broadcast_to(own, (len(shown.scale), *own.shape)))[..., :2]
