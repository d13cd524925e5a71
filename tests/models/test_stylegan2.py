"""StyleGAN2's layers against their definitions, and what its networks must do besides."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.restore.gpen import FullGenerator
from models.stylegan2 import clean, discriminator, generator
from models.stylegan2.discriminator import Discriminator, append_stddev
from models.stylegan2.generator import Generator
from models.stylegan2.layers import Blur, Upsample, modulated_conv2d
from models.stylegan2.pyramid import Pyramid, channels_of


@pytest.fixture
def few_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks of 8 x 8 px as they are built, with 8 channels where 512 are published."""
    for module in (generator, discriminator):
        monkeypatch.setattr(module, "channels_of", lambda size, multiplier: (8, 8))


def small() -> Generator:
    return Generator(8, style_dim=16, n_mlp=2)


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("transposed", [True, False])
def test_modulating_the_image_is_modulating_the_weights(demodulate: bool, transposed: bool) -> None:
    image, weight, style = torch.randn(2, 3, 5, 6), torch.randn(4, 3, 3, 3), torch.randn(2, 3)

    def defined(image: Tensor, style: Tensor) -> Tensor:
        kernels = weight * style[:, None, None]
        if demodulate:
            kernels = kernels / (kernels.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if transposed:
            return F.conv_transpose2d(image[None], kernels.transpose(0, 1), stride=2)
        return F.conv2d(image[None], kernels, padding=1)

    found = modulated_conv2d(image, weight, style, demodulate=demodulate, transposed=transposed)
    wanted = torch.cat([defined(*sample) for sample in zip(image, style, strict=True)])
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_upsampling_is_zeros_between_samples_and_a_filter() -> None:
    image = torch.randn(2, 3, 4, 5)
    spread = torch.zeros(2, 3, 8, 10)
    spread[:, :, ::2, ::2] = image
    torch.testing.assert_close(Upsample()(image), Blur((2, 1), gain=4.0)(spread))
    flat = torch.full((1, 1, 6, 6), 0.7)
    torch.testing.assert_close(Upsample()(flat)[:, :, 2:-2, 2:-2], torch.full((1, 1, 8, 8), 0.7))


def test_a_dead_style_gives_zeros_in_half_precision_too() -> None:
    image, weight = torch.ones(1, 2, 4, 4), torch.ones(3, 2, 3, 3)
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        found = modulated_conv2d(image.to(dtype), weight.to(dtype), torch.zeros(1, 2, dtype=dtype))
        assert found.dtype == dtype
        assert not found.any()


@pytest.mark.usefixtures("few_channels")
def test_generator_in_any_layout_batch_and_precision() -> None:
    network = small().eval()
    z = torch.randn(3, 16)
    image, latents = network([z], randomize_noise=False)
    assert image.shape == (3, 3, 8, 8)
    assert latents is None
    alone, _ = network([z[1:2]], randomize_noise=False)
    torch.testing.assert_close(alone, image[1:2], rtol=1e-4, atol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        half, _ = network([z], randomize_noise=False)
    assert (half.float() - image).abs().mean() < 0.05 * image.abs().mean()
    last, _ = network.to(memory_format=torch.channels_last)([z], randomize_noise=False)
    torch.testing.assert_close(last, image, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("few_channels")
def test_styles_mix_and_truncate() -> None:
    network = small()
    first, second = torch.randn(2, 2, 16)
    w = network.style(first)
    mixed = network.latents([first, second], 1)
    assert mixed.shape == (2, network.n_latent, 16)
    torch.testing.assert_close(mixed[:, 0], w)
    torch.testing.assert_close(mixed[:, 1], network.style(second))
    mean = network.mean_latent(10)
    none = network.latents([first], truncation=0.0, truncation_latent=mean)
    torch.testing.assert_close(none, mean.expand(2, network.n_latent, -1))
    torch.testing.assert_close(network.latents([w], input_is_latent=True)[:, 0], w)


@pytest.mark.usefixtures("few_channels")
def test_fresh_noise_changes_the_image_only_where_it_has_strength() -> None:
    network = small()
    z = torch.randn(1, 16)
    assert torch.equal(network([z])[0], network([z])[0])
    torch.nn.init.ones_(network.conv1.noise.weight)
    assert not torch.equal(network([z])[0], network([z])[0])


@pytest.mark.usefixtures("few_channels")
def test_gradients_reach_every_weight() -> None:
    maker, critic = small(), Discriminator(8)
    critic(maker([torch.randn(4, 16)])[0]).square().sum().backward()
    for network in (maker, critic):
        for name, weight in network.named_parameters():
            assert weight.grad is not None, name
            assert weight.grad.any(), name


def test_the_standard_deviation_is_that_of_each_group() -> None:
    features = torch.randn(8, 2, 3, 3)
    added = append_stddev(features)[:, 2]
    for start in (0, 1):
        spread = features[start::2].std(0, correction=0).mean()
        torch.testing.assert_close(added[start::2], spread.expand(4, 3, 3))
    with pytest.raises(ValueError, match="does not divide into groups of 4"):
        append_stddev(features[:6])


def test_gpen_takes_other_sizes_and_says_what_it_takes() -> None:
    network = FullGenerator(16, style_dim=16, n_mlp=1, narrow=0.0625).eval()
    image = torch.randn(2, 3, 16, 16)
    restored, latents = network(image, return_latents=True)
    assert restored.shape == image.shape
    assert latents.shape == (2, 6, 16)
    torch.testing.assert_close(network(image)[0], restored)
    last = network.to(memory_format=torch.channels_last)
    found, _ = last(image.to(memory_format=torch.channels_last))
    torch.testing.assert_close(found, restored, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match=r"N x 3 x 16 x 16, not \(1, 3, 8, 8\)"):
        network(torch.zeros(1, 3, 8, 8))


def test_clean_layers_double_the_size_and_take_noise() -> None:
    conv, colours = clean.StyleConv(4, 6, 8, upsample=True), clean.ToRGB(6, 8)
    torch.nn.init.ones_(conv.weight)
    image, style = torch.randn(2, 4, 5, 5), torch.randn(2, 8)
    silent = conv(image, style, torch.zeros(1, 1, 10, 10))
    assert silent.shape == (2, 6, 10, 10)
    assert not torch.equal(conv(image, style), silent)
    assert colours(silent, style, torch.randn(2, 3, 5, 5)).shape == (2, 3, 10, 10)


def test_weights_keep_the_published_axes() -> None:
    conv = clean.ModulatedConv2d(4, 6, 3, 8)
    state = conv.state_dict()
    assert state["weight"].shape == (1, 6, 4, 3, 3)
    other = clean.ModulatedConv2d(4, 6, 3, 8)
    other.load_state_dict(state)
    assert torch.equal(other.weight, conv.weight)
    with pytest.raises(RuntimeError, match="size mismatch for weight"):
        other.load_state_dict(state | {"weight": torch.zeros(2, 6, 4, 3, 3)})


def test_channels_and_wrong_arguments() -> None:
    assert channels_of(256) == (512, 512, 512, 512, 512, 256, 128)
    assert channels_of(256, 1, 0.5) == (256, 256, 256, 256, 128, 64, 32)
    with pytest.raises(ValueError, match="power of 2 from 8 on, not 48"):
        channels_of(48)
    network = Pyramid((8, 8), 16, 1, start=7)
    assert list(network.noise_sides()) == [7, 14, 14]
    with pytest.raises(ValueError, match="one or two styles can be mixed, not 3"):
        network.latents([torch.zeros(1, 16)] * 3)
    with pytest.raises(ValueError, match="truncation needs truncation_latent"):
        network.latents([torch.zeros(1, 16)], truncation=0.5)
    with pytest.raises(ValueError, match="4 styles and 3 noises are needed, not 4 and 2"):
        network.synthesise(torch.zeros(1, 4, 16), [None] * 2)
