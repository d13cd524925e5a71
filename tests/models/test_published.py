"""Networks run in the layout that the runner gives them."""

import pytest
import torch

from models.published import build
from models.undrawn import undrawn
from tasks.inference.runner import channels_last
from tests.published_weights import filled_state


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        pytest.param("stylegan2_discriminator64", [(4, 3, 64, 64)], marks=pytest.mark.goldens),
        pytest.param("vrt_lnet", [(1, 1, 80, 16), (1, 6, 96, 96)], marks=pytest.mark.goldens),
        ("wav2lip_disc_qual", [(1, 3, 2, 96, 96)]),
        ("ip_lap_discriminator", [(1, 3, 64, 64)]),
    ],
)
def test_channels_last_changes_nothing(name: str, shapes: list[tuple[int, ...]]) -> None:
    with undrawn():
        network = build(name).eval().requires_grad_(False)
    network.load_state_dict(filled_state(name), strict=False)
    torch.manual_seed(0)
    inputs = [torch.rand(shape) for shape in shapes]
    plain = network(*inputs)
    moved = channels_last(network)(*inputs)
    while not isinstance(plain, torch.Tensor):
        plain, moved = plain[0], moved[0]
    torch.testing.assert_close(moved, plain, rtol=1e-3, atol=1e-4)


def test_an_unknown_network_names_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="wav2lip_generator"):
        build("wave2lip")


@pytest.mark.parametrize("name", ["audiodvp_expression", "ip_lap_discriminator"])
def test_what_shall_be_overwritten_is_not_drawn(name: str) -> None:
    with undrawn():
        before = torch.get_rng_state()
        network = build(name)
        assert torch.equal(torch.get_rng_state(), before)
        torch.nn.Linear(4, 4).register_buffer("drawn", torch.empty(4).normal_())
        assert not torch.equal(torch.get_rng_state(), before)
    assert torch.equal(torch.get_rng_state(), before)
    drawn = build(name)
    network.load_state_dict(drawn.state_dict())
    for ours, theirs in zip(
        network.state_dict().values(), drawn.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs)
