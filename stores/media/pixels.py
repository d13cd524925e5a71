"""Colour arithmetic between planes of luma and chroma and RGB, on rectangles.

Convention: an image is (row, column[, channel]); x runs right along columns, y down along rows.
RGB is uint8, 0..255, in that channel order. Chroma of 4:2:0 and 4:2:2 lies level with the even luma
columns and, in 4:2:0, half way between two rows, as H.264 and HEVC have it by default.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8, UInt16

from stores.media.planes import Plane

Rgb = UInt8[np.ndarray, "height width 3"]
"""A picture in RGB."""
Mask = Float32[np.ndarray, "height width"]
"""A share for each pixel, 0..1."""

_WholePlane = UInt8[np.ndarray, "height width"] | UInt16[np.ndarray, "height width"]
"""At the size of the picture, as luma always is."""

_Picture = Plane | UInt8[np.ndarray, "_height _width 3"]
"""A plane or a picture in RGB, of whatever size: what is given may have another than what came."""

_KEEP_REST_LEVELS = 16.0  # RGB change over which the part that 8-bit RGB can't say is dropped


@dataclass(frozen=True)
class Codes:
    """How a video's samples stand for colours.

    Attributes:
        red_weight: share of red in luma.
        blue_weight: share of blue in luma.
        full_range: whether samples use all codes; else the limited ("studio") range.
        bits: depth of a sample.
    """

    red_weight: float
    blue_weight: float
    full_range: bool
    bits: int

    @property
    def maximum(self) -> int:
        """Largest code."""
        return (1 << self.bits) - 1

    @property
    def black(self) -> int:
        """Code of black luma."""
        return 0 if self.full_range else 16 << (self.bits - 8)

    @property
    def neutral(self) -> int:
        """Code of colourless chroma."""
        return 1 << (self.bits - 1)

    def from_rgb(self) -> Float32[np.ndarray, "3 4"]:
        """Give the affine map of RGB 0..255 to (luma, blue, red) codes."""
        red, blue = self.red_weight, self.blue_weight
        green = 1.0 - red - blue
        luma = np.array([red, green, blue])
        rows = np.stack(
            [
                luma,
                (np.array([0.0, 0.0, 1.0]) - luma) / (2.0 * (1.0 - blue)),
                (np.array([1.0, 0.0, 0.0]) - luma) / (2.0 * (1.0 - red)),
            ]
        )
        unit = float(1 << (self.bits - 8))
        if self.full_range:
            scale = np.full(3, self.maximum / 255.0)
            offset = np.array([0.0, self.neutral, self.neutral])
        else:
            scale = np.array([219.0, 224.0, 224.0]) / 255.0 * unit
            offset = np.array([16.0 * unit, self.neutral, self.neutral])
        return np.hstack([rows * scale[:, None], offset[:, None]]).astype(np.float32)

    def to_rgb(self) -> Float32[np.ndarray, "3 4"]:
        """Give the affine map of (luma, blue, red) codes to RGB 0..255."""
        forward = self.from_rgb().astype(np.float64)
        inverse = np.linalg.inv(forward[:, :3])
        return np.hstack([inverse, -inverse @ forward[:, 3:]]).astype(np.float32)


@cache
def _to_rgb(codes: Codes) -> Float32[np.ndarray, "3 4"]:
    return codes.to_rgb()


def planes_to_rgb(luma: _WholePlane, blue: _WholePlane, red: _WholePlane, codes: Codes) -> Rgb:
    """Convert three planes of one size to RGB.

    Args:
        luma: Codes.
        blue: Codes of the blue difference.
        red: Codes of the red difference.
        codes: What the codes mean.
    """
    merged = cv2.merge([luma, blue, red])
    converted = cv2.transform(merged, _to_rgb(codes))
    if codes.bits > 8:
        converted = np.minimum(converted, 255).astype(np.uint8)
    return np.asarray(converted, dtype=np.uint8)


def upsampled(
    chroma: Plane,
    *,
    shift_x: int,
    shift_y: int,
    x0: int,
    y0: int,
    width: int,
    height: int,
) -> UInt8[np.ndarray, "{height} {width}"] | UInt16[np.ndarray, "{height} {width}"]:
    """Interpolate a rectangle of a chroma plane at luma positions.

    Args:
        chroma: Codes of the whole plane.
        shift_x: log2 of the luma columns to a chroma column.
        shift_y: log2 of the luma rows to a chroma row.
        x0: px, left edge of the rectangle in the luma plane.
        y0: px, upper edge.
        width: px.
        height: px.
    """
    if not shift_x and not shift_y:
        return chroma[y0 : y0 + height, x0 : x0 + width]
    left, top = max(0, (x0 >> shift_x) - 1), max(0, (y0 >> shift_y) - 1)
    right, bottom = ((x0 + width) >> shift_x) + 2, ((y0 + height) >> shift_y) + 2
    part: Any = chroma[top:bottom, left:right]
    rows, columns = part.shape
    # Rows lie in the middle of their luma rows, which is how `resize` interpolates.
    if shift_y:
        part = cv2.resize(part, (columns, 2 * rows), interpolation=cv2.INTER_LINEAR)
    # Columns lie level with the even luma columns.
    between = part.copy()
    cv2.addWeighted(part[:, :-1], 0.5, part[:, 1:], 0.5, 0.0, dst=between[:, :-1])
    whole: Any = np.empty((part.shape[0], 2 * columns), part.dtype)
    whole[:, 0::2] = part
    whole[:, 1::2] = between
    row, column = y0 - (top << shift_y), x0 - (left << shift_x)
    return cast(Plane, whole[row : row + height, column : column + width])


def downsampled(
    values: Float32[np.ndarray, "height width"], *, shift_x: int, shift_y: int
) -> Float32[np.ndarray, "height//2**{shift_y} width//2**{shift_x}"]:
    """Filter values at luma positions to chroma positions.

    Args:
        values: Sides are even where subsampled.
        shift_x: log2 of the luma columns to a chroma column.
        shift_y: log2 of the luma rows to a chroma row.
    """
    if shift_y:
        values = 0.5 * (values[0::2] + values[1::2])
    if shift_x:
        even, odd = values[:, 0::2], values[:, 1::2]
        before = np.empty_like(odd)
        before[:, 1:] = odd[:, :-1]
        before[:, 0] = even[:, 0]
        values = 0.5 * even + 0.25 * (odd + before)
    return values


def covered(
    mask: Mask, *, shift_x: int, shift_y: int
) -> Float32[np.ndarray, "height//2**{shift_y} width//2**{shift_x}"]:
    """Average a mask over the luma samples that each chroma sample covers.

    Args:
        mask: Sides are even where subsampled.
        shift_x: log2 of the luma columns to a chroma column.
        shift_y: log2 of the luma rows to a chroma row.

    Returns:
        0 exactly where no covered sample is above 0.
    """
    if shift_y:
        mask = 0.5 * (mask[0::2] + mask[1::2])
    if shift_x:
        mask = 0.5 * (mask[:, 0::2] + mask[:, 1::2])
    return mask


def blend_patch(
    planes: tuple[_WholePlane, Plane, Plane],
    old: Rgb,
    new: Rgb,
    mask: Mask,
    codes: Codes,
    *,
    shift_x: int,
    shift_y: int,
) -> None:
    """Blend an RGB patch into views of the planes, in place.

    What 8-bit RGB can't say of the old samples (more bits, colours outside RGB, fine chroma) is
    carried over where the patch hardly differs from them: an unchanged patch changes nothing.

    Args:
        planes: Luma and both chroma planes of the rectangle, codes.
        old: The rectangle as it is.
        new: What to blend in.
        mask: 0 keeps a sample bit for bit, 1 replaces it.
        codes: What the codes mean.
        shift_x: log2 of the luma columns to a chroma column.
        shift_y: log2 of the luma rows to a chroma row.
    """
    first, second, third = cv2.split(cv2.absdiff(new, old))
    change = cv2.max(cv2.max(first, second), third)
    rest = np.clip(1.0 - change * np.float32(1.0 / _KEEP_REST_LEVELS), 0.0, 1.0)
    affine = codes.from_rgb()
    target: Any = cv2.split(cv2.transform(new.astype(np.float32), affine))
    before: Any = cv2.split(cv2.transform(old.astype(np.float32), affine))
    rest_chroma = downsampled(rest, shift_x=shift_x, shift_y=shift_y)
    mask_chroma = covered(mask, shift_x=shift_x, shift_y=shift_y)
    for plane, wanted, was in zip(planes, target, before, strict=True):
        keep, amount = rest, mask
        if plane.shape != mask.shape or plane is not planes[0]:
            wanted = downsampled(wanted, shift_x=shift_x, shift_y=shift_y)
            was = downsampled(was, shift_x=shift_x, shift_y=shift_y)
            keep, amount = rest_chroma, mask_chroma
        now = plane.astype(np.float32)
        blended = now + amount * (wanted - now + keep * (now - was))
        plane[...] = np.clip(np.rint(blended), 0, codes.maximum)


def carried_over(
    now: Plane, was: Plane, new: Plane, opacity: Float[np.ndarray, "height width"], codes: Codes
) -> Plane:
    """Samples of another picture, of nearly the same moment, after `was` became `new` in the first.

    Args:
        now: The other picture's.
        was: The first picture's before.
        new: The first picture's now; its own colours shine through as much as the other's shall.
        opacity: 0..1, of any size: 0 keeps how the two differ, 1 makes them alike.
        codes: What the samples mean.
    """
    rest = cv2.resize(1 - opacity, new.shape[::-1], interpolation=cv2.INTER_AREA)
    carried = np.rint(new + rest * (now.astype(np.float32) - was))
    return np.clip(carried, 0, codes.maximum).astype(now.dtype)


def shrunk(picture: _Picture, times: int) -> _Picture:
    """Average blocks of `times` x `times` samples; a last part of a block counts as whole.

    Args:
        picture: Codes, or RGB.
        times: How much smaller it gets.
    """
    if times == 1:
        return picture
    whole: Any = picture
    down, across = (-side % times for side in picture.shape[:2])
    if down or across:
        whole = cv2.copyMakeBorder(picture, 0, down, 0, across, cv2.BORDER_REPLICATE)
    size = (whole.shape[1] // times, whole.shape[0] // times)
    return cast(Plane, cv2.resize(whole, size, interpolation=cv2.INTER_AREA))


def resized(picture: Plane, width: int, height: int) -> Plane:
    """Scale a plane, averaged where it shrinks.

    Args:
        picture: Codes.
        width: px.
        height: px.
    """
    if picture.shape == (height, width):
        return picture
    # Whole factors and then the rest, two by two samples, see all samples several times faster
    # than averages over parts of samples.
    times = int(min(picture.shape[1] / width, picture.shape[0] / height) / 1.5 + 0.5)
    times = max(1, times)
    small = shrunk(picture, times)
    # A last block that is only partly in the picture must not move the others.
    steps = np.array([picture.shape[1] / width, picture.shape[0] / height]) / times
    places = np.column_stack([np.diag(steps), 0.5 * steps - 0.5])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    scaled = cv2.warpAffine(
        small, places, (width, height), flags=how, borderMode=cv2.BORDER_REPLICATE
    )
    return cast(Plane, scaled)


def warped(
    picture: _Picture, matrix: Float[np.ndarray, "2 3"], size: int, outside: int
) -> UInt8[np.ndarray, "{size} {size} *rgb"] | UInt16[np.ndarray, "{size} {size}"]:
    """Cut a square out of a plane or a picture, averaged where it shrinks.

    Args:
        picture: Codes, or RGB.
        matrix: Affine, px of the square, counted from its corner, to the centres of samples.
        size: Side of the square [px].
        outside: What lies beyond the picture.
    """
    here = np.array(matrix, np.float64)
    times = max(1, round(float(np.hypot(here[0, 0], here[1, 0]))))
    if times > 1:
        corners = size * np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) @ here[:, :2].T + here[:, 2]
        # Only what is seen, and a block around it.
        low = np.maximum(np.floor(corners.min(0)).astype(int) - times, 0)
        high = np.ceil(corners.max(0)).astype(int) + times + 1
        part = picture[low[1] : max(high[1], 0), low[0] : max(high[0], 0)]
        if not part.size:
            return np.full((size, size, *picture.shape[2:]), outside, picture.dtype)
        picture = shrunk(part, times)
        here[:, 2] += 0.5 - low
        here /= times
        here[:, 2] -= 0.5
    here[:, 2] += here[:, :2] @ np.array([0.5, 0.5])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    square = cv2.warpAffine(picture, here, (size, size), flags=how, borderValue=(outside,))
    return np.asarray(square)
