"""SyncNet on clips, its metrics on known shifts, and the cepstra it hears.

That they equal the published ones is proved with the goldens.
"""

import numpy as np
import pytest
import torch

from models.audio.mfcc import mfcc, n_steps
from models.syncnet.lse import (
    mfcc_windows,
    n_windows,
    shifted_distances,
    synchrony,
    window_starts,
)
from models.syncnet.network import SyncNet
from tests.annotations import unchecked


def test_a_clip_at_once_equals_its_windows() -> None:
    torch.manual_seed(0)
    network = SyncNet(embedding=16).eval()
    frames = torch.rand(6, 3, 224, 224) * 255
    with torch.inference_mode():
        windows = torch.stack([frames[i : i + 5].transpose(0, 1) for i in range(2)])
        torch.testing.assert_close(
            network.embed_clip(frames), network.embed_lips(windows), atol=1e-4, rtol=1e-4
        )


def test_both_streams_learn() -> None:
    network = SyncNet(embedding=16)
    audio, lips = network(torch.randn(2, 1, 13, 20), torch.rand(2, 3, 5, 224, 224))
    (audio - lips).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_network_refuses_other_shapes() -> None:
    network = SyncNet(embedding=16)
    with unchecked(), pytest.raises(ValueError, match="expected mfcc"):
        network.embed_audio(torch.zeros(1, 1, 20, 13))
    with unchecked(), pytest.raises(ValueError, match="expected frames"):
        network.embed_lips(torch.zeros(1, 3, 5, 96, 96))
    with unchecked(), pytest.raises(ValueError, match="5 or more frames"):
        network.embed_clip(torch.zeros(4, 3, 224, 224))


@pytest.mark.parametrize("late", [-4, 0, 3])
def test_offset_is_how_late_the_lips_are(late: int) -> None:
    torch.manual_seed(0)
    sound = torch.randn(60, 8)
    lips = sound.roll(late, dims=0)
    found = synchrony(shifted_distances(lips, sound))
    assert found.offset == late
    assert (
        found.min_distance
        < found.mean_distance.median()
        == pytest.approx(found.min_distance + found.confidence)
    )
    assert found.mean_distance.shape == (31,) and found.frame_confidence.shape == (60,)


def test_windows_fit_the_shorter_of_picture_and_sound() -> None:
    assert n_windows(30, 20_800) == 25
    assert n_windows(100, 20_800) == 27
    assert n_windows(5, 20_800) == n_windows(0, 0) == 0
    steps = torch.arange(40.0)[:, None].repeat(1, 13)
    np.testing.assert_array_equal(mfcc_windows(steps, 6)[:, 0, 0, 0], window_starts(6))
    with pytest.raises(ValueError, match="7 windows need 44"):
        mfcc_windows(steps, 7)
    with unchecked(), pytest.raises(ValueError, match="expected two"):
        shifted_distances(torch.zeros(3, 8), torch.zeros(4, 8))


def test_only_the_energy_depends_on_the_scale() -> None:
    sound = np.random.default_rng(0).integers(-8000, 8000, 5000, np.int16)
    whole, scaled = mfcc(sound), mfcc(sound.astype(np.float32) / 32768)
    np.testing.assert_allclose(whole[:, 1:], scaled[:, 1:], atol=1e-3)
    np.testing.assert_allclose(whole[:, 0] - scaled[:, 0], 2 * np.log(32768), rtol=1e-5)


@pytest.mark.parametrize(("samples", "steps"), [(1, 1), (400, 1), (401, 2), (560, 2), (561, 3)])
def test_short_sound(samples: int, steps: int) -> None:
    found = mfcc(np.zeros(samples, np.int16))
    assert found.shape == (steps, 13) and n_steps(samples) == steps
    assert np.isfinite(found).all()


def test_mfcc_refuses_what_is_no_mono_sound() -> None:
    for wrong in (np.zeros((2, 100), np.int16), np.zeros(0, np.int16)):
        with pytest.raises((ValueError, TypeError), match="waveform"):
            mfcc(wrong)
