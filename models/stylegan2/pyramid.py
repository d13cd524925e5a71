"""The body of a StyleGAN2 generator, which PC-AVS and GPEN share."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.stylegan2.layers import ConstantInput, EqualLinear, PixelNorm, StyledConv, ToRGB

Latents = Float[Tensor, "batch layer style_dim"]  # the styles of all layers
MeanLatent = Float[Tensor, "1 style_dim"]  # the mean of w

MAPPING_LR_MUL = 0.01


def channels_of(size: int, channel_multiplier: int = 2, narrow: float = 1.0) -> tuple[int, ...]:
    """Channels at 4, 8, 16, ... size pixels.

    Args:
        size: A power of 2, at least 8 [px].
        channel_multiplier: Of the levels from 64 on.
        narrow: Of all levels (GPEN's smaller models).
    """
    if size < 8 or size & (size - 1):
        raise ValueError(f"the size must be a power of 2 from 8 on, not {size}")
    levels = range(2, size.bit_length())
    return tuple(int(min(512, 2**14 * channel_multiplier >> level) * narrow) for level in levels)


class Pyramid(nn.Module):
    """Mapping network, constant input, and two styled convolutions and a ToRGB per level.

    Args:
        channels: Of each level, from the smallest; each level is twice the one before.
        style_dim: Length of z, of w and so of a style.
        n_mlp: Layers of the mapping network.
        start: Side of the smallest level [px].
        concat_noise: The noise is appended as channels (GPEN), not added.
        flat_bias: Layout of the activations' biases, see BiasedLeakyReLU.
    """

    def __init__(
        self,
        channels: Sequence[int],
        style_dim: int,
        n_mlp: int,
        *,
        start: int = 4,
        concat_noise: bool = False,
        flat_bias: bool = True,
    ) -> None:
        super().__init__()
        mapping = [
            EqualLinear(style_dim, style_dim, lr_mul=MAPPING_LR_MUL, activate=True)
            for _ in range(n_mlp)
        ]
        self.style = nn.Sequential(PixelNorm(), *mapping)
        self.style_dim = style_dim
        wider = 1 + concat_noise

        styled = partial(
            StyledConv, style_dim=style_dim, concat_noise=concat_noise, flat_bias=flat_bias
        )
        self.input = ConstantInput(channels[0], start)
        self.conv1 = styled(channels[0], channels[0])
        self.to_rgb1 = ToRGB(channels[0] * wider, style_dim, upsample=False)
        self.convs = nn.ModuleList()
        self.to_rgbs = nn.ModuleList()
        for before, after in pairwise(channels):
            self.convs.append(styled(before * wider, after, upsample=True))
            self.convs.append(styled(after * wider, after))
            self.to_rgbs.append(ToRGB(after * wider, style_dim))
        self.sides = tuple(start << level for level in range(len(channels)))
        """Of the levels [px]."""
        self.num_layers = 2 * len(channels) - 1
        """Styled convolutions, each with its noise."""
        self.n_latent = 2 * len(channels)
        """Styles that an image takes."""

    def noise_sides(self) -> Iterator[int]:
        """Side of the noise of each styled convolution [px]."""
        for layer in range(self.num_layers):
            yield self.sides[(layer + 1) // 2]

    def keep_noises(self) -> None:
        """Adds the noise that files hold, `noises`: one for each styled convolution."""
        self.noises = nn.Module()
        for layer, side in enumerate(self.noise_sides()):
            self.noises.register_buffer(f"noise_{layer}", torch.randn(1, 1, side, side))

    def mean_latent(self, n_latent: int) -> MeanLatent:
        """Mean of w over `n_latent` random z, for truncation."""
        z = torch.randn(n_latent, self.style_dim, device=self.input.input.device)
        w: Tensor = self.style(z)
        return w.mean(0, keepdim=True)

    def latents(
        self,
        styles: Sequence[Float[Tensor, " batch *style"]],
        inject_index: int | None = None,
        *,
        truncation: float = 1.0,
        truncation_latent: MeanLatent | None = None,
        input_is_latent: bool = False,
    ) -> Latents:
        """Styles of all layers.

        Args:
            styles: One or two of (batch, style_dim), z or, if input_is_latent, w; or one w of
                (batch, n_latent, style_dim), used as it is.
            inject_index: The first layer to take the second style; by chance if not given.
            truncation: How far to go from the mean to the style; 1 is all the way.
            truncation_latent: The mean of w, which truncation needs.
        """
        if not 1 <= len(styles) <= 2:
            raise ValueError(f"one or two styles can be mixed, not {len(styles)}")
        if not input_is_latent:
            styles = [self.style(style) for style in styles]
        if truncation < 1:
            if truncation_latent is None:
                raise ValueError("truncation needs truncation_latent, the mean of w")
            styles = [truncation_latent + truncation * (w - truncation_latent) for w in styles]
        if len(styles) == 1:
            w = styles[0]
            return w if w.ndim == 3 else w[:, None].expand(-1, self.n_latent, -1)
        if inject_index is None:
            inject_index = int(torch.randint(1, self.n_latent, ()))
        first, second = (style[:, None] for style in styles)
        after = self.n_latent - inject_index
        return torch.cat([first.expand(-1, inject_index, -1), second.expand(-1, after, -1)], 1)

    def synthesise(
        self,
        latents: Latents,
        noise: Sequence[Float[Tensor, "#batch _channel _side _side"] | None],
        start: Float[Tensor, "batch channel start start"] | None = None,
    ) -> Float[Tensor, "batch 3 side side"]:
        """Images from the styles of all layers, RGB, -1..1, not clipped.

        Args:
            latents: n_latent styles.
            noise: For each styled convolution, of one channel, or of as many as the features have
                where noise is appended; None draws it.
            start: In place of the constant input.
        """
        if latents.shape[1] != self.n_latent or len(noise) != self.num_layers:
            raise ValueError(
                f"{self.n_latent} styles and {self.num_layers} noises are needed, "
                f"not {latents.shape[1]} and {len(noise)}"
            )
        features: Tensor = self.input(len(latents)) if start is None else start
        features = self.conv1(features, latents[:, 0], noise[0])
        image: Tensor = self.to_rgb1(features, latents[:, 1])
        for level, to_rgb in enumerate(self.to_rgbs):
            for layer in (2 * level, 2 * level + 1):
                features = self.convs[layer](features, latents[:, layer + 1], noise[layer + 1])
            image = to_rgb(features, latents[:, 2 * level + 3], image)
        return image
