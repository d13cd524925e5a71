"""PC-AVS's identity encoder: photo → features of the person, whatever the pose and the speech."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import resnext50_32x4d

from models.pc_avs import CLASSES
from models.tensors import Images

_CHANNELS = 2048


class IdentityEncoder(nn.Module):
    """ResNeXt-50; its own classifier `model.fc` is unused, but files hold it."""

    def __init__(self) -> None:
        super().__init__()
        self.model = resnext50_32x4d(weights=None)
        self.conv1x1 = nn.Conv2d(_CHANNELS, 512, 1)
        self.fc = nn.Linear(_CHANNELS, CLASSES)

    def forward(
        self, image: Images
    ) -> tuple[
        Float[Tensor, "batch 2048"], Float[Tensor, "batch 512 7 7"], Float[Tensor, "batch 5830"]
    ]:
        """Identity vector, identity map and class scores.

        Args:
            image: RGB in -1..1, 224 x 224 px as published.

        Returns:
            Part of the generator's style; where the generator begins; scores for training.
        """
        body = self.model
        features = body.maxpool(body.relu(body.bn1(body.conv1(image))))
        for stage in (body.layer1, body.layer2, body.layer3, body.layer4):
            features = stage(features)
        identity = features.mean((2, 3))
        identity_map = functional.adaptive_avg_pool2d(self.conv1x1(features), 7)
        return identity, identity_map, self.fc(identity)
