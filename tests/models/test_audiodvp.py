"""Windows over a clip, and what AudioDVP's networks refuse or pass on in training.

That they equal the published code is proved with the goldens.
"""

import pytest
import torch

from models.audiodvp.atnet import ATNet, audio_windows
from models.audiodvp.critic import PatchCritic, adversarial_loss
from models.audiodvp.expression import AudioToExpression, centred_windows
from models.audiodvp.renderer import NeuralFaceRenderer
from tests.annotations import unchecked


@pytest.mark.parametrize(("steps", "frames"), [(28, 1), (31, 1), (32, 2), (123, 24)])
def test_audio_windows_begin_every_four_steps(steps: int, frames: int) -> None:
    mfcc = torch.arange(steps * 13.0).reshape(steps, 13)
    windows = audio_windows(mfcc)
    assert windows.shape == (frames, 28, 12)
    for frame in range(frames):
        assert torch.equal(windows[frame], mfcc[4 * frame : 4 * frame + 28, 1:])


def test_audio_windows_refuse() -> None:
    with pytest.raises(ValueError, match="27 MFCC steps are less than one window"):
        audio_windows(torch.zeros(27, 13))
    with unchecked(), pytest.raises(ValueError, match=r"\(step, 13\)"):
        audio_windows(torch.zeros(50, 12))
    with unchecked(), pytest.raises(ValueError, match="28, 12"):
        ATNet()(torch.zeros(1, 2, 28, 13))


@pytest.mark.parametrize("shape", [(256,), (3, 4, 5)])
@pytest.mark.parametrize("frames", [1, 2, 9])
def test_centred_windows_see_zeros_outside(frames: int, shape: tuple[int, ...]) -> None:
    clip = torch.rand(frames, *shape) + 1
    windows = centred_windows(clip, 7)
    assert windows.shape == (frames, 7, *shape)
    for frame in range(frames):
        for place in range(7):
            at = frame + place - 3
            want = clip[at] if 0 <= at < frames else torch.zeros(shape)
            assert torch.equal(windows[frame, place], want)


def test_a_window_has_a_middle() -> None:
    with pytest.raises(ValueError, match="6 frames has no middle"):
        centred_windows(torch.zeros(9, 2), 6)


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
