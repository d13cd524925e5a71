"""Meta Talk's neural face renderer is AudioDVP's, in a size of one's own; how it is trained."""

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from models.audiodvp.critic import PatchCritic, adversarial_loss
from models.audiodvp.renderer import NeuralFaceRenderer
from models.meta_talk.settings import NeuralRendererSize
from models.tensors import FeatureMaps, Images, Scalar


def neural_renderer(size: NeuralRendererSize = NeuralRendererSize()) -> NeuralFaceRenderer:  # noqa: B008
    """The renderer, with torch's own random weights."""
    kind = Retoucher if size.input == "render_and_exemplar" else NeuralFaceRenderer
    return kind(_seen(size), width=size.width, refine=size.refine)


class Retoucher(NeuralFaceRenderer):
    """AudioDVP's renderer where a photo is at hand already: it makes what is to be added to it."""

    def forward(self, windows: FeatureMaps) -> Images:
        """Photos, RGB, about -1..1.

        Args:
            windows: As of AudioDVP's, and the photo to change, RGB -1..1, last.
        """
        return windows[:, -3:] + super().forward(windows)


def critic(size: NeuralRendererSize, width: int) -> PatchCritic:
    """The critic that judges what a renderer of that size makes.

    Args:
        size: Of the renderer.
        width: Channels of the critic's first layer.
    """
    return PatchCritic(_seen(size) + 3, width)


def _seen(size: NeuralRendererSize) -> int:
    return 3 * (size.window + (size.input == "render_and_exemplar"))


@torch.no_grad()
def made_real(judge: nn.Module, windows: FeatureMaps, made: Images) -> Scalar:
    """Loss of the renderer by its critic: cross entropy of the answers with "real".

    Args:
        judge: The critic.
        windows: What the renderer saw.
        made: What it made, RGB -1..1.
    """
    return adversarial_loss(judge(torch.cat([windows, made], 1)), real=True)


def critic_loss(judge: nn.Module, windows: FeatureMaps, made: Images, photo: Images) -> Scalar:
    """Loss of the critic: half of what it says wrongly of each.

    Args:
        judge: The critic.
        windows: What the renderer saw.
        made: What it made, RGB -1..1, without a gradient.
        photo: What was filmed, RGB -1..1.
    """
    said = [judge(torch.cat([windows, picture], 1)) for picture in (made, photo)]
    fake, real = (adversarial_loss(each, real=bool(n)) for n, each in enumerate(said))
    return (fake + real) / 2


def psnr_within(
    made: UInt8[Tensor, "batch 3 height width"],
    photo: UInt8[Tensor, "batch 3 height width"],
    mask: Bool[Tensor, "batch 1 height width"],
) -> Float[Tensor, " batch"]:
    """PSNR of each picture's pixels within a mask [dB]; at most 100.

    Args:
        made: RGB 0..255.
        photo: RGB 0..255.
        mask: What counts.
    """
    squared = ((made.float() - photo.float()) / 255).square() * mask
    mean = squared.flatten(1).sum(1) / (3 * mask.flatten(1).sum(1)).clamp(min=1)
    return -10 * mean.clamp(min=1e-10).log10()
