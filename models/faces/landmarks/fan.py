"""FAN, four stacked hourglasses that mark 68 points of a face (Bulat and Tzimiropoulos 2017).

The network is that of the face-alignment package.
"""

from torch import nn


def fan_2d(num_modules: int = 4) -> nn.Module:
    """2DFAN with that many hourglasses; the published file has four.

    Its forward takes face crops (n, 3, 256, 256) RGB in 0..1 (`decode.crop`) and gives a list of
    heatmaps (n, 68, 64, 64), one an hourglass; the last is the result.
    """
    from face_alignment.models import FAN

    network = FAN(num_modules)
    assert isinstance(network, nn.Module)
    return network
