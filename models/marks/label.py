"""A label that everybody sees: white letters on a dark, rounded plate."""

from functools import lru_cache

import numpy as np
from jaxtyping import Float32, UInt8

_HEIGHT = 0.03
"""Of the letters, over the picture's shorter side."""

_MIN_PX = 8
_OPACITY = 0.8
"""Of the plate; the letters are opaque."""


@lru_cache(maxsize=4)
def drawn_label(
    text: str, width: int, height: int
) -> tuple[UInt8[np.ndarray, "y x 3"], Float32[np.ndarray, "y x"]]:
    """The label for a picture, RGB, no wider than it, and its opacity 0..1.

    Args:
        text: In one line.
        width: Of the picture [px].
        height: Of the picture [px].
    """
    from PIL import Image, ImageDraw, ImageFont  # which a dub without a label need not load

    size = max(_MIN_PX, round(_HEIGHT * min(width, height)))
    font = ImageFont.load_default(size)
    left, top, right, bottom = font.getbbox(text)
    pad = size // 2
    box = (round(right - left) + 2 * pad, round(bottom - top) + 2 * pad)
    letters, plate = Image.new("L", box), Image.new("L", box)
    ImageDraw.Draw(letters).text((pad - left, pad - top), text, fill=255, font=font)
    ImageDraw.Draw(plate).rounded_rectangle((0, 0, box[0] - 1, box[1] - 1), pad, fill=255)
    scale = min(1.0, width / box[0], height / box[1])
    if scale < 1:
        box = (max(1, int(box[0] * scale)), max(1, int(box[1] * scale)))
        letters, plate = letters.resize(box), plate.resize(box)
    written = np.asarray(letters, np.uint8)
    rgb = np.repeat(written[..., None], 3, axis=2)
    opacity = np.maximum(np.asarray(plate, np.float32) * _OPACITY, written) / 255
    return rgb, np.asarray(opacity, np.float32)
