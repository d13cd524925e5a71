"""Which triangle each pixel shows."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, starmap

import torch
from jaxtyping import Float, Float64, Int64, Shaped
from torch import Tensor

_INDEX_BITS, _DEPTH_BITS = 22, 40
"""Of a number that is least where a triangle is nearest: its index below, its depth above."""
_TRIANGLES, _CANDIDATES = 1 << 15, 1 << 15
"""Triangles, and pixels in their boxes, that are looked at together: this bounds memory, and as
little as this stays in a processor's cache."""
_MARGIN_PX = 1e-6
"""Bounding boxes are larger by this than they come out: the edges decide."""
_NOTHING = torch.iinfo(torch.int64).max


@dataclass(frozen=True)
class Visible:
    """The pixels that show a triangle, in rising order.

    Convention: pixel = (picture * side + row) * side + column.

    Attributes:
        pixel: Which.
        triangle: The nearest one there.
        batch: How many pictures.
        side: Of the pictures [px].
    """

    pixel: Int64[Tensor, " hit"]
    triangle: Int64[Tensor, " hit"]
    batch: int
    side: int

    def image(
        self, values: Shaped[Tensor, "hit channel"]
    ) -> Shaped[Tensor, "batch channel side side"]:
        """Values of the pixels as pictures; 0 where no triangle is seen."""
        flat = values.new_zeros(self.batch * self.side**2, values.shape[1])
        flat = flat.index_copy(0, self.pixel, values)
        return flat.reshape(self.batch, self.side, self.side, -1).permute(0, 3, 1, 2)


@torch.no_grad()
def visible_triangles(
    clip: Float[Tensor, "batch vertex 4"], triangles: Int64[Tensor, "triangle 3"], side: int
) -> Visible:
    """The nearest triangle at each pixel's centre; both faces of a triangle can be seen.

    An edge belongs to both triangles that share it, so no pixel falls between them. Where two are
    equally near, the one with the lower index is seen. A picture does not depend on the others.

    Args:
        clip: x right, y down; from -w (in z: nearest) to w lies in the picture.
        triangles: Three vertices each.
        side: Of the pictures [px].

    Raises:
        ValueError: there are more than 2^22 triangles.
    """
    if len(triangles) > 1 << _INDEX_BITS:
        raise ValueError(f"{len(triangles)} triangles, but only 2^{_INDEX_BITS} can be numbered")
    at_once = max(1, _TRIANGLES // max(1, len(triangles)))
    nearest = torch.cat([_nearest(part, triangles, side) for part in torch.split(clip, at_once)])
    pixel = torch.nonzero(nearest != _NOTHING)[:, 0]
    return Visible(pixel, nearest[pixel] & ((1 << _INDEX_BITS) - 1), len(clip), side)


def _nearest(
    clip: Float[Tensor, "batch vertex 4"], triangles: Int64[Tensor, "triangle 3"], side: int
) -> Int64[Tensor, " pixel"]:
    """Depth and index of the nearest triangle, packed; _NOTHING where there is none."""
    # Products of float32 are exact in float64: both triangles agree which side of an edge is whose.
    x, y, z, w = clip.double().permute(2, 0, 1)[..., triangles.T]  # each (batch, corner, triangle)
    edges = torch.stack([_cross(y, w), _cross(w, x), _cross(x, y)])
    volume = (edges[:, :, 0] * torch.stack([x, y, w])[:, :, 0]).sum(0)
    depth = (edges * z).sum(2, keepdim=True) / volume[:, None]
    planes = torch.cat([edges * volume.sign()[:, None], depth], 2)
    first, size = _bounding_boxes(torch.stack([x, y]), w, side)
    found = torch.nonzero((size.prod(0) * (volume != 0)).flatten())[:, 0]
    picture, triangle = found // len(triangles), found % len(triangles)
    planes = planes.permute(1, 3, 0, 2)[picture, triangle]  # (box, x y 1, three edges and depth)
    first, size = first.flatten(1)[:, found], size.flatten(1)[:, found]

    nearest = torch.full((len(clip) * side**2,), _NOTHING, device=clip.device)
    for part in _parts(size.prod(0)):
        box, place = _places(first[:, part], size[:, part])
        at, column_row = planes[part][box], ((2 * place + 1).double() / side - 1)[..., None]
        at = at[:, 0] * column_row[0] + at[:, 1] * column_row[1] + at[:, 2]
        seen = torch.nonzero((at[:, :3] >= 0).all(1) & (at[:, 3].abs() <= 1))[:, 0]
        box, (column, row) = box[seen], place[:, seen]
        depth = ((at[seen, 3] + 1) * 2 ** (_DEPTH_BITS - 1)).long() << _INDEX_BITS
        pixel = (picture[part][box] * side + row) * side + column
        nearest.scatter_reduce_(0, pixel, depth | triangle[part][box], "amin")
    return nearest


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """a_j b_k - b_j a_k (batch, corner i, triangle) of the corners j, k that follow each corner i.

    Not torch.cross: fused products would differ between the two triangles at an edge.
    """
    corners = ((a[:, j] * b[:, k], b[:, j] * a[:, k]) for j, k in ((1, 2), (2, 0), (0, 1)))
    return torch.stack([one - other for one, other in corners], 1)


def _bounding_boxes(
    xy: Float64[Tensor, "2 batch 3 triangle"], w: Float64[Tensor, "batch 3 triangle"], side: int
) -> tuple[Int64[Tensor, "2 batch triangle"], Int64[Tensor, "2 batch triangle"]]:
    """First column and row whose pixels' centres may be inside, and how many columns and rows."""
    px = (xy / w + 1) * (side / 2) - 0.5
    behind = (w <= 0).any(1)  # of the camera, at least in part: such a triangle may be anywhere
    first = (px.amin(2) - _MARGIN_PX).ceil().masked_fill(behind, 0).clamp(0, side)
    last = (px.amax(2) + _MARGIN_PX).floor().masked_fill(behind, side - 1).clamp(-1, side - 1)
    return first.long(), (last - first + 1).clamp(min=0).long()


def _parts(counts: Int64[Tensor, " box"]) -> Iterator[slice]:
    """Ranges of boxes of about _CANDIDATES pixels each."""
    ends = counts.cumsum(0)
    if not len(ends):
        return
    wanted = torch.arange(_CANDIDATES, int(ends[-1]) + _CANDIDATES, _CANDIDATES, device=ends.device)
    cuts = torch.searchsorted(ends, wanted).clamp(max=len(ends)).tolist()
    yield from starmap(slice, pairwise(sorted({0, *cuts, len(ends)})))


def _places(
    first: Int64[Tensor, "2 box"], size: Int64[Tensor, "2 box"]
) -> tuple[Int64[Tensor, " candidate"], Int64[Tensor, "2 candidate"]]:
    """All pixels of all boxes: whose they are, and their columns and rows."""
    counts = size.prod(0)
    box = torch.repeat_interleave(counts)
    number = torch.arange(len(box), device=box.device) - (counts.cumsum(0) - counts)[box]
    columns = size[0][box]
    row = number // columns
    return box, torch.stack([number - row * columns, row]) + first[:, box]
