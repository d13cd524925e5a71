"""Faces side by side with their numbers, to choose one from."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

_TILE_PX = 200
_CAPTION_PX = 28


def gallery(faces: Sequence[tuple[Image, str]], *, columns: int = 5) -> Image:
    """One picture (h, w, 3) uint8 RGB of faces, each above its caption.

    Args:
        faces: at least one: (h, w, 3) uint8 RGB of any size, and the caption.
        columns: at most.
    """
    tiles = [_tile(picture, caption) for picture, caption in faces]
    return tiled(tiles, columns=min(columns, len(tiles)), empty=255)


def tiled(tiles: Sequence[Image], *, columns: int, empty: int = 0) -> Image:
    """Pictures of one size in rows of so many, the last filled up with grey of that level."""
    every = [*tiles, *[np.full_like(tiles[0], empty)] * (-len(tiles) % columns)]
    rows = [np.hstack(every[at : at + columns]) for at in range(0, len(every), columns)]
    return np.asarray(np.vstack(rows), np.uint8)


def _tile(picture: Image, caption: str) -> Image:
    tile = np.full((_TILE_PX + _CAPTION_PX, _TILE_PX, 3), 255, np.uint8)
    scale = _TILE_PX / max(picture.shape[:2])
    width, height = (max(1, round(side * scale)) for side in picture.shape[1::-1])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    left, top = (_TILE_PX - width) // 2, (_TILE_PX - height) // 2
    small = cv2.resize(picture, (width, height), interpolation=how)
    tile[top : top + height, left : left + width] = small
    where = (6, _TILE_PX + _CAPTION_PX - 9)
    cv2.putText(tile, caption, where, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return tile
