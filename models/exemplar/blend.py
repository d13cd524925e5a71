"""Putting a rendered mouth into its frame: colour match, blending, and the way back to frame px."""

import cv2
import numpy as np
from numpy.typing import NDArray

from models.exemplar.crop import pixel_matrix
from models.exemplar.render import Rendered
from models.exemplar.settings import BlendSettings
from models.exemplar.warp import remap

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]

_MATCH_SIZE = 48
"""Side of the small images on which colours are compared [px]."""

_MATCH_LIMIT = 45.0
"""Largest colour shift [levels]: beyond it the edge shows something else than skin."""

_BANDS = 4


def match_colour(patch: Image, own: Image, mask: Image) -> Floats:
    """What to add to the patch so that it meets the frame at the mask's edge.

    Differences on the ring where the mask fades are carried inwards with a weight that falls with
    distance, as a membrane would; they are slow, so detail stays the patch's own.

    Args:
        patch: (size, size, 3) uint8 RGB.
        own: (size, size, 3) uint8 RGB, the frame's own crop.
        mask: (size, size) uint8, 0..255.

    Returns:
        (48, 48, 3) float32 levels.
    """
    small = (_MATCH_SIZE, _MATCH_SIZE)
    a = cv2.resize(patch, small, interpolation=cv2.INTER_AREA).astype(np.float32)
    b = cv2.resize(own, small, interpolation=cv2.INTER_AREA).astype(np.float32)
    m = cv2.resize(mask, small, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    difference = b - a
    ring = 4 * m * (1 - m)
    # Where the two differ much in structure (a shadow edge, hair) the ring says little of colour.
    ring *= 1 / (1 + (np.abs(difference).max(-1) / 30) ** 2)
    total = np.zeros_like(m)
    out = np.zeros_like(difference)
    for sigma, weight in ((3.0, 1.0), (8.0, 0.08), (20.0, 0.01)):
        total += weight * cv2.GaussianBlur(ring, (0, 0), sigma)
        out += weight * cv2.GaussianBlur(difference * ring[..., None], (0, 0), sigma)
    return np.asarray(np.clip(out / (total[..., None] + 1e-5), -_MATCH_LIMIT, _MATCH_LIMIT))


def blend_crop(own: Image, rendered: Rendered, settings: BlendSettings | None = None) -> Image:
    """The new crop (size, size, 3) uint8 RGB, from the frame's own crop and the rendered mouth."""
    settings = settings or BlendSettings()
    base = remap(own, rendered.own_shift * np.float32(settings.strength))
    patch, mask = rendered.patch, rendered.mask
    if settings.strength < 1:
        mask = np.asarray(cv2.convertScaleAbs(mask, alpha=settings.strength), np.uint8)
    if settings.colour_match:
        shift = cv2.resize(match_colour(patch, base, rendered.mask), patch.shape[:2])
        patch = np.asarray(cv2.add(patch, shift, dtype=cv2.CV_8U), np.uint8)
    if settings.mode == "multiband":
        return _multiband(base, patch, mask)
    return _feather(base, patch, mask)


def _feather(base: Image, patch: Image, mask: Image) -> Image:
    weight = mask.astype(np.float32) * np.float32(1 / 255)
    return np.asarray(cv2.blendLinear(patch, base, weight, 1 - weight), np.uint8)


def _multiband(base: Image, patch: Image, mask: Image) -> Image:
    """Laplacian pyramid blending (Burt and Adelson 1983): coarse detail mixes over more pixels."""
    weight = mask.astype(np.float32) * np.float32(1 / 255)
    a, b = patch.astype(np.float32), base.astype(np.float32)
    bands: list[Floats] = []
    for _ in range(_BANDS - 1):
        small_a, small_b = _half(a), _half(b)
        size = (a.shape[1], a.shape[0])
        detail = (a - cv2.pyrUp(small_a, dstsize=size)), (b - cv2.pyrUp(small_b, dstsize=size))
        bands.append(detail[1] + weight[..., None] * (detail[0] - detail[1]))
        a, b, weight = small_a, small_b, _half(weight)
    out = b + weight[..., None] * (a - b)
    for band in reversed(bands):
        out = cv2.pyrUp(out, dstsize=(band.shape[1], band.shape[0])) + band
    mixed = np.clip(out + 0.5, 0, 255).astype(np.uint8)
    # Coarse bands reach beyond the mask; the frame must not change where the mask is zero.
    keep = cv2.GaussianBlur(np.minimum(mask, 8).astype(np.float32) / 8, (0, 0), 1.0) * (mask > 0)
    return np.asarray(cv2.blendLinear(mixed, base, keep, 1 - keep), np.uint8)


def _half(image: Floats) -> Floats:
    return np.asarray(cv2.pyrDown(image), np.float32)


def composite(
    frame: Image,
    own: Image,
    rendered: Rendered,
    *,
    transform: Floats,
    settings: BlendSettings | None = None,
) -> Image:
    """The frame with the rendered mouth in it.

    Only pixels that change are touched: what goes back into the frame is the difference that
    blending makes to the own crop, so nothing is resampled where the mouth is not.

    Args:
        frame: (h, w, 3) uint8 RGB.
        own: (size, size, 3) uint8 RGB, the frame's own crop, `cut(frame, transform, size)`.
        rendered: what `Renderer.render` gave.
        transform: (2, 3) float32, frame px → crop px.

    Returns:
        A new (h, w, 3) uint8 RGB frame.
    """
    new = blend_crop(own, rendered, settings)
    changed = _change_mask(rendered)
    x0, y0, x1, y1 = _reach(transform, own.shape[0], frame.shape)
    out = frame.copy()
    if x1 <= x0 or y1 <= y0:
        return out
    matrix = pixel_matrix(transform)
    matrix[:, 2] += matrix[:, :2] @ np.array([x0, y0])  # from the rectangle's own origin
    flags = cv2.WARP_INVERSE_MAP
    size = (x1 - x0, y1 - y0)
    area = cv2.warpAffine(
        new, matrix, size, flags=flags | cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    weight = cv2.warpAffine(changed, matrix, size, flags=flags | cv2.INTER_LINEAR)
    part = out[y0:y1, x0:x1]
    part[...] = cv2.blendLinear(area, np.ascontiguousarray(part), weight, 1 - weight)
    return out


def _change_mask(rendered: Rendered) -> Floats:
    """(size, size) float32 0..1: 1 where the crop's pixels changed, soft around it."""
    size = rendered.mask.shape[0]
    moved = np.hypot(rendered.own_shift[..., 0], rendered.own_shift[..., 1])
    moved = cv2.resize(moved, (size, size), interpolation=cv2.INTER_LINEAR)
    shifted = np.clip((moved - 0.1) / 0.3, 0, 1)
    patched = np.minimum(rendered.mask, 16).astype(np.float32) / 16
    return np.maximum(shifted, patched).astype(np.float32)


def _reach(transform: Floats, size: int, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The rectangle x0, y0, x1, y1 of the frame that the crop covers."""
    inverse = cv2.invertAffineTransform(transform.astype(np.float64))
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]]) @ inverse[:, :2].T
    corners = corners + inverse[:, 2]
    low, high = np.floor(corners.min(0)).astype(int), np.ceil(corners.max(0)).astype(int)
    x0, y0 = max(0, low[0]), max(0, low[1])
    return int(x0), int(y0), int(min(shape[1], high[0])), int(min(shape[0], high[1]))
