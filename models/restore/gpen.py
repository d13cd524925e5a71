"""GPEN (Yang et al. 2021): a StyleGAN2 whose noise inputs are an encoder's features of the face.

The layout is that of yangxy/GPEN, which VideoReTalking uses to sharpen faces.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from models.stylegan2.layers import ConvLayer, EqualLinear
from models.stylegan2.pyramid import Pyramid, channels_of

SquareImages = Float[Tensor, "n 3 size size"]  # RGB in -1..1


class FullGenerator(nn.Module):
    """Encoder and generator.

    Args:
        size: Side of the images, a power of 2 [px]: 512 in GPEN-BFR-512, 256 in GPEN-BFR-256.
        style_dim: Length of the code and of the styles.
        n_mlp: Layers of the mapping network, which the code passes through.
        channel_multiplier: Of the channels from 64 px on: 2 at 512 px, 1 at 256 px.
        narrow: Of all channels: 1 at 512 px, 0.5 at 256 px.
    """

    def __init__(
        self,
        size: int,
        style_dim: int = 512,
        n_mlp: int = 8,
        channel_multiplier: int = 2,
        *,
        narrow: float = 1.0,
    ) -> None:
        super().__init__()
        channels = channels_of(size, channel_multiplier, narrow)
        self.size = size
        self.generator = Pyramid(channels, style_dim, n_mlp, concat_noise=True)
        self.ecd0 = nn.Sequential(ConvLayer(3, channels[-1], 1))
        self.levels = len(channels)
        for level in range(1, self.levels):
            before, after = channels[-level], channels[-level - 1]
            self.add_module(
                f"ecd{level}", nn.Sequential(ConvLayer(before, after, 3, downsample=True))
            )
        self.final_linear = nn.Sequential(
            EqualLinear(channels[0] * 4 * 4, style_dim, activate=True)
        )

    def encode(
        self, image: SquareImages
    ) -> tuple[Float[Tensor, "n style"], Sequence[Float[Tensor, "n _ _ _"]]]:
        """The code, and the features of each level from the smallest on."""
        features = []
        for level in range(self.levels):
            image = self.get_submodule(f"ecd{level}")(image)
            features.append(image)
        code: Tensor = self.final_linear(image.flatten(1))
        return code, features[::-1]

    def forward(
        self, inputs: SquareImages, return_latents: bool = False
    ) -> tuple[SquareImages, Float[Tensor, "n latent style"] | None]:
        """Restores faces.

        Args:
            inputs: RGB -1..1, aligned by models.restore.align.gpen_affine.
            return_latents: Also return the styles of all layers.

        Returns:
            The image, like the input and not clipped, and the styles or None.
        """
        if inputs.shape[1:] != (3, self.size, self.size):
            raise ValueError(
                f"GPEN takes N x 3 x {self.size} x {self.size}, not {tuple(inputs.shape)}"
            )
        code, features = self.encode(inputs)
        latents = self.generator.latents([code])
        # Both convolutions of a level see its features; the smallest level has one convolution.
        noise = [level for level in features for _ in range(2)][1:]
        image = self.generator.synthesise(latents, noise)
        return image, latents if return_latents else None
