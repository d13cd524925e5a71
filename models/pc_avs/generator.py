"""PC-AVS's generator: StyleGAN2 that begins at the identity map (section 3.3)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from models.pc_avs import FEATURES
from models.stylegan2.pyramid import Pyramid

_IDENTITY = 2048
_CHANNELS = (512, 512, 512, 512, 256, 128)
"""At 7, 14, ... 224 px."""


class Generator(Pyramid):
    """Images from styles; the mapping layers `style` are unused, but files hold them."""

    def __init__(self) -> None:
        super().__init__(_CHANNELS, _IDENTITY + FEATURES, 8, start=7, flat_bias=False)
        self.keep_noises()

    def forward(
        self,
        style: Float[Tensor, "batch 2560"],
        identity_map: Float[Tensor, "batch 512 7 7"] | None = None,
        *,
        noise: Sequence[Float[Tensor, "#batch 1 _side _side"] | None] | None = None,
        randomize_noise: bool = True,
    ) -> Float[Tensor, "batch 3 224 224"]:
        """The image, RGB in -1..1.

        Args:
            style: Identity 2048 | mouth 500 | head pose 12: the identity encoder's vector and
                `PoseEncoder.merge`.
            identity_map: From the identity encoder; else the learned constant.
            noise: For each styled convolution; otherwise drawn anew, or, if not randomize_noise,
                the stored noise of the file.
        """
        latents = self.latents([style], input_is_latent=True)
        if noise is None:
            noise = [None] * self.num_layers if randomize_noise else list(self.noises.buffers())
        return torch.tanh(self.synthesise(latents, noise, identity_map))
