"""The crop that Meta Talk works in: the square of the fit, at the sharpness of the source.

The fit's camera sees that square as `models.audiodvp.face_model.IMAGE_SIZE` px a side. Faces of any
size come out at one of four sides, none of which loses detail.
"""

import numpy as np

from models.arrays import FrameMask, Transforms
from models.audiodvp.face_model import IMAGE_SIZE

SIDES = (256, 512, 768, 1024)
"""What a crop may measure [px]."""


def crop_side(fit: Transforms, valid: FrameMask) -> int:
    """The least of SIDES [px] that is not smaller than the median square in the frame.

    Args:
        fit: Frame px → the fit's px.
        valid: There is a fit.
    """
    if not valid.any():
        return SIDES[0]
    zoom = np.hypot(fit[valid, 0, 0], fit[valid, 1, 0])
    native = IMAGE_SIZE / float(np.median(zoom))
    return next((side for side in SIDES if side >= native), SIDES[-1])


def crop_transforms(fit: Transforms, side: int) -> Transforms:
    """Frame px → crop px.

    Args:
        fit: Frame px → the fit's px.
        side: Of the crop [px].
    """
    return np.asarray(fit * np.float32(side / IMAGE_SIZE), np.float32)
