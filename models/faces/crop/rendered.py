"""A rendered mouth in crop coordinates: what every method gives to the compositor."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float32

from models.arrays import Crop, CropMask
from models.faces.crop.warp import Box, active_box

SHIFT_GRID = 32
"""Cells along a side of `Rendered.own_shift`."""

VISIBLE_SHIFT_PX = 0.15
"""Own pixels that move less than this are left where they are."""

PATCH_MARGIN = 8
"""The patch goes on so far beyond its mask [px]; past that it is black."""


@dataclass(frozen=True)
class Rendered:
    """One frame's mouth, in its crop.

    Attributes:
        patch: RGB, black away from the mask.
        mask: 255 = patch only, 0 = frame only; 0 on the border.
        own_shift: x, y [crop px]: the frame's own crop shall show at p what it has at
            p + own_shift(p), before the patch goes on top. 0 on the border.
    """

    patch: Crop
    mask: CropMask
    own_shift: Float32[np.ndarray, "32 32 2"]

    @cached_property
    def changed(self) -> Box | None:
        """Where the mouth is drawn or the frame's own pixels move [crop px]; None: nowhere."""
        drawn = active_box(self.mask, margin=PATCH_MARGIN)
        far = np.abs(self.own_shift).max(-1) > VISIBLE_SHIFT_PX
        cells = active_box(far.astype(np.uint8), margin=1)
        if cells is None or drawn is None:
            return drawn
        scale = len(self.mask) / SHIFT_GRID
        return Box(
            min(drawn.y0, int(cells.y0 * scale)),
            max(drawn.y1, int(np.ceil(cells.y1 * scale))),
            min(drawn.x0, int(cells.x0 * scale)),
            max(drawn.x1, int(np.ceil(cells.x1 * scale))),
        )


def mixed(mouths: Sequence[tuple[Rendered, float]]) -> Rendered:
    """Mouths in one crop as one; what their shares lack of 1 is the frame's own.

    Args:
        mouths: Each with its share, 0..1; together no more than 1.
    """
    shares = [np.float32(share) * mouth.mask[..., None] for mouth, share in mouths]
    mask = np.sum(shares, axis=0)
    total = sum(share for _, share in mouths)
    beyond = [np.float32(share / total) * (mask == 0) for _, share in mouths]
    whole = np.where(mask == 0, 1, mask)
    patch = sum(
        (each / whole + rest) * mouth.patch
        for (mouth, _), each, rest in zip(mouths, shares, beyond, strict=True)
    )
    return Rendered(
        np.rint(patch).astype(np.uint8),
        np.rint(mask[..., 0]).astype(np.uint8),
        np.sum([np.float32(share) * mouth.own_shift for mouth, share in mouths], axis=0),
    )
