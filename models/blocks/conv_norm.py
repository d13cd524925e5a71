"""Wav2Lip's convolution blocks, which many talking-face networks share.

Prajwal et al., "A Lip Sync Expert Is All You Need", 2020; public repository Rudrabha/Wav2Lip. The
names `conv_block.0` (convolution) and `conv_block.1` (batch norm) are those of the published files.
"""

from jaxtyping import Float
from torch import Tensor, nn

Size = int | tuple[int, int]


class ConvNorm(nn.Module):
    """Convolution, batch norm, ReLU; a residual block adds its input before the ReLU.

    Args:
        channels_in: Channels of the input.
        channels_out: Channels of the output; those of the input in a residual block.
        kernel: Side or (height, width) of the kernel.
        stride: Step along both axes or (down, across).
        padding: Zeros around the input.
        residual: Add the input; the block must keep its shape.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        kernel: Size = 3,
        stride: Size = 1,
        padding: Size = 1,
        residual: bool = False,
    ) -> None:
        super().__init__()
        if residual and channels_in != channels_out:
            raise ValueError(
                f"a residual block keeps its channels: {channels_in} in, {channels_out} out"
            )
        self.conv_block = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, kernel, stride, padding),
            nn.BatchNorm2d(channels_out),
        )
        self.act = nn.ReLU(inplace=True)
        self.residual = residual

    def forward(
        self, features: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch out_channel out_height out_width"]:
        """Features of the layer's output channels and size."""
        found: Tensor = self.conv_block(features)
        if self.residual:
            found += features
        activated: Tensor = self.act(found)
        return activated


class ConvTransposeNorm(nn.Module):
    """Transposed convolution, batch norm, ReLU.

    Args:
        channels_in: Channels of the input.
        channels_out: Channels of the output.
        kernel: Side or (height, width) of the kernel.
        stride: Enlargement.
        padding: Taken off each border.
        output_padding: Put on at the lower right, for even sizes.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        kernel: Size = 3,
        stride: Size = 2,
        padding: Size = 1,
        output_padding: Size = 1,
    ) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ConvTranspose2d(channels_in, channels_out, kernel, stride, padding, output_padding),
            nn.BatchNorm2d(channels_out),
        )
        self.act = nn.ReLU(inplace=True)

    def forward(
        self, features: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch out_channel out_height out_width"]:
        """Features of the layer's output channels and size."""
        found: Tensor = self.act(self.conv_block(features))
        return found


class ConvLeaky(nn.Module):
    """Convolution and leaky ReLU of slope 0.01, without a norm.

    Args:
        channels_in: Channels of the input.
        channels_out: Channels of the output.
        kernel: Side or (height, width) of the kernel.
        stride: Step along both axes or (down, across).
        padding: Zeros around the input.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        kernel: Size = 3,
        stride: Size = 1,
        padding: Size = 1,
    ) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, kernel, stride, padding)
        )
        self.act = nn.LeakyReLU(0.01, inplace=True)

    def forward(
        self, features: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch out_channel out_height out_width"]:
        """Features of the layer's output channels and size."""
        found: Tensor = self.act(self.conv_block(features))
        return found


def mel_encoder(*, residuals_256: int = 1, width: int = 512) -> nn.Sequential:
    """The encoder of a mel window (batch, 1, 80, 16) to an embedding (batch, width, 1, 1).

    Wav2Lip's generator, its expert (with `residuals_256=2`) and VideoReTalking's L-Net and E-Net
    begin with it.

    Args:
        residuals_256: Residual blocks after the fourth halving, of 256 channels as published.
        width: Channels of the embedding, a multiple of 16; those before it are in proportion.
    """

    def kept(channels: int, count: int) -> list[nn.Module]:
        return [ConvNorm(channels, channels, residual=True) for _ in range(count)]

    first, second, third, fourth = (width // share for share in (16, 8, 4, 2))
    return nn.Sequential(
        ConvNorm(1, first),
        *kept(first, 2),
        ConvNorm(first, second, stride=(3, 1)),
        *kept(second, 2),
        ConvNorm(second, third, stride=3),
        *kept(third, 2),
        ConvNorm(third, fourth, stride=(3, 2)),
        *kept(fourth, residuals_256),
        ConvNorm(fourth, width, padding=0),
        ConvNorm(width, width, kernel=1, padding=0),
    )
