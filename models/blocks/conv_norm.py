"""Wav2Lip's convolution blocks, which many talking-face networks share.

Prajwal et al., "A Lip Sync Expert Is All You Need", 2020; public repository Rudrabha/Wav2Lip. The
names `conv_block.0` (convolution) and `conv_block.1` (batch norm) are those of the published files.
"""

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

Size = int | tuple[int, int]


class ConvBlock(nn.Module):
    """A convolution and perhaps a norm, then an activation; a residual block adds its input before.

    Args:
        layers: The convolution, and the norm if there is one.
        act: The activation.
        residual: Add the input; the layers must keep its shape.
    """

    def __init__(self, *layers: nn.Module, act: nn.Module, residual: bool = False) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(*layers)
        self.act = act
        self.residual = residual

    def forward(
        self, features: Float[Tensor, "batch channel *size"]
    ) -> Float[Tensor, "batch out_channel *out_size"]:
        """Features of the layer's output channels and size."""
        found: Tensor = self.conv_block(features)
        if self.residual:
            found += features
        activated: Tensor = self.act(found)
        return activated


class ConvNorm(ConvBlock):
    """Convolution, batch norm, ReLU; a residual block adds its input before the ReLU.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output; those of the input in a residual block.
        kernel: Side or (height, width) of the kernel.
        stride: Step along both axes or (down, across).
        padding: Zeros around the input.
        residual: Add the input; the block must keep its shape.
    """

    layers: tuple[Any, Any] = (nn.Conv2d, nn.BatchNorm2d)

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: Size = 3,
        stride: Size = 1,
        padding: Size = 1,
        residual: bool = False,
    ) -> None:
        if residual and inputs != outputs:
            raise ValueError(f"a residual block keeps its channels: {inputs} in, {outputs} out")
        convolution, norm = self.layers
        super().__init__(
            convolution(inputs, outputs, kernel, stride, padding),
            norm(outputs),
            act=nn.ReLU(inplace=True),
            residual=residual,
        )


def residual_blocks(channels: int, count: int) -> list[nn.Module]:
    """So many residual blocks of `ConvNorm`."""
    return [ConvNorm(channels, channels, residual=True) for _ in range(count)]


def mel_encoder(*, residuals_256: int = 1, width: int = 512) -> nn.Sequential:
    """The encoder of a mel window (batch, 1, 80, 16) to an embedding (batch, width, 1, 1).

    Wav2Lip's generator, its expert (with `residuals_256=2`) and VideoReTalking's L-Net and E-Net
    begin with it.

    Args:
        residuals_256: Residual blocks after the fourth halving, of 256 channels as published.
        width: Channels of the embedding, a multiple of 16; those before it are in proportion.
    """
    first, second, third, fourth = (width // share for share in (16, 8, 4, 2))
    return nn.Sequential(
        ConvNorm(1, first),
        *residual_blocks(first, 2),
        ConvNorm(first, second, stride=(3, 1)),
        *residual_blocks(second, 2),
        ConvNorm(second, third, stride=3),
        *residual_blocks(third, 2),
        ConvNorm(third, fourth, stride=(3, 2)),
        *residual_blocks(fourth, residuals_256),
        ConvNorm(fourth, width, padding=0),
        ConvNorm(width, width, kernel=1, padding=0),
    )
