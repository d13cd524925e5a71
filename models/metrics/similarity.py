"""Similarity of two images: PSNR by OpenCV, SSIM by scikit-image, with the settings of papers."""

import math
from typing import Literal

import cv2
import numpy as np
from jaxtyping import UInt8
from skimage.metrics import structural_similarity

AnyPicture = UInt8[np.ndarray, "h w *channel"]  # gray, or colours in any order


def psnr(image: AnyPicture, reference: AnyPicture) -> float:
    """Peak signal to noise ratio [dB] of gray or colour images; inf where equal."""
    _same_shape(image, reference)
    if np.array_equal(image, reference):
        return math.inf
    return float(cv2.PSNR(image, reference, 255.0))


def ssim(
    image: AnyPicture, reference: AnyPicture, *, window: Literal["uniform", "gaussian"] = "uniform"
) -> float:
    """Structural similarity of gray or colour images, the mean over pixels and channels.

    Args:
        image: At least as large as the window.
        reference: Of the same shape; the result is symmetric.
        window: `uniform`: 7 x 7, sample covariance, scikit-image's default. `gaussian`: sigma 1.5,
            11 x 11, population covariance, as in Wang et al. 2004.
    """
    _same_shape(image, reference)
    settings = (
        {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        if window == "gaussian"
        else {"win_size": 7}
    )
    channel_axis = 2 if image.ndim == 3 else None
    found = structural_similarity(
        image, reference, data_range=255, channel_axis=channel_axis, **settings
    )
    return float(found)


def _same_shape(image: UInt8[np.ndarray, "..."], reference: UInt8[np.ndarray, "..."]) -> None:
    if image.shape != reference.shape:
        raise ValueError(f"an image {image.shape} has no reference {reference.shape}")
