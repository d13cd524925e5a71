"""StyleGAN2's generator (Karras et al. 2020), as rosinality/stylegan2-pytorch publishes it."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from models.stylegan2.pyramid import Pyramid, channels_of


class Generator(Pyramid):
    """Images in -1..1 (RGB, not clipped) from normal z.

    Args:
        size: Side of the images, a power of 2 [px].
        style_dim: Length of z and of w.
        n_mlp: Layers of the mapping network.
        channel_multiplier: Of the channels from 64 px on; 2 in the published files.
    """

    def __init__(
        self, size: int, style_dim: int = 512, n_mlp: int = 8, channel_multiplier: int = 2
    ) -> None:
        super().__init__(channels_of(size, channel_multiplier), style_dim, n_mlp)
        self.keep_noises()

    def forward(
        self,
        styles: Sequence[Float[Tensor, " batch *style"]],
        return_latents: bool = False,
        inject_index: int | None = None,
        truncation: float = 1.0,
        truncation_latent: Float[Tensor, "1 style_dim"] | None = None,
        input_is_latent: bool = False,
        noise: Sequence[Float[Tensor, "#batch 1 _side _side"] | None] | None = None,
        randomize_noise: bool = True,
    ) -> tuple[Float[Tensor, "batch 3 size size"], Float[Tensor, "batch layer style_dim"] | None]:
        """The image and, if return_latents, the styles of its layers; arguments as of `latents`.

        Args:
            noise: For each styled convolution; otherwise drawn anew, or, if not randomize_noise,
                the stored noise of the file.
        """
        latents = self.latents(
            styles,
            inject_index,
            truncation=truncation,
            truncation_latent=truncation_latent,
            input_is_latent=input_is_latent,
        )
        if noise is None:
            noise = [None] * self.num_layers if randomize_noise else list(self.noises.buffers())
        return self.synthesise(latents, noise), latents if return_latents else None
