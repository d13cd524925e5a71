"""The crop that Meta Talk works in: the middle of the fit's square, at the sharpness of the source.

The fit's camera sees its square as `models.audiodvp.face_model.IMAGE_SIZE` px a side, and in its
middle the lower face. Faces of any size come out at one of four sides, none of which loses detail.
"""

import numpy as np

from models.arrays import FrameMask, Transforms
from models.audiodvp.face_model import IMAGE_SIZE

SIDES = (256, 512, 768, 1024)
"""What a crop may measure [px]."""


def crop_side(fit: Transforms, valid: FrameMask, zoom: float) -> int:
    """The least of SIDES [px] that is not smaller than the median crop in the frame.

    Args:
        fit: Frame px → the fit's px.
        valid: There is a fit.
        zoom: Sides of the fit's square in a side of the crop.
    """
    if not valid.any():
        return SIDES[0]
    scale = np.hypot(fit[valid, 0, 0], fit[valid, 1, 0]) * zoom
    native = IMAGE_SIZE / float(np.median(scale))
    return next((side for side in SIDES if side >= native), SIDES[-1])


def crop_transforms(fit: Transforms, side: int, zoom: float) -> Transforms:
    """Frame px → crop px.

    Args:
        fit: Frame px → the fit's px.
        side: Of the crop [px].
        zoom: Sides of the fit's square in a side of the crop.
    """
    found = fit * np.float32(zoom * side / IMAGE_SIZE)
    found[..., 2] += np.float32((1 - zoom) * side / 2)
    return np.asarray(found, np.float32)
