"""Values of vertices → values of the pixels that show their triangles, with a gradient."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from models.rasterizer.visibility import Visible, visible_triangles


class Rendered(NamedTuple):
    """What a camera sees.

    Attributes:
        image: RGB in 0..1; background 0.
        mask: 1 where there is a triangle, else 0.
    """

    image: Float[Tensor, "batch 3 side side"]
    mask: Float[Tensor, "batch 1 side side"]


def interpolate(
    values: Float[Tensor, "batch vertex channel"],
    clip: Float[Tensor, "batch vertex 4"],
    triangles: Int64[Tensor, "triangle 3"],
    visible: Visible,
) -> Float[Tensor, "hit channel"]:
    """Values at the centres of the visible pixels, correct in perspective.

    The gradient is the published one: by the values, and by x, y and w of the corners; none by z,
    and none by which triangle is seen.

    Args:
        values: Of the vertices.
        clip: As `visible_triangles` was given, or where it has moved a little since.
        triangles: Likewise.
        visible: What that found.
    """
    picture, place = visible.pixel // visible.side**2, visible.pixel % visible.side**2
    row, column = place // visible.side, place % visible.side
    corners = triangles.T[:, visible.triangle] + clip.shape[1] * picture
    table = torch.cat([clip[..., [0, 1, 3]], values], -1).flatten(0, 1).T.contiguous()
    x, y, w, *channels = table[:, corners]  # each (corner, hit)
    # Seen from the pixel, whose edge functions are then small determinants without cancellation.
    x = x - w * ((2 * column + 1).to(w) / visible.side - 1)
    y = y - w * ((2 * row + 1).to(w) / visible.side - 1)
    edges = torch.stack([x[i - 2] * y[i - 1] - x[i - 1] * y[i - 2] for i in range(3)])
    barycentrics = edges / edges.sum(0)
    return torch.stack([(barycentrics * channel).sum(0) for channel in channels], -1)


def rasterize(
    clip: Float[Tensor, "batch vertex 4"],
    triangles: Int64[Tensor, "triangle 3"],
    colors: Float[Tensor, "batch vertex 3"],
    side: int,
) -> Rendered:
    """Pictures of coloured triangles.

    Args:
        clip: x right, y down; from -w (in z: nearest) to w lies in the picture.
        triangles: Three vertices each.
        colors: RGB of the vertices; the picture is clipped to 0..1.
        side: Of the pictures [px].
    """
    visible = visible_triangles(clip, triangles, side)
    found = interpolate(colors, clip, triangles, visible)
    mask = visible.image(torch.ones_like(found[:, :1].detach()))
    return Rendered(visible.image(found).clamp(0, 1), mask)
