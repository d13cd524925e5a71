"""The random weights that GANs of pix2pix's family begin with."""

from torch import nn

_SPREAD = 0.02
_LAYERS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def begin(network: nn.Module) -> nn.Module:
    """The network with normally distributed weights of its layers, and no biases."""
    for module in network.modules():
        if isinstance(module, (*_LAYERS, nn.BatchNorm2d)):
            nn.init.normal_(module.weight, float(isinstance(module, nn.BatchNorm2d)), _SPREAD)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network
