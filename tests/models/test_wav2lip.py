"""Wav2Lip's networks train, run in lower precision and refuse other shapes; its boxes and pastes.

That they equal the published ones is proved with the goldens.
"""

import numpy as np
import pytest
import torch
from torch import nn

from models.blocks.conv_norm import ConvNorm
from models.wav2lip.critic import QualityCritic, critic_loss
from models.wav2lip.expert import SyncExpert, sync_loss
from models.wav2lip.generator import Generator
from models.wav2lip.steps import (
    as_bytes,
    crop_face,
    network_faces,
    pad_boxes,
    paste_face,
    smooth_boxes,
    source_frames,
)
from tests.annotations import unchecked


def all_learn(network: nn.Module) -> bool:
    return all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.manual_seed(0)
    return Generator()


@pytest.mark.goldens
def test_generator_and_its_judges_learn_together(generator: Generator) -> None:
    torch.manual_seed(0)
    expert, critic = SyncExpert(), QualityCritic()
    mel, faces = torch.randn(1, 5, 1, 80, 16), torch.rand(1, 6, 5, 96, 96)
    made = generator.train()(mel, faces)
    assert made.shape == (1, 3, 5, 96, 96)
    halves = made[:, :, :, 48:].transpose(1, 2).flatten(1, 2)
    # with a single pair batch norm has no variance to take
    pair = expert.eval()(mel[:, 2], halves)
    loss = sync_loss(*pair, torch.ones(1)) + critic_loss(critic(made), real=True)
    loss.backward()
    assert all_learn(generator) and all_learn(expert) and all_learn(critic)


def test_generator_in_bfloat16_and_channels_last(generator: Generator) -> None:
    torch.manual_seed(0)
    mel, faces = torch.randn(2, 1, 80, 16), torch.rand(2, 6, 96, 96)
    network = generator.eval()
    with torch.inference_mode():
        plain = network(mel, faces)
        last = network(mel, faces.to(memory_format=torch.channels_last))
        with torch.autocast("cpu", torch.bfloat16):
            half = network(mel, faces)
    torch.testing.assert_close(last, plain, atol=1e-5, rtol=0)
    assert (half.float() - plain).abs().max() < 0.03


def test_losses_run_under_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        certain = critic_loss(torch.full((2, 1), 0.5, dtype=torch.bfloat16), real=False)
        same = torch.ones(2, 4, dtype=torch.bfloat16)
        agreed = sync_loss(same, same, torch.ones(2))
    torch.testing.assert_close(certain, torch.tensor(0.5).log().neg())
    assert 0 <= agreed < 1e-5


def test_critic_sees_lower_halves_only() -> None:
    critic = QualityCritic().eval()
    faces = torch.rand(1, 3, 2, 96, 96)
    other = faces.clone()
    other[..., :48, :] = 0
    with torch.inference_mode():
        assert critic(faces).shape == (2, 1)
        assert torch.equal(critic(faces), critic(other))


def test_networks_refuse_other_shapes(generator: Generator) -> None:
    with unchecked(), pytest.raises(ValueError, match="expected mel"):
        generator(torch.zeros(2, 1, 80, 16), torch.zeros(2, 6, 128, 128))
    with unchecked(), pytest.raises(ValueError, match="expected mel"):
        generator(torch.zeros(1, 1, 80, 16), torch.zeros(2, 6, 96, 96))
    with unchecked(), pytest.raises(ValueError, match="expected mel"):
        SyncExpert()(torch.zeros(2, 1, 80, 16), torch.zeros(2, 15, 96, 96))
    with unchecked(), pytest.raises(ValueError, match="expected"):
        QualityCritic()(torch.zeros(2, 3, 96, 96))
    with pytest.raises(ValueError, match="keeps its channels"):
        ConvNorm(3, 4, residual=True)


def test_boxes_stay_in_the_frame() -> None:
    found = pad_boxes(np.array([[-3.5, 10.9, 50.2, 95.0]]), (100, 60), pads=(20, 10, 5, 20))
    np.testing.assert_array_equal(found, [[0, 0, 60, 100]])
    with unchecked(), pytest.raises(ValueError, match="frame, 4"):
        pad_boxes(np.zeros(4), (100, 60))


def test_smoothing_leaves_its_input_and_steady_boxes() -> None:
    steady = np.tile([[3, 4, 50, 60]], (9, 1))
    np.testing.assert_array_equal(smooth_boxes(steady), steady)
    moving = steady + 4 * np.arange(9)[:, None]
    before = moving.copy()
    np.testing.assert_array_equal(smooth_boxes(moving)[0], moving[:5].mean(axis=0))
    np.testing.assert_array_equal(moving, before)
    np.testing.assert_array_equal(smooth_boxes(moving, window=1), moving)


def test_cut_and_paste_are_inverse_at_the_network_size() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (120, 130, 3), np.uint8)
    box = np.array([20, 10, 116, 106])
    crop = crop_face(frame, box)
    faces = network_faces(torch.from_numpy(crop[None]))
    assert faces.shape == (1, 6, 96, 96)
    assert (faces[:, :3, 48:] == 0).all() and torch.equal(faces[:, :3, :48], faces[:, 3:, :48])
    back = as_bytes(faces[:, 3:]).numpy()[0]
    assert np.abs(back.astype(int) - crop).max() <= 1
    np.testing.assert_array_equal(paste_face(frame, crop, box), frame)
    pasted = paste_face(frame, np.zeros_like(crop), box)
    assert (pasted[10:106, 20:116] == 0).all() and (pasted[106:] == frame[106:]).all()


def test_refusals_of_steps() -> None:
    frame = np.zeros((50, 50, 3), np.uint8)
    for box in ([10, 10, 10, 20], [10, 10, 20, 60], [-1, 0, 9, 9]):
        with pytest.raises(ValueError, match="is empty or leaves"):
            crop_face(frame, np.array(box))
    with unchecked(), pytest.raises(ValueError, match="uint8"):
        network_faces(torch.zeros(1, 96, 96, 3))
    with pytest.raises(ValueError, match="a frame to speak"):
        source_frames(3, 0)
