"""Meta Talk's network from speech to expression: an encoder that is learned, then AudioDVP's.

The paper calls it "modified" and says no more. 80 bands do not fit AT-net's weights, so an encoder
of its layout is trained in its place; what AudioDVP trains on AT-net's features stays as it was.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Float16, Float32
from torch import Tensor, nn

from models.audiodvp.atnet import FEATURES
from models.audiodvp.expression import AudioToExpression
from models.deep3d.basis import N_EXPRESSION
from models.meta_talk.expression_settings import ExpressionSize
from models.meta_talk.features import BANDS

BLOCK = 250
"""Ticks predicted at a time."""
RANGE = 3.0
"""Standard deviations about the mean of the training that a prediction is limited to."""
_HIDDEN = 512


class SpeechToExpression(nn.Module):
    """Features of consecutive ticks → expression coefficients of those in their middle.

    Args:
        size: Layout.
    """

    delta_mean: Tensor
    delta_spread: Tensor

    def __init__(self, size: ExpressionSize | None = None) -> None:
        super().__init__()
        self.size = size or ExpressionSize()
        atnet = self.size.features == "atnet"
        self.encoder = nn.Flatten(1) if atnet else WindowEncoder(self.size.width)
        self.expression = AudioToExpression(self.size.window)
        self.register_buffer("delta_mean", torch.zeros(N_EXPRESSION))
        self.register_buffer("delta_spread", torch.ones(N_EXPRESSION))

    def forward(
        self, feature: Float[Tensor, "batch seen step band"], inside: Bool[Tensor, "batch seen"]
    ) -> Float[Tensor, "batch tick 64"]:
        """Expression of all ticks but the half window at either end.

        Args:
            feature: Of `models.meta_talk.features`, or (..., 1, 256) of AT-net.
            inside: Whether a tick is one of the sound; others count as 0, as in AudioDVP.
        """
        codes = self.encoder(feature.flatten(0, 1)).reshape(*inside.shape, FEATURES)
        around = (codes * inside[..., None]).unfold(1, self.size.window, 1).mT
        delta: Tensor = self.expression(around.flatten(0, 1))
        return delta.reshape(*around.shape[:2], N_EXPRESSION)


class WindowEncoder(nn.Module):
    """A window of 28 steps by 80 bands → 256 numbers, by AT-net's layout with twice its stride.

    Args:
        width: Channels of the first convolution.

    Attributes:
        band_mean: Of each band in the training's sounds.
        band_spread: Likewise, standard deviation.
    """

    band_mean: Tensor
    band_spread: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("band_mean", torch.zeros(BANDS))
        self.register_buffer("band_spread", torch.ones(BANDS))
        self.convolutions = nn.Sequential(
            _convolution(1, width, bands=2),
            _convolution(width, 2 * width),
            nn.MaxPool2d(3, stride=(1, 2)),
            _convolution(2 * width, 4 * width, bands=2),
            _convolution(4 * width, 4 * width),
            _convolution(4 * width, 8 * width),
            nn.MaxPool2d(3, stride=2),
        )
        self.linear = nn.Sequential(
            nn.Linear(8 * width * 12 * 4, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, FEATURES)
        )

    def forward(self, feature: Float[Tensor, "window 28 80"]) -> Float[Tensor, "window 256"]:
        """The code of each window."""
        level = (feature - self.band_mean) / self.band_spread
        code: Tensor = self.linear(self.convolutions(level[:, None]).flatten(1))
        return code


def _convolution(inputs: int, outputs: int, *, bands: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=(1, bands), padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


@torch.inference_mode()
def predict(
    network: SpeechToExpression,
    feature: Float16[np.ndarray, "tick step band"] | Float32[np.ndarray, "tick step band"],
    *,
    block: int = BLOCK,
) -> Float32[np.ndarray, "tick 64"]:
    """Expression at each tick of a sound, limited to what the training has seen.

    Args:
        network: In evaluation mode.
        feature: Of all ticks, as of `SpeechToExpression.forward`.
        block: Ticks predicted at a time; changes speed and memory only.
    """
    half, device = network.size.window // 2, network.delta_mean.device
    ticks = len(feature)
    inside = torch.zeros(ticks + 2 * half, dtype=torch.bool)
    inside[half : half + ticks] = True
    low = (network.delta_mean - RANGE * network.delta_spread).cpu().numpy()
    high = (network.delta_mean + RANGE * network.delta_spread).cpu().numpy()
    found = np.zeros((ticks, N_EXPRESSION), np.float32)
    for start in range(0, ticks, block):
        stop = min(start + block, ticks)
        seen = np.zeros((stop - start + 2 * half, *feature.shape[1:]), np.float32)
        first, last = max(start - half, 0), min(stop + half, ticks)
        seen[first - start + half : last - start + half] = feature[first:last]
        delta = network(
            torch.from_numpy(seen)[None].to(device),
            inside[None, start : stop + 2 * half].to(device),
        )
        found[start:stop] = np.clip(delta[0].cpu().numpy(), low, high)
    return found
