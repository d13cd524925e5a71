"""The network that AudioDVP fits to a clip: ResNet-50 of VGGFace2 (Cao et al., FG 2018)."""

from torch import nn
from torchvision.models import ResNet, resnet50
from torchvision.models.resnet import Bottleneck

MEAN = (0.5141, 0.4074, 0.3588)
"""Subtracted from RGB in 0..1; there is no division."""


def vggface2_resnet50() -> ResNet:
    """ResNet-50: (batch, 3, 224, 224) RGB 0..1 minus MEAN → features (batch, 2048), 0 or more.

    Converted from Caffe, hence the stride in the first 1 x 1 convolution of a block and the
    pooling without padding. AudioDVP adds Linear(2048, 97), zero at the start: expression 64,
    light 27, rotation 3, translation 3.
    """
    network = resnet50(weights=None)
    for module in network.modules():
        if isinstance(module, Bottleneck):
            module.conv1.stride, module.conv2.stride = module.conv2.stride, (1, 1)
    network.maxpool = nn.MaxPool2d(3, 2, ceil_mode=True)
    network.fc = nn.Identity()
    return network
