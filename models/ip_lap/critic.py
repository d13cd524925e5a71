"""IP-LAP's critic: pix2pixHD's multi-scale patch discriminator (Wang et al. 2018)."""

from itertools import pairwise

from torch import Tensor, nn

from models.tensors import AnyMaps, Images

_CHANNELS = (64, 128, 256, 512)
_SCALES = 2


class PatchCritic(nn.Module):
    """Two patch critics, one for the image and one for its half size.

    Trained with least squares: 1 for real, 0 for generated, summed over the scales.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = len(_CHANNELS) + 1
        for scale in range(_SCALES):
            for layer, block in enumerate(_blocks()):
                self.add_module(f"scale{scale}_layer{layer}", block)
        self.downsample = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.02)

    def forward(self, image: Images) -> list[list[AnyMaps]]:
        """Features and verdicts, for the adversarial and the feature-matching loss.

        Args:
            image: BGR in 0..1.

        Returns:
            For each scale, the full one first: the output of each layer. The last is the verdict
            on each patch, of one channel; it has no sigmoid.
        """
        outputs: list[list[Tensor]] = []
        for scale in reversed(range(_SCALES)):  # the published names count from the smallest
            features = image
            outputs.append([])
            for layer in range(self.layers):
                features = self.get_submodule(f"scale{scale}_layer{layer}")(features)
                outputs[-1].append(features)
            if scale:
                image = self.downsample(image)
        return outputs


def _blocks() -> list[nn.Sequential]:
    """Layers of one patch critic: kernel 4, padding 2."""
    blocks = [nn.Sequential(nn.Conv2d(3, _CHANNELS[0], 4, 2, 2), nn.LeakyReLU(0.2))]
    for inputs, channels in pairwise(_CHANNELS):
        stride = 1 if channels == _CHANNELS[-1] else 2
        blocks.append(
            nn.Sequential(
                nn.Conv2d(inputs, channels, 4, stride, 2),
                nn.InstanceNorm2d(channels),
                nn.LeakyReLU(0.2),
            )
        )
    return [*blocks, nn.Sequential(nn.Conv2d(_CHANNELS[-1], 1, 4, 1, 2))]
