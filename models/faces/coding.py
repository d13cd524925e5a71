"""How the parts of a picture stand for its colours: RGB, or luma and two colour differences."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from models.arrays import Picture

Codes = NDArray[np.uint8] | NDArray[np.uint16]
"""One part of a picture, (h, w) or (h, w, c)."""

_Floats = NDArray[np.float32]
_Numbers = NDArray[Any]

SMALL_PX = 48
"""Side of the small images on which colours are compared."""


@dataclass(frozen=True)
class Coding:
    """How the parts of a picture stand for its colours.

    Attributes:
        from_rgb: affine map of RGB 0..255 to the codes of a pixel's components.
        to_rgb: affine map of those codes to RGB 0..255.
        maximum: largest code.
        shift: log2 of how many px a sample of the second part covers, along x and y; None where
            the only part has all components.
    """

    from_rgb: Float32[np.ndarray, "3 4"]
    to_rgb: Float32[np.ndarray, "3 4"]
    maximum: int = 255
    shift: tuple[int, int] | None = None

    @property
    def grid(self) -> tuple[int, int]:
        """Px along x and y at multiples of which a sample of each part begins."""
        return self.grids[-1]

    @property
    def grids(self) -> tuple[tuple[int, int], ...]:
        """Px along x and y that a sample of each part covers."""
        if self.shift is None:
            return ((1, 1),)
        return (1, 1), (1 << self.shift[0], 1 << self.shift[1])

    def parts(self, rgb: Picture) -> tuple[Codes, ...]:
        """The parts that stand for a picture, RGB, whose sides are multiples of the grid."""
        if self.shift is None:
            return (rgb,)
        deep = rgb if self.maximum < 256 else rgb.astype(np.float32)
        light, *differences = cv2.split(cv2.transform(deep, self.from_rgb))
        colours = cv2.merge(differences)
        x, y = self.shift
        # Colour lies level with even columns, and between two rows.
        across = np.array([0.25, 0.5, 0.25] if x else [1.0])
        down = np.array([0.5, 0.5] if y else [1.0])
        if x or y:
            colours = cv2.sepFilter2D(colours, -1, across, down, anchor=(x, 0))
            colours = colours[:: 1 << y, :: 1 << x]
        return self._rounded(light), self._rounded(colours)

    def sampled(self, values: _Numbers) -> tuple[_Numbers, ...]:
        """Values for each px, as means over the px that a sample of each part covers."""
        if self.shift is None:
            return (values,)
        size = (values.shape[1] >> self.shift[0], values.shape[0] >> self.shift[1])
        if size == values.shape[1::-1]:
            return values, values
        return values, np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA))

    def small_rgb(self, parts: Sequence[Codes]) -> _Floats:
        """Small pictures (48, 48, 3), RGB."""
        small = [
            cv2.resize(part, (SMALL_PX, SMALL_PX), interpolation=cv2.INTER_AREA) for part in parts
        ]
        codes = np.dstack(small).astype(np.float32)
        return codes if self.shift is None else np.asarray(cv2.transform(codes, self.to_rgb))

    def tints(self, rgb: _Floats) -> tuple[_Floats, ...]:
        """What to add to each part's codes for what is to be added to RGB."""
        if self.shift is None:
            return (rgb,)
        codes = np.asarray(cv2.transform(rgb, self.from_rgb[:, :3]), np.float32)
        return codes[..., 0], codes[..., 1:]

    def _rounded(self, codes: _Numbers) -> Codes:
        if self.maximum < 256:
            return np.ascontiguousarray(codes)
        return np.clip(np.rint(codes), 0, self.maximum).astype(np.uint16)


RGB = Coding(np.eye(3, 4, dtype=np.float32), np.eye(3, 4, dtype=np.float32))
"""Of a picture whose one part is RGB, 8 bits."""
