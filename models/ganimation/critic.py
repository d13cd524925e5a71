"""GANimation's critic: whether a face looks real, and which action units it shows.

Pumarola et al. 2018, section 4, in the form that VideoReTalking's generator was trained against:
six layers for faces of 128 px, one fewer for each halving. The authors published no weights.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.ganimation.generator import ACTION_UNITS
from models.ganimation.settings import GANimationSize
from models.tensors import Images

_SLOPE = 0.01
_PUBLISHED = GANimationSize()


class Critic(nn.Module):
    """Layers that each halve the picture, down to 2 x 2, and two heads. No norms."""

    def __init__(self, size: GANimationSize = _PUBLISHED) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs, width = 3, size.width
        for _ in range(size.side.bit_length() - 2):
            layers += [nn.Conv2d(inputs, width, 4, stride=2, padding=1), nn.LeakyReLU(_SLOPE)]
            inputs, width = width, 2 * width
        self.model = nn.Sequential(*layers)
        self.real_top = nn.Conv2d(inputs, 1, 3, padding=1, bias=False)
        self.au_top = nn.Conv2d(inputs, ACTION_UNITS, 2, bias=False)

    def forward(
        self, image: Images
    ) -> tuple[Float[Tensor, "batch 1 2 2"], Float[Tensor, "batch 17"]]:
        """How real each quarter looks, on a scale of its own; and the action units, about 0..1.

        Args:
            image: -1..1.
        """
        features = self.model(image)
        return self.real_top(features), torch.flatten(self.au_top(features), 1)
