"""Warping by a flow in pixels, as PIRender does it and IP-LAP and VideoReTalking after it.

Convention: the grid of no motion has its end points -1 and 1 at the outermost pixel centres,
but sampling takes -1 and 1 as the outer edges of the image (`align_corners=False`, zeros
outside). No motion is thus not quite the identity; the trained networks rely on both halves.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from models.tensors import FeatureMaps


def flow_to_grid(
    flow: Float[Tensor, "batch 2 height width"],
) -> Float[Tensor, "batch height width 2"]:
    """Sampling positions of a flow.

    Args:
        flow: Motion, x first [px].

    Returns:
        Float32 or wider, x first; the outermost pixel centres are at -1 and 1.
    """
    # Half precision has fewer steps than an image has positions.
    flow = flow.to(torch.promote_types(flow.dtype, torch.float32))
    height, width = flow.shape[-2:]
    x = torch.arange(width, device=flow.device, dtype=flow.dtype)
    y = torch.arange(height, device=flow.device, dtype=flow.dtype)
    still_x = (2 * (x / (width - 1)) - 1).expand(height, width)
    still_y = (2 * (y / (height - 1)) - 1)[:, None].expand(height, width)
    moved_x = still_x + 2 * (flow[:, 0] / (width - 1))
    moved_y = still_y + 2 * (flow[:, 1] / (height - 1))
    return torch.stack((moved_x, moved_y), dim=-1)


def warp(image: FeatureMaps, grid: Float[Tensor, "batch grid_height grid_width 2"]) -> FeatureMaps:
    """The image sampled at the grid, which is resized to the image first where they differ.

    Args:
        image: What is warped.
        grid: As from `flow_to_grid`.
    """
    if grid.shape[1:3] != image.shape[-2:]:
        resized = functional.interpolate(
            grid.permute(0, 3, 1, 2), size=image.shape[-2:], mode="bilinear", align_corners=False
        )
        grid = resized.permute(0, 2, 3, 1)
    sampled = functional.grid_sample(image.to(grid.dtype), grid, align_corners=False)
    return sampled.to(image.dtype)
