"""Putting a rendered mouth into its frame: colour match, blending, and the way back to frame px."""

import cv2
import numpy as np
from numpy.typing import NDArray

from models.exemplar.crop import pixel_matrix
from models.exemplar.render import PATCH_MARGIN, Rendered
from models.exemplar.settings import BlendSettings
from models.exemplar.warp import Box, active_box, full_size, remap

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
    weighted = np.dstack([difference * ring[..., None], ring])
    out = 0.01 * weighted.mean((0, 1))
    for sigma, weight in ((3.0, 1.0), (8.0, 0.08)):
        out = out + weight * cv2.GaussianBlur(weighted, (0, 0), sigma)
    return np.asarray(
        np.clip(out[..., :3] / (out[..., 3:] + 1e-5), -_MATCH_LIMIT, _MATCH_LIMIT), np.float32
    )


def blend_box(
    own: Image, rendered: Rendered, *, settings: BlendSettings | None = None
) -> tuple[Box, Image, Floats] | None:
    """The part of the crop that changes.

    Args:
        own: (size, size, 3) uint8 RGB, the frame's own crop.
        rendered: what `Renderer.render` gave for it.

    Returns:
        The box, its new pixels (h, w, 3) uint8 RGB, and how much of them replaces the frame's
        (h, w) float32 0..1, 0 towards the box's edges. None where nothing changes.
    """
    settings = settings or BlendSettings()
    shift = rendered.own_shift * np.float32(settings.strength)
    changed = _changed(rendered.mask, shift)
    box = active_box(changed, margin=PATCH_MARGIN)
    if box is None or settings.strength == 0:
        return None
    base = remap(own, full_size(shift, len(own)), box)
    mask = np.ascontiguousarray(box.of(rendered.mask))
    patch = np.asarray(cv2.copyTo(box.of(rendered.patch), mask, base.copy()), np.uint8)
    if settings.colour_match:
        tint = cv2.resize(match_colour(patch, base, mask), mask.shape[::-1])
        patch = np.asarray(cv2.add(patch, tint, dtype=cv2.CV_8U), np.uint8)
    weight = mask.astype(np.float32) * np.float32(settings.strength / 255)
    blend = _multiband if settings.mode == "multiband" else _feather
    return box, blend(base, patch, weight), np.ascontiguousarray(box.of(changed))


def blend_crop(own: Image, rendered: Rendered, *, settings: BlendSettings | None = None) -> Image:
    """The new crop (size, size, 3) uint8 RGB."""
    blended = blend_box(own, rendered, settings=settings)
    out = own.copy()
    if blended is not None:
        box, new, weight = blended
        part = np.ascontiguousarray(box.of(own))
        box.of(out)[...] = cv2.blendLinear(new, part, weight, 1 - weight)
    return out


def _changed(mask: Image, shift: Floats) -> Floats:
    """(size, size) float32 0..1: 1 where pixels of the crop change visibly, soft around that."""
    size = len(mask)
    moved = np.clip((np.abs(shift).max(-1) - 0.15) * (1 / 0.3), 0, 1)
    moved = cv2.resize(moved, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.max(moved, np.minimum(mask, 16) * np.float32(1 / 16)), np.float32)


def _feather(base: Image, patch: Image, weight: Floats) -> Image:
    return np.asarray(cv2.blendLinear(patch, base, weight, 1 - weight), np.uint8)


def _multiband(base: Image, patch: Image, weight: Floats) -> Image:
    """Laplacian pyramid blending (Burt and Adelson 1983): coarse detail mixes over more pixels."""
    a, b, share = patch.astype(np.float32), base.astype(np.float32), weight
    bands: list[Floats] = []
    for _ in range(_BANDS - 1):
        small_a, small_b = _half(a), _half(b)
        size = (a.shape[1], a.shape[0])
        detail_a = a - cv2.pyrUp(small_a, dstsize=size)
        detail_b = b - cv2.pyrUp(small_b, dstsize=size)
        bands.append(detail_b + share[..., None] * (detail_a - detail_b))
        a, b, share = small_a, small_b, _half(share)
    out = b + share[..., None] * (a - b)
    for band in reversed(bands):
        out = cv2.pyrUp(out, dstsize=(band.shape[1], band.shape[0])) + band
    mixed = np.clip(out + 0.5, 0, 255).astype(np.uint8)
    # Coarse bands reach beyond the mask; the frame must not change where the mask is zero.
    keep = np.clip(weight * 32, 0, 1)
    return _feather(base, mixed, keep)


def _half(image: Floats) -> Floats:
    return np.asarray(cv2.pyrDown(image), np.float32)


def composite(
    frame: Image,
    own: Image,
    rendered: Rendered,
    *,
    transform: Floats,
    settings: BlendSettings | None = None,
    in_place: bool = False,
) -> Image:
    """The frame with the rendered mouth in it.

    Only pixels that change are touched: what goes back into the frame is the difference that
    blending makes to the own crop, so nothing is resampled where the mouth is not.

    Args:
        frame: (h, w, 3) uint8 RGB.
        own: (size, size, 3) uint8 RGB, the frame's own crop, `cut(frame, transform, size)`.
        rendered: what `Renderer.render` gave.
        transform: (2, 3) float32, frame px → crop px.
        in_place: write into `frame` itself and return it, which saves a copy.

    Returns:
        The (h, w, 3) uint8 RGB frame.
    """
    out = frame if in_place else frame.copy()
    blended = blend_box(own, rendered, settings=settings)
    if blended is None:
        return out
    box, new, weight = blended
    to_box = transform.copy()
    to_box[:, 2] -= (box.x0, box.y0)
    x0, y0, x1, y1 = _reach(to_box, new.shape, frame.shape)
    if x1 <= x0 or y1 <= y0:
        return out
    matrix = pixel_matrix(to_box)
    matrix[:, 2] += matrix[:, :2] @ np.array([x0, y0])  # from the rectangle's own origin
    size = (x1 - x0, y1 - y0)
    inverse = cv2.WARP_INVERSE_MAP
    area = cv2.warpAffine(
        new, matrix, size, flags=inverse | cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    share = cv2.warpAffine(weight, matrix, size, flags=inverse | cv2.INTER_LINEAR)
    part = out[y0:y1, x0:x1]
    part[...] = cv2.blendLinear(area, np.ascontiguousarray(part), share, 1 - share)
    return out


def _reach(
    transform: Floats, size: tuple[int, ...], shape: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """The rectangle x0, y0, x1, y1 of the frame that a picture of size (h, w) covers."""
    h, w = size[:2]
    inverse = cv2.invertAffineTransform(transform.astype(np.float64))
    corners = np.array([[0, 0], [w, 0], [0, h], [w, h]]) @ inverse[:, :2].T
    corners = corners + inverse[:, 2]
    low, high = np.floor(corners.min(0)).astype(int), np.ceil(corners.max(0)).astype(int)
    x0, y0 = max(0, low[0]), max(0, low[1])
    return int(x0), int(y0), int(min(shape[1], high[0])), int(min(shape[0], high[1]))
