"""Noise of StyleGAN2's layers that follows from a frame's number, so that it can be made again."""

from collections.abc import Iterable
from typing import Literal

import torch
from jaxtyping import Int64
from torch import Tensor


def frame_noise(
    kind: Literal["fixed", "random", "none"], rows: Int64[Tensor, " batch"], sides: Iterable[int]
) -> list[Tensor]:
    """Noise of each layer (1 or batch, 1, side, side).

    Args:
        kind: The same for all frames; each frame's own, which flickers; or zeros.
        rows: Numbers of the frames, from which random noise follows.
        sides: Of the layers [px].
    """
    sides = list(sides)
    if kind == "none":
        return [torch.zeros(1, 1, side, side, device=rows.device) for side in sides]
    seeds = [0] if kind == "fixed" else rows.tolist()
    drawn = [_drawn(seed, sides) for seed in seeds]
    return [torch.cat(maps).to(rows.device) for maps in zip(*drawn, strict=True)]


def _drawn(seed: int, sides: list[int]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(1, 1, side, side, generator=generator) for side in sides]
