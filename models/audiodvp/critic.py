"""The critic against which AudioDVP's neural face renderer trains: pix2pix's 70 x 70 patches."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from models.audiodvp.expression import WINDOW
from models.tensors import FeatureMaps, Scalar


class PatchCritic(nn.Module):
    """Renders and a photo → for every patch, how real the photo looks beside them.

    Args:
        inputs: Of renders and photo together.
        width: Channels of the first layer.
    """

    def __init__(self, inputs: int = 3 * WINDOW + 3, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(inputs, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for factor, stride in ((2, 2), (4, 2), (8, 1)):
            layers += [
                nn.Conv2d(width * factor // 2, width * factor, 4, stride, 1, bias=False),
                nn.BatchNorm2d(width * factor),
                nn.LeakyReLU(0.2),
            ]
        self.model = nn.Sequential(*layers, nn.Conv2d(width * 8, 1, 4, 1, 1))

    def forward(self, pair: FeatureMaps) -> Float[Tensor, "batch 1 height//8-2 width//8-2"]:
        """The logit of each patch.

        Args:
            pair: RGB, -1..1: the renderer's 21 input channels, then the photo.
        """
        out: Tensor = self.model(pair)
        return out


def adversarial_loss(prediction: Float[Tensor, "*patch"], *, real: bool) -> Scalar:
    """Cross entropy of the critic's logits with one answer for all patches."""
    return functional.binary_cross_entropy_with_logits(
        prediction, torch.full_like(prediction, float(real))
    )
