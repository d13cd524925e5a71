"""VideoReTalking's steps around its networks: coefficient windows, masks, pyramid blending.

Public repository: OpenTalker/video-retalking (`utils/inference_utils.py`).
"""

from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8
from numpy.typing import ArrayLike, NDArray

from models.arrays import FrameValues

_Floats = NDArray[np.float32]
AnyPicture = UInt8[np.ndarray, "height width channel"]  # A picture of any colour order
SoftMask = Float[np.ndarray, "height width"]  # 0..1 for each pixel

WINDOW = (-13, 13)
"""First frame of a window, and the one behind its last, as seen from the window's frame."""
EXPRESSION = slice(80, 144)
ANGLES = slice(224, 227)
TRANSLATION = slice(254, 257)
CROP = slice(259, 262)
"""Scale and shift of the face in its crop; width and height, before them, are not used."""
COEFFICIENTS = 262
"""257 of the 3DMM, then width, height, scale, x and y of the crop."""
WINDOW_COEFFICIENTS = 73
"""Of these in a window: expression 64, angles 3, translation 3, scale and shift of the crop 3."""
EXPRESSION_SHARE = 0.3
"""Of the distance by which the nearest frame is found; angles have the rest."""
MASK_BORDER_PX = 20
MASK_BLUR_PX = 101
MASK_SIGMA_PX = 11


def coefficient_windows(
    coefficients: Float[np.ndarray, "video_frame 262"],
    frames: ArrayLike,
    *,
    scale_ratios: ArrayLike = 1.0,
) -> Float32[np.ndarray, "frame 73 26"]:
    """D-Net's input: coefficients of the 26 frames around each frame.

    Frames before the first and behind the last repeat these.

    Args:
        coefficients: Of all frames of the video: 257 of the 3DMM, width, height, scale, x, y.
        frames: Indices of the frames wanted.
        scale_ratios: One for each frame wanted or one for all: factor on the scale, from
            `crop_scale_ratio`.

    Returns:
        Expression 64, angles 3, translation 3, scale and shift 3.

    Raises:
        ValueError: the coefficients have another shape.
    """
    _check_coefficients(coefficients)
    wanted = np.atleast_1d(np.asarray(frames))
    places = np.clip(wanted[:, None] + np.arange(*WINDOW), 0, len(coefficients) - 1)
    windows = coefficients[places]
    parts = [windows[..., part] for part in (EXPRESSION, ANGLES, TRANSLATION, CROP)]
    found: _Floats = np.concatenate(parts, -1).swapaxes(1, 2).astype(np.float32)
    found[:, -3] *= np.broadcast_to(np.asarray(scale_ratios, np.float32), wanted.shape)[:, None]
    return found


def crop_scale_ratio(
    source: Float[np.ndarray, "frame 262"], coefficients: Float[np.ndarray, "video_frame 262"]
) -> FrameValues:
    """How much larger each source is in its crop than the frame of the video that is most like it.

    1 for frames of the video itself. Likeness is 0.3 of the mean absolute difference of the
    expression and 0.7 of that of the angles.

    Args:
        source: As in `coefficient_windows`.
        coefficients: Likewise, of all frames of the video.

    Raises:
        ValueError: the coefficients have another shape.
    """
    _check_coefficients(source)
    _check_coefficients(coefficients)
    nearest = np.empty(len(source), np.intp)
    for place, one in enumerate(source):
        off = np.abs(coefficients - one)
        distance = EXPRESSION_SHARE * off[:, EXPRESSION].mean(1)
        distance = distance + (1 - EXPRESSION_SHARE) * off[:, ANGLES].mean(1)
        nearest[place] = np.argmin(distance)
    ratio = source[:, CROP.start] / coefficients[nearest, CROP.start]
    return np.asarray(ratio, np.float32)


def soften_mask(mask: SoftMask) -> Float32[np.ndarray, "height width"]:
    """The mask with a border of 20 pixels cleared, then blurred twice (101 pixels, sigma 11)."""
    inner = slice(MASK_BORDER_PX, -MASK_BORDER_PX)
    cleared = np.zeros(mask.shape, np.float32)
    cleared[inner, inner] = mask[inner, inner]
    for _ in range(2):
        cleared = np.asarray(
            cv2.GaussianBlur(cleared, (MASK_BLUR_PX, MASK_BLUR_PX), MASK_SIGMA_PX), np.float32
        )
    return cleared


def laplacian_blend(
    inside: AnyPicture, outside: AnyPicture, mask: SoftMask, *, levels: int
) -> Float32[np.ndarray, "height width channel"]:
    """One image over the other, each frequency band with its own softness of the mask.

    Burt and Adelson 1983. Every level of the 8-bit images is rounded to 8 bits.

    Args:
        inside: Seen where the mask is 1.
        outside: Seen where it is 0.
        mask: 0..1.
        levels: Of the pyramids, at least 1; VideoReTalking takes 10 for the mouth and 6 for the
            face, both at 512 x 512.

    Returns:
        Not clipped: up to a few units below 0 or above 255.

    Raises:
        ValueError: sizes differ, or there are no levels.
    """
    if inside.shape != outside.shape or inside.shape[:2] != mask.shape:
        raise ValueError(
            f"images and mask differ in size: {inside.shape}, {outside.shape}, {mask.shape}"
        )
    if levels < 1:
        raise ValueError(f"a pyramid has one level or more, not {levels}")
    bands = zip(
        _laplacian(inside, levels),
        _laplacian(outside, levels),
        _gaussian(mask.astype(np.float32), levels),
        strict=True,
    )
    blended = [_mixed(inner, outer, share) for inner, outer, share in bands]
    found = blended[-1]
    for band in reversed(blended[:-1]):
        found = _doubled(found, band.shape) + band
    return found


def _mixed(inside: _Floats, outside: _Floats, mask: _Floats) -> _Floats:
    """(H, W, C) twice and (H, W) → (H, W, C)."""
    share = mask[..., None]
    return np.asarray(inside * share + outside * (np.float32(1) - share), np.float32)


def _gaussian(image: NDArray[Any], levels: int) -> list[_Floats]:
    """Levels of the pyramid, finest first, in float."""
    pyramid = [image]
    for _ in range(levels - 1):
        pyramid.append(cv2.pyrDown(pyramid[-1]))
    return [level.astype(np.float32) for level in pyramid]


def _laplacian(image: NDArray[np.uint8], levels: int) -> list[_Floats]:
    """Bands of the image, finest first; the last is what remains."""
    pyramid = _gaussian(image, levels)
    bands = [fine - _doubled(coarse, fine.shape) for fine, coarse in pairwise(pyramid)]
    return [*bands, pyramid[-1]]


def _doubled(image: _Floats, shape: tuple[int, ...]) -> _Floats:
    """Twice as large, to the pixel that the finer level has."""
    return np.asarray(cv2.pyrUp(image, dstsize=(shape[1], shape[0])), np.float32)


def _check_coefficients(coefficients: NDArray[np.floating[Any]]) -> None:
    if coefficients.ndim != 2 or coefficients.shape[1] != COEFFICIENTS:
        raise ValueError(f"coefficients must be frames x 262, not {coefficients.shape}")
