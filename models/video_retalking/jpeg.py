"""JPEG's losses on pictures, as a function that gradients pass through.

E-Net learns to undo them (VideoReTalking, section 3.3). Tables are those of ITU-T T.81, annex K,
scaled by quality as libjpeg does; chroma is halved both ways (4:2:0), like most photos' on the web.
Rounding passes the gradient straight through, as if it were not there.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from models.tensors import Images

_LUMA = """
16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100
103 99
"""
_CHROMA = """
17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99
"""
_SIDE = 8
"""Of a block that is transformed [px]."""
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
"""JFIF: of R, G and B."""


def jpeg(images: Images, quality: Float[Tensor, " batch"]) -> Images:
    """Pictures as JPEG files of them show.

    Args:
        images: RGB, 0..1; sides are multiples of 16.
        quality: Of each picture, 1..100, as libjpeg counts it.

    Returns:
        RGB, 0..1.

    Raises:
        ValueError: a side is no multiple of 16.
    """
    if any(side % (2 * _SIDE) for side in images.shape[2:]):
        raise ValueError(f"sides must be multiples of 16: {tuple(images.shape[2:])}")
    to_ycc = images.new_tensor(_TO_YCC)
    ycc = torch.einsum("ij,bjhw->bihw", to_ycc, images) * 255
    luma, chroma = ycc[:, :1] - 128, functional.avg_pool2d(ycc[:, 1:], 2)
    luma = _kept(luma, _table(_LUMA, quality)) + 128
    chroma = _kept(chroma, _table(_CHROMA, quality))
    chroma = functional.interpolate(
        chroma, scale_factor=2, mode="bilinear", align_corners=False
    )  # libjpeg's "fancy" upsampling
    shown = torch.cat((luma, chroma), 1)
    return torch.einsum("ij,bjhw->bihw", torch.linalg.inv(to_ycc), shown).clamp(0, 255) / 255


def _table(values: str, quality: Float[Tensor, " batch"]) -> Float[Tensor, "batch 8 8"]:
    """Steps of quantisation at each quality."""
    steps = quality.new_full((_SIDE**2,), 99)
    given = quality.new_tensor([float(value) for value in values.split()])
    steps[: len(given)] = given
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)
    scaled = ((steps * scale[:, None] + 50) / 100).floor().clamp(1, 255)
    return scaled.reshape(-1, _SIDE, _SIDE)


def _kept(
    planes: Float[Tensor, "batch plane height width"], table: Float[Tensor, "batch 8 8"]
) -> Float[Tensor, "batch plane height width"]:
    """What is left of planes when their blocks' frequencies were rounded to multiples of steps."""
    batch, count, height, width = planes.shape
    blocks = planes.reshape(batch, count, height // _SIDE, _SIDE, width // _SIDE, _SIDE)
    basis = _cosines(planes)
    frequencies = torch.einsum("ui,bcyixj,vj->bcyxuv", basis, blocks, basis)
    steps = table[:, None, None, None]
    frequencies = _rounded(frequencies / steps) * steps
    return torch.einsum("ui,bcyxuv,vj->bcyixj", basis, frequencies, basis).reshape(planes.shape)


def _cosines(like: Tensor) -> Float[Tensor, "8 8"]:
    """The cosine transform of a block's side, (frequency, place); orthonormal."""
    places = torch.arange(_SIDE, device=like.device, dtype=like.dtype)
    basis = torch.cos(math.pi / _SIDE * (places + 0.5) * places[:, None]) * math.sqrt(2 / _SIDE)
    basis[0] = math.sqrt(1 / _SIDE)
    return basis


def _rounded(values: Tensor) -> Tensor:
    return values + (values.round() - values).detach()
