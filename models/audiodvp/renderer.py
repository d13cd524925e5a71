"""AudioDVP's neural face renderer: a pix2pix U-Net with refinement (section 4.3)."""

from collections import OrderedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.audiodvp.expression import WINDOW
from models.tensors import FeatureMaps

_WIDTHS = (1, 2, 4, 8, 8, 8, 8, 8)
_STRIDE = 2 ** len(_WIDTHS)
_INNERMOST_WITH_DROPOUT = 3


class NeuralFaceRenderer(nn.Module):
    """Seven consecutive renders of the lower face → the photo of the middle one.

    Args:
        inputs: 3 x frames seen.
        outputs: Of the photo.
        width: Channels of the outermost level.
        refine: Whether levels have AudioDVP's refinement; a plain pix2pix U-Net if not.
    """

    def __init__(
        self, inputs: int = 3 * WINDOW, outputs: int = 3, width: int = 64, *, refine: bool = True
    ) -> None:
        super().__init__()
        widths = [width * factor for factor in _WIDTHS]
        inside: nn.Module | None = None
        for depth in reversed(range(1, len(widths))):
            dropout = depth >= len(widths) - _INNERMOST_WITH_DROPOUT
            inside = SkipLevel(
                *(widths[depth - 1], widths[depth]), inside=inside, dropout=dropout, refine=refine
            )
        assert inside is not None
        self.model = _outermost(inputs, outputs, width=width, inside=inside, refine=refine)

    def forward(self, windows: FeatureMaps) -> Float[Tensor, "batch out_channel height width"]:
        """Photos, RGB, -1..1.

        Args:
            windows: RGB, -1..1, frames one after the other in order of time; frames outside the
                clip are 0. Sides are multiples of 256.
        """
        if windows.ndim != 4 or any(side % _STRIDE for side in windows.shape[2:]):
            raise ValueError(
                f"the renderer needs sides in multiples of {_STRIDE}, not {tuple(windows.shape)}"
            )
        out: Tensor = self.model(windows)
        return out


def _outermost(
    inputs: int, outputs: int, *, width: int, inside: nn.Module, refine: bool
) -> nn.Sequential:
    """The outermost level of the U-Net: image → features → inner levels → image in -1..1."""
    layers = nn.Sequential(
        nn.Conv2d(inputs, width, 4, 2, 1, bias=False),
        inside,
        nn.ReLU(),
        *([Refinement(2 * width, dropout=False)] if refine else []),
        nn.ConvTranspose2d(2 * width, outputs, 4, 2, 1),
        nn.Tanh(),
    )
    return nn.Sequential(OrderedDict(model=layers))


class SkipLevel(nn.Module):
    """A level of the U-Net: half the size and back, joined with the input.

    Args:
        outer: Channels outside, in and (twice) out.
        inner: Channels at half the size.
        inside: The next level; None in the innermost.
        dropout: Drop half of the channels' values in training.
        refine: Refine on the way back.
    """

    def __init__(
        self, outer: int, inner: int, *, inside: nn.Module | None, dropout: bool, refine: bool
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.LeakyReLU(0.2), nn.Conv2d(outer, inner, 4, 2, 1, bias=False)]
        joined = inner
        if inside is not None:
            layers += [nn.BatchNorm2d(inner), inside]
            joined = 2 * inner
        layers += [
            nn.ReLU(),
            *([Refinement(joined, dropout=dropout)] if refine else []),
            nn.ConvTranspose2d(joined, outer, 4, 2, 1, bias=False),
            nn.BatchNorm2d(outer),
        ]
        if dropout:
            layers.append(nn.Dropout())
        self.model = nn.Sequential(*layers)

    def forward(
        self, features: Float[Tensor, "batch outer height width"]
    ) -> Float[Tensor, "batch 2*outer height width"]:
        """The activated features, then what the level made of them."""
        activation, *rest = self.model
        # pix2pix activates in place, so its skip connections carry activated features
        skipped = hidden = activation(features)
        for layer in rest:
            hidden = layer(hidden)
        return torch.cat([skipped, hidden], 1)


class Refinement(nn.Module):
    """Two 3 x 3 convolutions at one size; AudioDVP's addition to pix2pix."""

    def __init__(self, channels: int, *, dropout: bool) -> None:
        super().__init__()
        self.model = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(channels, channels, 3, padding=1),
                    nn.BatchNorm2d(channels),
                    *([nn.Dropout()] if dropout else []),
                    nn.ReLU(),
                )
                for _ in range(2)
            )
        )

    def forward(self, features: FeatureMaps) -> FeatureMaps:
        """Refined features of the same shape."""
        out: Tensor = self.model(features)
        return out
