"""The network that reads a face's coefficients from one photo (Deep3DFaceRecon, section 3.2).

The public implementation is sicxu/Deep3DFaceRecon_pytorch; VideoReTalking uses the same network.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models import resnet50

from models.deep3d.face_model import COEFFICIENTS
from models.tensors import Images

_POOLED = 2048


class Regressor(nn.Module):
    """ResNet-50 (stride in the 3 x 3 convolutions), then one linear layer a group.

    The heads begin at zero, which is the mean face, in front of the camera.
    """

    def __init__(self) -> None:
        super().__init__()
        self.backbone = resnet50(weights=None)
        self.backbone.fc = nn.Identity()
        *groups, translation = COEFFICIENTS.values()
        depth = 1  # the last of the translation has a layer of its own
        self.final_layers = nn.ModuleList(
            nn.Conv2d(_POOLED, size, 1) for size in (*groups, translation - depth, depth)
        )
        for head in self.final_layers.parameters():
            nn.init.zeros_(head)

    def forward(self, image: Images) -> Float[Tensor, "batch 257"]:
        """Coefficients in the order of COEFFICIENTS.

        Args:
            image: 224 x 224 px as published, RGB, 0..1, aligned by `models.deep3d.alignment.align`.
        """
        pooled: Tensor = self.backbone(image)[:, :, None, None]
        return torch.cat([head(pooled) for head in self.final_layers], 1).flatten(1)
