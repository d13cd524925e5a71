"""RetinaFace (Deng et al. 2020) with ResNet-50, as facexlib has it: GFPGAN, GPEN, VideoReTalking.

Convention: boxes are (x1, y1, x2, y2) and points (x, y) in px of the image; the points are the left
eye (in the image), right eye, nose, left and right corner of the mouth.
"""

import math
import warnings

import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn

MEAN_BGR = (104.0, 117.0, 123.0)
SIDES_BY_STRIDE = {8: (16, 32), 16: (64, 128), 32: (256, 512)}
"""Sides of the anchors at each stride [px]."""
CENTRE_VARIANCE = 0.1
SIZE_VARIANCE = 0.2


def retinaface_resnet50() -> nn.Module:
    """facexlib's network.

    Takes what `network_input` gives; gives per anchor N x A x 4 offsets of the box, N x A x 2
    probabilities (of no face, of a face) and N x A x 10 offsets of the points.
    """
    from facexlib.detection.retinaface import RetinaFace

    with warnings.catch_warnings():  # it asks torchvision for no weights in an outdated way
        warnings.simplefilter("ignore")
        network = RetinaFace(network_name="resnet50", device="cpu")
    assert isinstance(network, nn.Module)
    return network


def network_input(images: UInt8[Tensor, "n h w 3"]) -> Float32[Tensor, "n 3 h w"]:
    """The network's input for RGB images: BGR less the mean."""
    mean = torch.tensor(MEAN_BGR, device=images.device)
    return (images.flip(3) - mean).permute(0, 3, 1, 2)


def anchors(
    height: int, width: int, *, device: torch.device | None = None
) -> Float32[Tensor, "anchor 4"]:
    """Anchors as centre x, y and width, height, as shares of the sides of an image of that size."""
    parts = []
    for stride, sides in SIDES_BY_STRIDE.items():
        rows, columns = math.ceil(height / stride), math.ceil(width / stride)
        y = (torch.arange(rows, device=device) + 0.5) * stride / height
        x = (torch.arange(columns, device=device) + 0.5) * stride / width
        side = torch.tensor(sides, device=device)
        grid = torch.zeros(rows, columns, len(sides), 4, device=device)
        grid[..., 0] = x[None, :, None]
        grid[..., 1] = y[:, None, None]
        grid[..., 2] = side / width
        grid[..., 3] = side / height
        parts.append(grid.view(-1, 4))
    return torch.cat(parts)


def decode(
    box_offsets: Float[Tensor, "n anchor 4"],
    point_offsets: Float[Tensor, "n anchor 10"],
    *,
    height: int,
    width: int,
) -> tuple[Float[Tensor, "n anchor 4"], Float[Tensor, "n anchor 5 2"]]:
    """Boxes and points [px] from the network's offsets for an image of that size."""
    prior = anchors(height, width, device=box_offsets.device)
    if box_offsets.shape[1] != len(prior):
        raise ValueError(
            f"an image of {height} x {width} px has {len(prior)} anchors, "
            f"not {box_offsets.shape[1]}"
        )
    centre, size = prior[:, :2], prior[:, 2:]
    scale = torch.tensor([width, height], device=prior.device)
    middle = centre + box_offsets[..., :2] * CENTRE_VARIANCE * size
    half = size * torch.exp(box_offsets[..., 2:] * SIZE_VARIANCE) / 2
    boxes = torch.cat([(middle - half) * scale, (middle + half) * scale], -1)
    offsets = point_offsets.view(*point_offsets.shape[:-1], 5, 2) * CENTRE_VARIANCE
    return boxes, (centre[:, None] + offsets * size[:, None]) * scale
