"""What AudioDVP's networks refuse or pass on in training.

That they equal the published code is proved with the goldens.
"""

import pytest
import torch

from models.audiodvp.atnet import ATNet
from models.audiodvp.critic import PatchCritic, adversarial_loss
from models.audiodvp.expression import AudioToExpression
from models.audiodvp.renderer import NeuralFaceRenderer
from tests.annotations import unchecked


def test_atnet_refuses_other_coefficients() -> None:
    with unchecked(), pytest.raises(ValueError, match="28, 12"):
        ATNet()(torch.zeros(1, 2, 28, 13))


def test_expression_is_linear_in_the_features() -> None:
    network = AudioToExpression(5).double()
    a, b, zero = (
        torch.rand(2, 5, 256).double(),
        torch.rand(2, 5, 256).double(),
        torch.zeros(2, 5, 256),
    )
    offset = network(zero.double())
    torch.testing.assert_close(network(a + b) - offset, network(a) + network(b) - 2 * offset)


def test_renderer_trains_against_its_critic() -> None:
    renderer, critic = NeuralFaceRenderer(width=2), PatchCritic(width=2)
    windows = torch.rand(2, 21, 256, 256) * 2 - 1
    with torch.autocast("cpu", torch.bfloat16):
        photo = renderer(windows)
        prediction = critic(torch.cat([windows, photo], 1))
        adversarial_loss(prediction, real=True).backward()
    assert photo.shape == (2, 3, 256, 256) and photo.abs().max() <= 1
    assert prediction.shape == (2, 1, 30, 30)
    assert all(value.grad is not None for value in renderer.parameters())


def test_renderer_refuses_other_sizes() -> None:
    with pytest.raises(ValueError, match="multiples of 256"):
        NeuralFaceRenderer(width=1)(torch.zeros(1, 21, 128, 128))
