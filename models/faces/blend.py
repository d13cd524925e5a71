"""Putting a rendered mouth into its frame: colour match and blending, in the frame's own pixels.

The mouth is brought to the frame, not the frame to the mouth: pixels of the frame that stay are
never resampled. A picture here is a frame or an area of one (see `models.faces`). It comes in
parts: one of RGB, or one of luma and one of the two colour differences, as a video holds it; so
nothing of a frame has to be made RGB and back.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray

from models.arrays import Mask, Picture, Transform
from models.faces.coding import RGB, SMALL_PX, Codes, Coding
from models.faces.crop.crop import copied, covered, pixel_matrix
from models.faces.crop.rendered import SHIFT_GRID, VISIBLE_SHIFT_PX, Rendered
from models.faces.crop.warp import Box, part_of_field
from models.faces.settings import BlendSettings

_Floats = NDArray[np.float32]
_Numbers = NDArray[Any]
_Image = NDArray[np.uint8]

_MATCH_LIMIT = 45.0
"""Largest colour shift [levels]: beyond it the edge shows something else than skin."""

_BANDS = 4

_LEVELS = np.arange(256, dtype=np.float32)
_EDGE = np.minimum(_LEVELS / 16, 1)
"""By the mask: within its outermost sixteenth the frame comes in."""


@dataclass(frozen=True)
class Blended:
    """New samples for a rectangle of a picture.

    Attributes:
        x0: left edge [picture px].
        y0: upper edge [picture px].
        parts: codes of each part.
        share: 0..1, how much of each pixel is new.
        moved: How visibly the frame's own pixels move; 1 and more: they do.
        shown: 0..1, how much of the mouth shows.
    """

    x0: int
    y0: int
    parts: tuple[Codes, ...]
    share: Float32[np.ndarray, "height width"]
    moved: Float32[np.ndarray, "height width"]
    shown: Float32[np.ndarray, "height width"]

    @property
    def opacity(self) -> Float32[np.ndarray, "height width"]:
        """0..1, how much of what was there before is gone, as it moved or lies below the mouth."""
        return np.minimum(cv2.max(self.moved, self.shown), np.float32(1))

    def lit(self, levels: Float32[np.ndarray, "height width"], coding: Coding) -> "Blended":
        """The same with so much light [codes of 8 bits] added to what is new, colours unchanged."""
        more = levels * self.share * np.float32(coding.maximum / 255)
        first = self.parts[0]
        lit = _added(first, more if first.ndim == 2 else cv2.merge([more] * 3))
        return replace(self, parts=(np.minimum(lit, coding.maximum), *self.parts[1:]))

    def onto(self, picture: Picture) -> Picture:
        """A copy of the picture, RGB, with the new pixels in it."""
        out = picture.copy()
        (new,) = self.parts
        out[self.y0 : self.y0 + len(new), self.x0 : self.x0 + new.shape[1]] = new
        return out


def blend(
    area: Sequence[Codes],
    rendered: Rendered,
    *,
    transform: Transform,
    coding: Coding = RGB,
    settings: BlendSettings | None = None,
) -> Blended | None:
    """The part of a picture that a rendered mouth changes.

    Args:
        area: the parts of a frame, or of the area of it that `rendered.changed` covers and 4 px
            around; it begins at a multiple of the coding's grid.
        rendered: the mouth, in its crop.
        transform: area px → crop px.
        coding: of the parts.
        settings: how it is blended.

    Returns:
        The new samples; None where nothing changes.
    """
    settings = settings or BlendSettings()
    if rendered.changed is None or settings.strength == 0:
        return None
    rect = covered(rendered.changed, transform, area[0].shape)
    if rect is None:
        return None
    rect = _on_grid(rect, area[0].shape, coding.grid)
    patch, mask, shift = _brought(rendered, transform, rect)
    if settings.strength != 1:
        shift *= np.float32(settings.strength)
    moved = _visible(shift)
    weight = np.minimum(cv2.max(moved, cv2.LUT(mask, _EDGE)), np.float32(1))
    masks = coding.sampled(mask)
    bases, news = [], []
    brought = zip(area, coding.parts(patch), masks, coding.sampled(shift), strict=True)
    for (part, new_part, shown, by), grid in zip(brought, coding.grids, strict=True):
        base = _moved(part, by, rect, grid)
        new = base.copy()
        cv2.copyTo(new_part, shown, new)
        bases.append(base)
        news.append(new)
    if settings.colour_match:
        tint = colour_difference(coding.small_rgb(news), coding.small_rgb(bases), mask)
        news = [
            _added(new, cv2.resize(by, new.shape[1::-1]))
            for new, by in zip(news, coding.tints(tint), strict=True)
        ]
    mix = _multiband if settings.mode == "multiband" else mixed
    weights = coding.sampled(weight)
    levels = _LEVELS * np.float32(settings.strength / 255)
    shares = [np.asarray(cv2.LUT(shown, levels), np.float32) for shown in masks]
    parts = []
    for part, base, new, share, changed, grid in zip(
        area, bases, news, shares, weights, coding.grids, strict=True
    ):
        out = mix(base, np.minimum(new, coding.maximum), share)
        parts.append(mixed(_part(part, rect, grid), out, changed))
    return Blended(rect.x0, rect.y0, tuple(parts), weights[0], moved, shares[0])


def _visible(shift: _Floats) -> _Floats:
    """How visibly each pixel moves: 1 and more where it does, 0 and less where not."""
    x, y = cv2.split(np.abs(shift))
    moved = np.maximum(x, y, dtype=np.float32)
    moved -= np.float32(VISIBLE_SHIFT_PX)
    moved *= np.float32(1 / 0.3)
    return moved


def _part(area: Codes, rect: Box, grid: tuple[int, int]) -> Codes:
    """A rectangle [px] of the samples of one part."""
    across, down = grid
    rows = slice(rect.y0 // down, rect.y1 // down)
    return area[rows, rect.x0 // across : rect.x1 // across]


def _added(codes: Codes, more: _Numbers) -> Codes:
    kind = cv2.CV_8U if codes.dtype == np.uint8 else cv2.CV_16U
    return cast(Codes, cv2.add(codes, more, dtype=kind))


def _on_grid(rect: Box, shape: tuple[int, ...], grid: tuple[int, int]) -> Box:
    """The rectangle grown to whole samples of every part."""
    (across, down), (h, w) = grid, shape[:2]
    return Box(
        rect.y0 - rect.y0 % down,
        min(rect.y1 + -rect.y1 % down, h - h % down),
        rect.x0 - rect.x0 % across,
        min(rect.x1 + -rect.x1 % across, w - w % across),
    )


def pasted(patch: UInt8[np.ndarray, "y x 3"], box: Box) -> Picture:
    """A patch, RGB, stretched over a box, to replace all in it: no blending."""
    return np.asarray(cv2.resize(patch, (box.x1 - box.x0, box.y1 - box.y0)), np.uint8)


def colour_difference(
    patch: Float32[np.ndarray, "48 48 3"], own: Float32[np.ndarray, "48 48 3"], mask: Mask
) -> Float32[np.ndarray, "48 48 3"]:
    """Colours [levels] to add to the patch, stretched over it, so that it meets the frame's.

    They meet at the mask's edge. Differences on the ring where the mask fades are carried inwards
    with a weight that falls with distance, as a membrane would; they are slow, so detail stays the
    patch's own.

    Args:
        patch: RGB, made small.
        own: RGB, the frame's own pixels, made small.
        mask: of any size; 0 = frame only, 255 = patch only.
    """
    small = (SMALL_PX, SMALL_PX)
    m = cv2.resize(mask, small, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    difference = own - patch
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


def _brought(rendered: Rendered, transform: Transform, rect: Box) -> tuple[_Image, _Image, _Floats]:
    """Patch, mask and `own_shift` [area px] as seen in a rectangle of the area."""
    if (by := copied(transform)) is not None:
        box = Box(rect.y0 + by[1], rect.y1 + by[1], rect.x0 + by[0], rect.x1 + by[0])
        shift = part_of_field(rendered.own_shift, box, len(rendered.mask))
        return _of_crop(rendered.patch, box), _of_crop(rendered.mask, box), shift
    to_crop = pixel_matrix(transform)
    to_crop[:, 2] += to_crop[:, :2] @ np.array([rect.x0, rect.y0])
    size = (rect.x1 - rect.x0, rect.y1 - rect.y0)
    sharp, smooth = (how | cv2.WARP_INVERSE_MAP for how in (cv2.INTER_CUBIC, cv2.INTER_LINEAR))
    patch = cv2.warpAffine(rendered.patch, to_crop, size, flags=sharp)
    mask = cv2.warpAffine(rendered.mask, to_crop, size, flags=smooth)
    cell = SHIFT_GRID / len(rendered.mask)
    to_grid = to_crop * cell
    to_grid[:, 2] += 0.5 * cell - 0.5
    field = cv2.warpAffine(rendered.own_shift, to_grid, size, flags=smooth)
    shift = np.asarray(cv2.transform(field, np.linalg.inv(to_crop[:, :2])), np.float32)
    return np.asarray(patch, np.uint8), np.asarray(mask, np.uint8), shift


def _of_crop(picture: _Image, box: Box) -> _Image:
    """The part of a crop in a box; black beyond it."""
    h, w = picture.shape[:2]
    out = (max(0, -box.y0), max(0, box.y1 - h), max(0, -box.x0), max(0, box.x1 - w))
    inner = picture[max(0, box.y0) : box.y1, max(0, box.x0) : box.x1]
    if not any(out):
        return inner
    return np.asarray(cv2.copyMakeBorder(inner, *out, cv2.BORDER_CONSTANT), np.uint8)


def _moved(area: Codes, shift: _Floats, rect: Box, grid: tuple[int, int]) -> Codes:
    """The rectangle with its samples moved: out(p) = area(p + shift(p)). Unmoved ones are exact.

    Args:
        shift: (h, w, 2) for each sample [px].
        grid: px along x and y that a sample covers.
    """
    (across, down), (h, w) = grid, shift.shape[:2]
    x, y = cv2.split(shift)
    for by, samples in ((x, across), (y, down)):
        if samples > 1:
            by *= np.float32(1 / samples)
    x += np.arange(w, dtype=np.float32) + rect.x0 // across
    y += (np.arange(h, dtype=np.float32) + rect.y0 // down)[:, None]
    out: Any = cv2.remap(area, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return cast(Codes, out)


def mixed(base: Codes, new: Codes, weight: _Floats) -> Codes:
    """Samples between two pictures: 0 the first, 1 the second."""
    if base.dtype == np.uint8:
        return cast(Codes, cv2.blendLinear(new, base, weight, 1 - weight))
    deep = cv2.blendLinear(new.astype(np.float32), base.astype(np.float32), weight, 1 - weight)
    return cast(Codes, np.rint(deep).astype(base.dtype))


def _multiband(base: Codes, patch: Codes, weight: _Floats) -> Codes:
    """Laplacian pyramid blending (Burt and Adelson 1983): coarse detail mixes over more pixels."""
    a, b, share = patch.astype(np.float32), base.astype(np.float32), weight
    bands: list[_Floats] = []
    for _ in range(_BANDS - 1):
        small_a, small_b = _half(a), _half(b)
        size = (a.shape[1], a.shape[0])
        detail_a = a - cv2.pyrUp(small_a, dstsize=size)
        detail_b = b - cv2.pyrUp(small_b, dstsize=size)
        bands.append(detail_b + _for_each(share, a) * (detail_a - detail_b))
        a, b, share = small_a, small_b, _half(share)
    out = b + _for_each(share, a) * (a - b)
    for band in reversed(bands):
        out = cv2.pyrUp(out, dstsize=(band.shape[1], band.shape[0])) + band
    whole = np.clip(out + 0.5, 0, np.iinfo(base.dtype).max).astype(base.dtype)
    # Coarse bands reach beyond the mask; the frame must not change where the mask is zero.
    return mixed(base, whole, np.clip(weight * 32, 0, 1))


def _for_each(share: _Floats, like: _Floats) -> _Floats:
    """A share for each component of each pixel."""
    return share if like.ndim == 2 else share[..., None]


def _half(image: _Floats) -> _Floats:
    return np.asarray(cv2.pyrDown(image), np.float32)
