"""LPIPS, the learned perceptual image patch similarity, version 0.1 (Zhang et al. 2018).

The network is that of the lpips package, which also carries its linear weights; the trunk's are
torchvision's ImageNet weights (`features` of AlexNet or VGG-16, regrouped) and must be loaded.
"""

import warnings
from typing import Literal

from jaxtyping import Float32, UInt8
from torch import Tensor, nn

Pictures = UInt8[Tensor, "n h w 3"]  # RGB


def perceptual_distance(net: Literal["alex", "vgg"] = "alex") -> nn.Module:
    """LPIPS on a trunk with fresh weights.

    Its forward takes two images (n, 3, h, w) RGB in -1..1 (in 0..1 with `normalize=True`) and gives
    distances (n, 1, 1, 1); with `retPerLayer=True` also the list of the five layers' shares.

    Args:
        net: The trunk. Papers report `alex`; `vgg` is for use as a loss.
    """
    from lpips import LPIPS

    with warnings.catch_warnings():
        # lpips asks torchvision for an untrained trunk by the argument's old name
        warnings.filterwarnings("ignore", message=".*'pretrained' is deprecated")
        warnings.filterwarnings("ignore", message=".*other than a weight enum or `None`")
        network = LPIPS(net=net, pnet_rand=True, verbose=False)
    assert isinstance(network, nn.Module)
    return network


class ImageDistance(nn.Module):
    """LPIPS of 8-bit RGB images.

    Args:
        network: Of `perceptual_distance`.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Pictures, reference: Pictures) -> Float32[Tensor, " n"]:
        """Distance of each image from its reference."""
        first, second = (
            each.permute(0, 3, 1, 2).float() / 127.5 - 1 for each in (image, reference)
        )
        distance: Tensor = self.network(first, second)
        return distance.flatten()
