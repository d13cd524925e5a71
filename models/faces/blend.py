"""Putting a rendered mouth into its frame: colour match and blending, in the frame's own pixels.

The mouth is brought to the frame, not the frame to the mouth: pixels of the frame that stay are
never resampled. A picture here is a frame or an area of one (see `models.faces`).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray

from models.arrays import Mask, Picture, Transform
from models.faces.crop.crop import covered, pixel_matrix
from models.faces.crop.rendered import PATCH_MARGIN, SHIFT_GRID, Rendered
from models.faces.crop.warp import Box, active_box
from models.faces.settings import BlendSettings

_Floats = NDArray[np.float32]
_Image = NDArray[np.uint8]
_Matrix = NDArray[np.float64]

_MATCH_SIZE = 48
"""Side of the small images on which colours are compared [px]."""

_MATCH_LIMIT = 45.0
"""Largest colour shift [levels]: beyond it the edge shows something else than skin."""

_VISIBLE_SHIFT_PX = 0.15
"""Own pixels that move less than this are left where they are."""

_BANDS = 4


@dataclass(frozen=True)
class Blended:
    """New pixels for a rectangle of a picture.

    Attributes:
        x0: left edge [picture px].
        y0: upper edge [picture px].
        rgb: RGB.
        weight: 0 keeps the picture, 1 takes `rgb`; None: all of it is taken.
    """

    x0: int
    y0: int
    rgb: Picture
    weight: Float32[np.ndarray, "height width"] | None

    def onto(self, picture: Picture) -> Picture:
        """A copy of the picture, RGB, with the new pixels in it."""
        out = picture.copy()
        h, w = self.rgb.shape[:2]
        part = out[self.y0 : self.y0 + h, self.x0 : self.x0 + w]
        kept = np.ascontiguousarray(part)
        weight = np.ones((h, w), np.float32) if self.weight is None else self.weight
        part[...] = cv2.blendLinear(self.rgb, kept, weight, 1 - weight)
        return out


def blend(
    area: Picture,
    rendered: Rendered,
    *,
    transform: Transform,
    settings: BlendSettings | None = None,
) -> Blended | None:
    """The part of a picture that a rendered mouth changes.

    Args:
        area: RGB, a frame or the area of it that the crop covers.
        rendered: the mouth, in its crop.
        transform: area px → crop px.
        settings: how it is blended.

    Returns:
        The new pixels; None where nothing changes.
    """
    settings = settings or BlendSettings()
    box = _changed_box(rendered)
    if box is None or settings.strength == 0:
        return None
    rect = covered(box, transform, area.shape)
    if rect is None:
        return None
    to_crop = pixel_matrix(transform)
    to_crop[:, 2] += to_crop[:, :2] @ np.array([rect.x0, rect.y0])
    patch = _brought(rendered.patch, to_crop, rect, cv2.INTER_CUBIC)
    mask = _brought(rendered.mask, to_crop, rect, cv2.INTER_LINEAR)
    shift = _shift(rendered, to_crop, rect) * np.float32(settings.strength)
    base = _moved(area, shift, rect)
    new = base.copy()
    cv2.copyTo(patch, mask, new)
    if settings.colour_match:
        tint = cv2.resize(match_colour(new, base, mask), mask.shape[::-1])
        new = np.asarray(cv2.add(new, tint, dtype=cv2.CV_8U), np.uint8)
    share = mask.astype(np.float32) * np.float32(settings.strength / 255)
    mix = _multiband if settings.mode == "multiband" else _mixed
    mixed = mix(base, new, share)
    distance = np.maximum(np.abs(shift[..., 0]), np.abs(shift[..., 1]))
    moved = np.clip((distance - _VISIBLE_SHIFT_PX) * (1 / 0.3), 0, 1)
    weight = cv2.max(moved, np.minimum(mask, 16) * np.float32(1 / 16))
    return Blended(rect.x0, rect.y0, mixed, np.asarray(weight, np.float32))


def pasted(patch: UInt8[np.ndarray, "y x 3"], box: Box) -> Picture:
    """A patch, RGB, stretched over a box, to replace all in it: no blending."""
    return np.asarray(cv2.resize(patch, (box.x1 - box.x0, box.y1 - box.y0)), np.uint8)


def match_colour(patch: Picture, own: Picture, mask: Mask) -> Float32[np.ndarray, "48 48 3"]:
    """Colours [levels] to add to the patch, stretched over it, so that it meets the frame's.

    They meet at the mask's edge. Differences on the ring where the mask fades are carried inwards
    with a weight that falls with distance, as a membrane would; they are slow, so detail stays the
    patch's own.

    Args:
        patch: RGB.
        own: RGB, the frame's own pixels.
        mask: 0 = frame only, 255 = patch only.
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


def _changed_box(rendered: Rendered) -> Box | None:
    """Where the mouth is drawn or the frame's own pixels move [crop px]."""
    size = len(rendered.mask)
    drawn = active_box(rendered.mask, margin=PATCH_MARGIN)
    far = np.abs(rendered.own_shift).max(-1) > _VISIBLE_SHIFT_PX
    cells = active_box(far.astype(np.uint8), margin=1)
    if cells is None or drawn is None:
        return drawn
    scale = size / SHIFT_GRID
    return Box(
        min(drawn.y0, int(cells.y0 * scale)),
        max(drawn.y1, int(np.ceil(cells.y1 * scale))),
        min(drawn.x0, int(cells.x0 * scale)),
        max(drawn.x1, int(np.ceil(cells.x1 * scale))),
    )


def _brought(picture: _Image, to_crop: _Matrix, rect: Box, how: int) -> _Image:
    """A picture in crop px, as seen in the rectangle of the area."""
    size = (rect.x1 - rect.x0, rect.y1 - rect.y0)
    flags = how | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(picture, to_crop, size, flags=flags), np.uint8)


def _shift(rendered: Rendered, to_crop: _Matrix, rect: Box) -> _Floats:
    """`own_shift` in the rectangle (h, w, 2) [area px]."""
    cell = SHIFT_GRID / len(rendered.mask)
    to_grid = to_crop * cell
    to_grid[:, 2] += 0.5 * cell - 0.5
    size = (rect.x1 - rect.x0, rect.y1 - rect.y0)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    shift = cv2.warpAffine(rendered.own_shift, to_grid, size, flags=flags)
    return np.asarray(cv2.transform(shift, np.linalg.inv(to_crop[:, :2])), np.float32)


def _moved(area: _Image, shift: _Floats, rect: Box) -> _Image:
    """The rectangle with its pixels moved: out(p) = area(p + shift(p)). Unmoved ones are exact."""
    x = np.arange(rect.x0, rect.x1, dtype=np.float32)
    y = np.arange(rect.y0, rect.y1, dtype=np.float32)[:, None]
    moved = cv2.remap(
        area, shift[..., 0] + x, shift[..., 1] + y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(moved, np.uint8)


def _mixed(base: _Image, patch: _Image, weight: _Floats) -> _Image:
    return np.asarray(cv2.blendLinear(patch, base, weight, 1 - weight), np.uint8)


def _multiband(base: _Image, patch: _Image, weight: _Floats) -> _Image:
    """Laplacian pyramid blending (Burt and Adelson 1983): coarse detail mixes over more pixels."""
    a, b, share = patch.astype(np.float32), base.astype(np.float32), weight
    bands: list[_Floats] = []
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
    return _mixed(base, mixed, keep)


def _half(image: _Floats) -> _Floats:
    return np.asarray(cv2.pyrDown(image), np.float32)
