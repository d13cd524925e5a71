"""GFPGAN (Wang et al. 2021), the "clean" version 1 of the gfpgan package: files 1.2, 1.3 and 1.4.

The package installs up to Python 3.12. Elsewhere spandrel's copy of its network is used; both give
the same numbers.

Convention: faces are aligned by models.restore.align.ffhq_affine, 512 x 512.
"""

import importlib
import importlib.util
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor, nn
from torchvision.transforms import functional

from models.stylegan2 import clean

SIZE = 512
STYLE_DIM = 512


def gfpgan_v1_clean(*, narrow: float = 1) -> nn.Module:
    """The gfpgan package's network, or spandrel's copy of it, whose convolutions take any layout.

    Its forward(x, return_latents, return_rgb, randomize_noise) takes N x 3 x 512 x 512, RGB -1..1,
    and gives (the same restored and not clipped, the training heads' images from 8 px on).
    Randomize_noise is true by default, as published: then no two calls agree; else the noise of
    the file is used. The mapping network `style_mlp` is in the file, but nothing uses it.

    Args:
        narrow: Share of the published channels.

    Raises:
        ModuleNotFoundError: neither is installed; `dubflow[restore]` brings one of them.
    """
    network = _published()(
        out_size=SIZE,
        num_style_feat=STYLE_DIM,
        channel_multiplier=2,
        fix_decoder=False,
        input_is_latent=True,
        different_w=True,
        sft_half=True,
        narrow=narrow,
    )
    assert isinstance(network, nn.Module)
    for module in list(network.modules()):
        if hasattr(module, "modulated_conv"):
            module.modulated_conv = _ours(module.modulated_conv)
    # The package flattens these features with `view`, which channels-last images refuse.
    network.get_submodule("final_conv").register_forward_hook(_contiguous)
    return network


class GfpganRestorer(nn.Module):
    """GFPGAN on 8-bit images; the noise is that of the file, so that results repeat.

    Args:
        network: As `gfpgan_v1_clean` makes it.
        strength: Share of the restored face in what comes out, 0..1.
    """

    def __init__(self, network: nn.Module, *, strength: float = 1.0) -> None:
        super().__init__()
        self.network = network
        self.strength = strength

    def forward(self, faces: UInt8[Tensor, "n size size 3"]) -> UInt8[Tensor, "n size size 3"]:
        """Aligned RGB faces (512 px), restored."""
        image = faces.permute(0, 3, 1, 2) / 127.5 - 1
        restored: Tensor = self.network(image, return_rgb=False, randomize_noise=False)[0]
        mixed = image + self.strength * (restored.float().clamp(-1, 1) - image)
        return ((mixed + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)


def _published() -> Any:
    """The network's class."""
    if importlib.util.find_spec("gfpgan") is None:
        return importlib.import_module("spandrel.architectures.GFPGAN").GFPGAN
    with _outdated_imports():
        return importlib.import_module("gfpgan.archs.gfpganv1_clean_arch").GFPGANv1Clean


def _ours(theirs: Any) -> clean.ModulatedConv2d:
    _, outputs, inputs, kernel, _ = theirs.weight.shape
    with torch.device("meta"):  # no weights: theirs are taken over
        conv = clean.ModulatedConv2d(
            inputs,
            outputs,
            kernel,
            STYLE_DIM,
            demodulate=theirs.demodulate,
            upsample=theirs.sample_mode == "upsample",
        )
    conv.load_state_dict(theirs.state_dict(), assign=True)
    return conv


def _contiguous(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    return output.contiguous()


@contextmanager
def _outdated_imports() -> Iterator[None]:
    """Lets basicsr 1.4, which gfpgan needs, import what torchvision and SciPy have moved."""
    name = "torchvision.transforms.functional_tensor"
    moved = types.ModuleType(name)
    moved.__dict__["rgb_to_grayscale"] = functional.rgb_to_grayscale
    missing = name not in sys.modules
    if missing:
        sys.modules[name] = moved
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if missing:
            del sys.modules[name]
