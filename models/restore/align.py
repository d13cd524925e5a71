"""Cutting a face out by five points and pasting the restored one back.

Convention: points are (x, y) px with pixel centres on integers, in the order left eye (in the
image), right eye, nose, left and right corner of the mouth; an affine leads from frame to crop
(restoration's own crop of the whole face, not that of `models.faces.crop`). Images are RGB.

Two procedures: GFPGAN's (facexlib) and GPEN's, which VideoReTalking uses.
"""

import cv2
import numpy as np
from jaxtyping import Float, Float64, Integer
from numpy.typing import NDArray

from models.arrays import Affine, Crop, FivePoints, Picture, SizedCrop

SIZE = 512
FFHQ_POINTS = np.array(
    [
        [192.98138, 239.94708],
        [318.90277, 240.1936],
        [256.63416, 314.01935],
        [201.26117, 371.41043],
        [313.08905, 371.15118],
    ]
)
"""Mean points of FFHQ's aligned faces at 512 px."""
FFHQ_BORDER = (132, 133, 135)
"""What GFPGAN shows where the frame ends, RGB."""
ARCFACE_POINTS = np.array(
    [
        [30.29459953, 51.69630051],
        [65.53179932, 51.50139999],
        [48.02519989, 71.73660278],
        [33.54930115, 92.3655014],
        [62.72990036, 92.20410156],
    ]
)
"""In a crop of 96 x 112 px."""
GPEN_MARGIN = 0.25
"""Around ArcFace's crop made square, as a share of its side."""
GFPGAN_CLASSES = (*range(1, 14), 15)
"""ParseNet's labels that GFPGAN pastes: the head without hat, neck and clothes."""
MASK_BORDER = 10
"""Of the crop, which is never pasted [px of 512]."""
BLUR_SIZE = 101
BLUR_SIGMA = 11


def ffhq_affine(points: FivePoints, size: int = SIZE) -> Affine:
    """GFPGAN's similarity from the frame to its crop, by least median of squares.

    Args:
        points: [frame px].
        size: Side of the crop [px].
    """
    affine, _ = cv2.estimateAffinePartial2D(
        _five(points), FFHQ_POINTS * (size / SIZE), method=cv2.LMEDS
    )
    if affine is None:
        raise ValueError(f"no similarity fits these five points: {np.round(points, 1).tolist()}")
    return np.asarray(affine, np.float64)


def gpen_points(size: int = SIZE) -> Float64[np.ndarray, "5 2"]:
    """The places of the five points in GPEN's crop of that side [px]."""
    side = 112.0
    margin = side * GPEN_MARGIN
    inset = np.array([(side - 96) / 2, 0]) + margin
    points: Float64[np.ndarray, "5 2"] = (ARCFACE_POINTS + inset) * (size / (side + 2 * margin))
    return points


def gpen_affine(points: FivePoints, size: int = SIZE) -> Affine:
    """GPEN's similarity from the frame to its crop, by least squares (Umeyama 1991).

    Args:
        points: [frame px].
        size: Side of the crop [px].
    """
    source, target = _five(points), gpen_points(size)
    centred, aim = source - source.mean(0), target - target.mean(0)
    left, spread, right = np.linalg.svd(aim.T @ centred)
    sign = np.array([1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))])
    energy = np.square(centred).sum()
    if not energy:
        raise ValueError(f"the five points coincide: {points.tolist()}")
    turn = (left * sign) @ right * ((spread @ sign) / energy)
    return np.column_stack([turn, target.mean(0) - turn @ source.mean(0)])


def inverse(affine: Affine) -> Affine:
    """The affine from the crop back to the frame."""
    return np.asarray(cv2.invertAffineTransform(affine), np.float64)


def crop_face(
    frame: Picture, affine: Affine, size: int = SIZE, *, border: tuple[int, int, int] = (0, 0, 0)
) -> SizedCrop:
    """The crop of a frame.

    Args:
        frame: RGB.
        affine: From frame to crop.
        size: Side of the crop [px].
        border: Colour beyond the frame: FFHQ_BORDER for GFPGAN, black for GPEN.
    """
    crop = cv2.warpAffine(frame, affine, (size, size), borderValue=border)
    return np.asarray(crop, np.uint8)


def paste_mask(labels: Integer[np.ndarray, "512 512"]) -> Float64[np.ndarray, "512 512"]:
    """How much of each pixel of a crop GFPGAN pastes, 0..1.

    Args:
        labels: By ParseNet.
    """
    # Eight-bit values in double precision, as published: `paste_face` cuts off fractions, so any
    # other rounding would show in one pixel of twenty.
    mask = np.isin(labels, GFPGAN_CLASSES) * 255.0
    for _ in range(2):
        cv2.GaussianBlur(mask, (BLUR_SIZE, BLUR_SIZE), BLUR_SIGMA, dst=mask)
    inner = np.zeros_like(mask)
    within = np.s_[MASK_BORDER:-MASK_BORDER, MASK_BORDER:-MASK_BORDER]
    inner[within] = mask[within] / 255
    return inner


def paste_face(
    frame: Picture, face: Crop, affine: Affine, mask: Float64[np.ndarray, "side side"]
) -> Picture:
    """The frame with the restored face over it.

    Args:
        frame: RGB.
        face: The restored crop, RGB.
        affine: From frame to crop.
        mask: How much of the face to show, 0..1; stretched to the crop's size.
    """
    height, width = frame.shape[:2]
    back = inverse(affine)
    if mask.shape != face.shape[:2]:
        mask = np.asarray(cv2.resize(mask, face.shape[1::-1]), np.float64)
    pasted = frame.copy()
    region = _covered(back, face.shape[:2], frame.shape[:2])
    over = cv2.warpAffine(face, back, (width, height))[region]
    share = cv2.warpAffine(mask, back, (width, height))[region][..., None]
    # Cut off, not rounded, as published.
    pasted[region] = (share * over + (1 - share) * frame[region]).astype(np.uint8)
    return pasted


def _covered(
    back: NDArray[np.float64], crop_size: tuple[int, ...], frame_size: tuple[int, ...]
) -> tuple[slice, slice]:
    """Rows and columns of the frame that the crop can reach."""
    height, width = crop_size
    corners = np.array([[-1, -1, 1], [width, -1, 1], [-1, height, 1], [width, height, 1]])
    reached = corners @ back.T
    low = np.floor(reached.min(0)).astype(int)
    high = np.ceil(reached.max(0)).astype(int) + 1
    rows, columns = (
        slice(*np.clip((low[axis], high[axis]), 0, frame_size[1 - axis])) for axis in (1, 0)
    )
    return rows, columns


def _five(points: Float[np.ndarray, "..."]) -> Float64[np.ndarray, "5 2"]:
    points = np.asarray(points, np.float64)
    if points.shape != (5, 2) or not np.isfinite(points).all():
        raise ValueError(f"five points (x, y) are needed, not {points.tolist()}")
    return points
