"""From the outputs of S3FD to boxes: anchors, offsets, non-maximum suppression.

Convention: boxes are x0, y0, x1, y1 in px of the searched image, which has the axes and pixel
centres of detection coordinates (see `models.faces`), as the network places its anchors.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

Outputs = Float[Tensor, "n _ _ _"]  # of one layer of the network
Found = Float64[np.ndarray, "_ 5"]  # faces of one picture: x0, y0, x1, y1 [px], score

STRIDES = (4, 8, 16, 32, 64, 128)
"""Of the six detection layers [px]."""

ANCHOR_STRIDES = 4
"""Side of an anchor in strides of its layer."""

CANDIDATE_SCORE = 0.05
"""Boxes that score less are dropped before suppression."""


def anchors(height: int, width: int, stride: int) -> Float64[Tensor, "{height}*{width} 4"]:
    """Anchors of a layer as centre x, y and width, height [px], row by row."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return anchors_at(y.flatten(), x.flatten(), stride)


def anchors_at(
    row: Int[Tensor, " k"], column: Int[Tensor, " k"], stride: int
) -> Float64[Tensor, "k 4"]:
    """Anchors at places of a layer as centre x, y and width, height [px]."""
    row, column = row.double(), column.double()
    side = torch.full_like(row, ANCHOR_STRIDES * stride)
    return torch.stack([(column + 0.5) * stride, (row + 0.5) * stride, side, side], 1)


def decode(
    offsets: Float[Tensor, "*batch k 4"], priors: Float[Tensor, "k 4"]
) -> Float[Tensor, "*batch k 4"]:
    """Boxes x0, y0, x1, y1 from the network's offsets and its anchors (priors), centre and size.

    Offsets are divided by variances: 0.1 for the centre, 0.2 for the logarithm of the size.
    """
    centre = priors[..., :2] + 0.1 * offsets[..., :2] * priors[..., 2:]
    size = priors[..., 2:] * torch.exp(0.2 * offsets[..., 2:])
    return torch.cat([centre - size / 2, centre + size / 2], -1)


def candidates(outputs: Sequence[Outputs]) -> list[Found]:
    """Every box that might be a face, per image, before suppression.

    Args:
        outputs: Of `face_alignment_s3fd`: class logits (n, 2, h, w) and offsets (n, 4, h, w) by
            turns, one pair a stride.

    Returns:
        For each image x0, y0, x1, y1 [px] and score: strides in order, in each rows then columns.
    """
    if len(outputs) != 2 * len(STRIDES):
        raise ValueError(f"S3FD gives {2 * len(STRIDES)} maps, not {len(outputs)}")
    found: list[list[Found]] = [[] for _ in range(outputs[0].shape[0])]
    for stride, classes, offsets in zip(STRIDES, outputs[::2], outputs[1::2], strict=True):
        scores = torch.softmax(classes.float(), 1)[:, 1]
        image, row, column = (index.cpu() for index in torch.where(scores > CANDIDATE_SCORE))
        score = scores[image, row, column].cpu().double()
        offset = offsets.movedim(1, -1)[image, row, column].cpu().double()
        boxes = decode(offset, anchors_at(row, column, stride))
        rows = torch.cat([boxes, score[:, None]], 1).numpy()
        for number, kept in enumerate(found):
            kept.append(rows[image.numpy() == number])
    return [np.concatenate(kept) for kept in found]


def suppress(
    boxes: Float64[np.ndarray, "k 5"], max_overlap: float, *, inclusive: bool = True
) -> Int[np.ndarray, " kept"]:
    """Indices of the boxes that no better one overlaps, best first (greedy suppression).

    Args:
        boxes: x0, y0, x1, y1 and score.
        max_overlap: Boxes whose intersection over union with a kept one exceeds it are dropped.
        inclusive: x1, y1 belong to the box, which is then one pixel wider (so face-alignment has
            it); must be off where boxes are shares of the image.
    """
    wider = float(inclusive)
    low, high = boxes[:, :2], boxes[:, 2:4] + wider
    areas = (high - low).prod(1)
    order = boxes[:, 4].argsort()[::-1]
    kept = []
    while order.size:
        best, others = order[0], order[1:]
        kept.append(best)
        sides = np.minimum(high[best], high[others]) - np.maximum(low[best], low[others])
        common = np.maximum(sides, 0).prod(1)
        overlap = common / (areas[best] + areas[others] - common)
        order = others[overlap <= max_overlap]
    return np.array(kept, np.intp)


def faces(outputs: Sequence[Outputs], *, min_score: float = 0.5) -> list[Found]:
    """Faces as face-alignment and Wav2Lip find them, per image.

    Args:
        outputs: Of `face_alignment_s3fd`, as for `candidates`.
        min_score: Only boxes with a higher face probability.

    Returns:
        For each image x0, y0, x1, y1 [px] and score, best first. Wav2Lip takes the first.
    """
    found = []
    for boxes in candidates(outputs):
        best = boxes[suppress(boxes, 0.3)]
        found.append(best[best[:, 4] > min_score])
    return found
