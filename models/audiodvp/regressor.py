"""The network that AudioDVP fits to a clip: ResNet-50 of VGGFace2 (Cao et al., FG 2018)."""

from collections.abc import Mapping
from types import MappingProxyType

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import ResNet, resnet50
from torchvision.models.resnet import Bottleneck

from models.tensors import Images

MEAN = (0.5141, 0.4074, 0.3588)
"""Subtracted from RGB in 0..1; there is no division."""
GROUPS: Mapping[str, int] = MappingProxyType(
    {"delta": 64, "gamma": 27, "rotation": 3, "translation": 3}
)
"""Group → how many, in the order in which AudioDVP's last layer gives them."""
_INPUT_PX = 224


def vggface2_resnet50() -> ResNet:
    """ResNet-50: (batch, 3, 224, 224) RGB 0..1 minus MEAN → features (batch, 2048), 0 or more.

    Converted from Caffe, hence the stride in the first 1 x 1 convolution of a block and the
    pooling without padding.
    """
    network = resnet50(weights=None)
    for module in network.modules():
        if isinstance(module, Bottleneck):
            module.conv1.stride, module.conv2.stride = module.conv2.stride, (1, 1)
    network.maxpool = nn.MaxPool2d(3, 2, ceil_mode=True)
    network.fc = nn.Identity()
    return network


class FaceRegressor(nn.Module):
    """The network with its last layer, which begins at 0: the mean face before the camera."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = vggface2_resnet50()
        self.head = nn.Linear(2048, sum(GROUPS.values()))
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def forward(self, image: Images) -> Float[Tensor, "batch 97"]:
        """Coefficients in the order of GROUPS.

        Args:
            image: RGB in 0..1, the square of the fit.
        """
        size = (_INPUT_PX, _INPUT_PX)
        seen = functional.interpolate(image, size, mode="bilinear", antialias=True)
        mean = seen.new_tensor(MEAN)[:, None, None]
        found: Tensor = self.head(self.backbone(seen - mean))
        return found
