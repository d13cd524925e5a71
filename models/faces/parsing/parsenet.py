"""ParseNet of PSFRGAN (Chen et al. 2021): GFPGAN, GPEN and VideoReTalking use it.

Convention: RGB; 512 x 512 in use, any multiple of 16 works. Parameters have the published names.
"""

from itertools import pairwise, product

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

CLASSES = (
    *("background", "skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear"),
    *("r_ear", "mouth", "u_lip", "l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth"),
)
"""By label."""
SIZE = 512

_CHANNELS = (64, 128, 256, 256, 256)
"""At full size, a half, …, a sixteenth."""
_BODY_BLOCKS = 10


class _Norm(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(x)
        return out


class _Conv(nn.Module):
    """3 x 3 with mirrored edges, from an enlarged image or to a halved one, normalised or not."""

    def __init__(
        self, inputs: int, outputs: int, scale: str = "", *, norm: bool = False, relu: bool = False
    ) -> None:
        super().__init__()
        stride = 2 if scale == "down" else 1
        self.up = scale == "up"
        self.conv2d = nn.Conv2d(inputs, outputs, 3, stride, bias=not norm)
        self.norm = _Norm(outputs) if norm else nn.Identity()
        self.relu = nn.LeakyReLU(0.2) if relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        if self.up:
            seen = _seen_enlarged(x, self.conv2d.weight, self.conv2d.bias)
        else:
            seen = self.conv2d(functional.pad(x, (1, 1, 1, 1), mode="reflect"))
        out: Tensor = self.relu(self.norm(seen))
        return out


def _seen_enlarged(
    x: Float[Tensor, "n inputs h w"],
    kernel: Float[Tensor, "outputs inputs 3 3"],
    bias: Float[Tensor, " outputs"] | None,
) -> Float[Tensor, "n outputs 2*h 2*w"]:
    """The convolution of an image whose pixels and mirrored edges are doubled.

    Of three neighbours two are equal, so their weights are added first: 4 products in place of 9.
    """
    n, _, height, width = x.shape
    padded = functional.pad(x, (1, 1, 1, 1), mode="replicate")
    out = x.new_empty((n, 2 * height, 2 * width, len(kernel))).permute(0, 3, 1, 2)
    for down, right in product((0, 1), repeat=2):
        weights = _paired(_paired(kernel, 2, down), 3, right)
        part = padded[:, :, down : down + height + 1, right : right + width + 1]
        out[:, :, down::2, right::2] = functional.conv2d(part, weights, bias)
    return out


def _paired(kernel: Tensor, axis: int, later: int) -> Tensor:
    """Two weights for three, of an enlarged image's even or later row or column."""
    first, middle, last = torch.split(kernel, 1, axis)
    return torch.cat((first + middle, last) if later else (first, middle + last), axis)


class _Block(nn.Module):
    """Residual; enlarges in its first convolution, halves in its second."""

    def __init__(self, inputs: int, outputs: int, scale: str = "") -> None:
        super().__init__()
        self.shortcut_func = _Conv(inputs, outputs, scale) if scale else nn.Identity()
        first, second = (scale, "") if scale == "up" else ("", scale)
        self.conv1 = _Conv(inputs, outputs, first, norm=True, relu=True)
        self.conv2 = _Conv(outputs, outputs, second, norm=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.shortcut_func(x) + self.conv2(self.conv1(x))
        return out


class ParseNet(nn.Module):
    """Classes of each pixel, and the image again (which served training)."""

    def __init__(self) -> None:
        super().__init__()
        steps = list(pairwise(_CHANNELS))
        low = _CHANNELS[-1]
        self.encoder = nn.Sequential(
            _Conv(3, _CHANNELS[0]), *(_Block(here, there, "down") for here, there in steps)
        )
        self.body = nn.Sequential(*(_Block(low, low) for _ in range(_BODY_BLOCKS)))
        self.decoder = nn.Sequential(*(_Block(there, here, "up") for here, there in steps[::-1]))
        self.out_img_conv = _Conv(_CHANNELS[0], 3)
        self.out_mask_conv = _Conv(_CHANNELS[0], len(CLASSES))

    def forward(
        self, image: Float[Tensor, "n 3 h w"]
    ) -> tuple[Float[Tensor, "n 19 h w"], Float[Tensor, "n 3 h w"]]:
        """Logits and image, of an image in -1..1."""
        features = self.encoder(image)
        decoded = self.decoder(features + self.body(features))
        return self.out_mask_conv(decoded), self.out_img_conv(decoded)


def parsenet() -> nn.Module:
    """The network with fresh weights."""
    return ParseNet()
