"""The polishing network in torch, for training; `polish.PolishNetwork` runs what it has learned."""

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from models.exemplar.polish import INPUTS, OUTPUTS, REFERENCES, SMOOTHING
from models.exemplar.settings import PolishSize
from models.tensors import FeatureMaps, Images, OutputMaps

_SLOPE = 0.1
"""Of Darknet's leaky units."""
_BEGIN = 0.15
"""Share of each reference before anything is learned: nearly the mean of all mouths."""


class Polish(nn.Module):
    """Shares of the references, and colours to add.

    Args:
        size: Its channels.
    """

    def __init__(self, size: PolishSize | None = None) -> None:
        super().__init__()
        size = size or PolishSize()
        fine, middle, coarse = size.fine, size.middle, size.coarse
        self.fine = _conv(INPUTS, fine)
        self.middle = nn.ModuleList([_conv(fine, middle, stride=2), _conv(middle, middle)])
        again = [_conv(coarse, coarse) for _ in range(1, size.coarse_layers)]
        self.coarse = nn.ModuleList([_conv(middle, coarse, stride=2), *again])
        self.up_middle = _conv(coarse + middle, middle)
        self.up_fine = _conv(middle + fine, fine)
        self.out = _conv(fine, OUTPUTS)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        begin = torch.cat([torch.full((REFERENCES,), _BEGIN), torch.zeros(OUTPUTS - REFERENCES)])
        self.out.bias.data.copy_(begin)

    def forward(self, inputs: FeatureMaps) -> OutputMaps:
        """(batch, INPUTS, 64, 64) of `polish.network_inputs` → (batch, OUTPUTS, 64, 64)."""
        fine = _leaky(self.fine(inputs))
        middle = fine
        for layer in self.middle:
            middle = _leaky(layer(middle))
        coarse = middle
        for layer in self.coarse:
            coarse = _leaky(layer(coarse))
        up = _leaky(self.up_middle(torch.cat([_doubled(coarse), middle], 1)))
        up = _leaky(self.up_fine(torch.cat([_doubled(up), fine], 1)))
        return cast(Tensor, self.out(up))


def correction(
    output: FeatureMaps,
    more: Float[Tensor, "batch reference 3 height width"],
    mask: Float[Tensor, "batch 1 height width"],
) -> Images:
    """`polish.correction` of a batch, in 0..1 in place of levels.

    Args:
        output: Of the network.
        more: Of `polish.differences`.
        mask: The mouth's, 0..1.
    """
    shares, colours = output[:, :REFERENCES, None], output[:, REFERENCES:]
    added = (0.25 * colours + (shares * more).sum(1)) * mask
    along = added.new_tensor(SMOOTHING)
    kernel = torch.outer(along, along).expand(3, 1, -1, -1)
    return functional.conv2d(added, kernel, padding=1, groups=3)


def _conv(inputs: int, outputs: int, *, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)


def _leaky(maps: Tensor) -> Tensor:
    return functional.leaky_relu(maps, _SLOPE)


def _doubled(maps: Tensor) -> Tensor:
    return functional.interpolate(maps, scale_factor=2, mode="nearest")
