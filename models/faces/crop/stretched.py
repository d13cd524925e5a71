"""Faces cut out of square crops and stretched to squares, as networks are trained on them."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Floats = NDArray[np.float32]

_FINE = 1.375
"""A face of a crop that is so much larger is finer than it is wanted: each of its pixels is the
mean of four samples."""


def cut_faces(faces: Tensor, boxes: Floats, *, mirrored: Tensor, side: float, size: int) -> Tensor:
    """Faces (sample, n, 3, size, size) BGR 0..1, stretched, out of boxes of crops.

    Args:
        faces: (sample, n, 3, h, h) uint8 RGB crops.
        boxes: (sample, n, 4) x1, y1, x2, y2 [crop sides / side]; of the mirrored crop where it is.
        mirrored: (sample,) bool.
        side: Of a crop, in the unit of the boxes.
        size: Of the faces [px].
    """
    images = faces.flatten(0, 1).float() / 255
    flat = torch.from_numpy(boxes.reshape(-1, 4)).to(images.device)
    fine = size * (2 if images.shape[-1] > _FINE * size else 1)
    along = (torch.arange(fine, device=images.device) + 0.5) / fine
    x = flat[:, 0:1] + along * (flat[:, 2:3] - flat[:, 0:1])
    y = flat[:, 1:2] + along * (flat[:, 3:4] - flat[:, 1:2])
    turned = mirrored.repeat_interleave(faces.shape[1])[:, None]
    x = torch.where(turned, side - x, x)
    x, y = (2 * place / side - 1 for place in (x, y))
    grid = torch.stack(
        [x[:, None].expand(-1, fine, -1), y[:, :, None].expand(-1, -1, fine)], dim=-1
    )
    cut = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    if fine != size:
        cut = functional.avg_pool2d(cut, fine // size)
    return cut.flip(1).reshape(*faces.shape[:2], *cut.shape[1:])
