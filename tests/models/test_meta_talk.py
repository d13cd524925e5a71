"""Meta Talk: what its networks hear, and what they are taught."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.audio.mfcc import filter_bank, log_mel, mfcc
from models.face_basis.own import FACE_HEIGHT
from models.faces.mesh.indices import MOUTH
from models.meta_talk.expression import SpeechToExpression, predict
from models.meta_talk.expression_losses import (
    ExpressionFigures,
    expression_loss,
    mouth_offsets,
)
from models.meta_talk.expression_settings import ExpressionLosses, ExpressionSize
from models.meta_talk.features import LEAST_LOG, n_ticks, samples_of, windows
from models.meta_talk.labels import at_ticks, believable, calibration, mouth_expression
from models.speech_to_lips.neutral import opening
from tasks.source.face_basis import own_basis

SMALL = ExpressionSize(features="logmel80", width=4)


def noise(samples: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, samples).astype(np.float32)


def plain(sound: NDArray[np.float32], first: int) -> tuple[NDArray[np.float64], float]:
    """Log energies of 80 bands, and of all, of the 400 samples from `first` on, by formula."""

    def at(place: int) -> float:
        return float(sound[place]) if 0 <= place < len(sound) else 0.0

    window = [at(i) - 0.97 * at(i - 1) for i in range(first, first + 400)]
    turns = np.exp(-2j * np.pi * np.outer(np.arange(513), np.arange(400)) / 1024)
    power = np.abs(turns @ np.array(window)) ** 2 / 1024
    top = 2595 * math.log10(1 + 8000 / 700)
    corner = [math.floor(1025 * 700 * (10 ** (top * i / 81 / 2595) - 1) / 16000) for i in range(82)]
    bands = np.zeros(80)
    for j in range(80):
        for i in range(corner[j], corner[j + 1]):
            bands[j] += power[i] * (i - corner[j]) / (corner[j + 1] - corner[j])
        for i in range(corner[j + 1], corner[j + 2]):
            bands[j] += power[i] * (corner[j + 2] - i) / (corner[j + 2] - corner[j + 1])
    return np.log(bands), math.log(power.sum())


@pytest.mark.parametrize(("tick", "step"), [(0, 13), (0, 20), (3, 0), (5, 20), (7, 9)])
def test_windows_are_a_plain_computation_at_the_right_place(tick: int, step: int) -> None:
    sound = noise(640 * 8 - 100)
    first, last = samples_of(0, 8)
    heard = np.pad(sound, (-first, last - len(sound)))
    logs, energy = plain(sound, 640 * tick - 1920 + 160 * step)
    found = windows(heard, "logmel80")
    assert found.shape == (8, 28, 80) and n_ticks(len(sound)) == 8
    np.testing.assert_allclose(found[tick, step], np.maximum(logs, LEAST_LOG), atol=2e-4)
    numbers = np.arange(80)
    turned = np.cos(np.pi * numbers[:, None] * (2 * numbers + 1) / 160) @ logs * math.sqrt(2 / 80)
    turned *= 1 + 11 * np.sin(np.pi * numbers / 22)
    turned[0] = energy
    np.testing.assert_allclose(windows(heard, "mfcc80")[tick, step], turned, atol=2e-3)


def test_windows_of_atnet_are_the_published_cepstra() -> None:
    """AudioDVP takes steps 4 i to 4 i + 27 of sound with 1920 zeros before it."""
    sound = noise(640 * 6)
    first, last = samples_of(0, 6)
    published = mfcc(np.pad(sound, 1920))[:, 1:]
    found = windows(np.pad(sound, (-first, last - len(sound))), "mfcc12")
    for tick in range(5):
        np.testing.assert_allclose(found[tick], published[4 * tick : 4 * tick + 28], atol=1e-3)


def test_silence_is_heard_and_bins_are_fine_enough() -> None:
    assert (windows(np.zeros(np.diff(samples_of(0, 2))[0], np.float32), "logmel80") > -21).all()
    assert log_mel(noise(800), filters=80, transform=1024).shape == (4, 80)
    with pytest.raises(ValueError, match="longer than 512"):
        filter_bank(80, 512)


@pytest.mark.parametrize("features", ["logmel80", "mfcc80", "atnet"])
def test_a_speech_at_once_equals_its_blocks(features: str) -> None:
    torch.manual_seed(0)
    size = ExpressionSize.model_validate({"features": features, "width": 4})
    network = SpeechToExpression(size).eval()
    shape = (40, 1, 256) if features == "atnet" else (40, 28, 80)
    heard = np.random.default_rng(1).standard_normal(shape, np.float32)
    whole = predict(network, heard)
    assert whole.shape == (40, 64)
    np.testing.assert_allclose(predict(network, heard, block=7), whole, atol=1e-5)
    changed = heard.copy()
    changed[20] += 1
    far = np.abs(predict(network, changed) - whole).max(1)
    assert (far[17:24] > 0).all() and not far[:17].any() and not far[24:].any()
    # as AudioDVP: beyond the ends codes are 0, not those of silence
    beyond = torch.zeros(1, 46, *shape[1:])
    beyond[0, 3:43] = torch.from_numpy(heard)
    beyond[0, :3] = 9
    inside = torch.zeros(1, 46, dtype=torch.bool)
    inside[0, 3:43] = True
    np.testing.assert_allclose(network(beyond, inside)[0].detach(), whole, atol=1e-5)


def test_predictions_stay_in_the_range_of_the_training() -> None:
    torch.manual_seed(0)
    network = SpeechToExpression(SMALL).eval()
    network.delta_mean.fill_(2.0)
    network.delta_spread.fill_(0.001)
    found = predict(network, np.random.default_rng(1).standard_normal((9, 28, 80), np.float32))
    assert np.abs(found - 2).max() <= 0.0031


def test_losses_by_hand() -> None:
    generator = torch.Generator().manual_seed(0)
    found, wanted = torch.randn(2, 2, 5, 64, generator=generator)
    valid = torch.tensor([[True, True, False, True, True], [False] * 5])
    offsets = torch.randn(64, 3, 3, generator=generator)
    off = (found - wanted)[0]

    def loss(**weights: float | bool) -> float:
        chosen = ExpressionLosses.model_validate(weights)
        return float(expression_loss(found, wanted, valid, weights=chosen, offsets=offsets)[0])

    plainly = float(off[[0, 1, 3, 4]].square().mean())
    assert loss() == pytest.approx(plainly, rel=1e-5)
    motion = float((off[1] - off[0]).square().mean() + (off[4] - off[3]).square().mean()) / 2
    assert loss(velocity=0.5) == pytest.approx(plainly + 0.5 * motion, rel=1e-5)
    moved = torch.einsum("tc,cpx->tpx", off, offsets)[[0, 1, 3, 4]]
    assert loss(vertices=True) == pytest.approx(float(moved.square().mean()), rel=1e-4)
    nothing = torch.zeros_like(valid)
    assert (
        expression_loss(found, wanted, nothing, weights=ExpressionLosses(), offsets=offsets)[0] == 0
    )


def test_figures_of_the_truth_of_stillness_and_of_the_opposite() -> None:
    wanted = np.random.default_rng(0).standard_normal((60, 64)).astype(np.float32)
    clips = np.repeat([0, 1, 2], [30, 25, 5])
    offsets = mouth_offsets(own_basis(1)).numpy()

    def figures(found: NDArray[np.float32]) -> dict[str, float]:
        gathered = ExpressionFigures(offsets)
        for part in np.split(np.arange(60), [10, 40]):
            gathered.add(found[part], wanted[part], clips[part])
        return gathered.summary()

    right = figures(wanted)
    assert right["vertex_error_mm"] == 0 and right["explained"] == 1
    assert right["opening_correlation"] == pytest.approx(1)
    held = np.concatenate(
        [np.repeat(np.median(wanted[clips == c], 0)[None], (clips == c).sum(), 0) for c in range(3)]
    )
    still = figures(held)
    assert still["vertex_error_mm"] == still["held_still_vertex_error_mm"] > 1
    assert "opening_correlation" not in still
    assert figures(-wanted)["opening_correlation"] == pytest.approx(-1)
    assert ExpressionFigures(offsets).summary() == {}


def test_frames_at_ticks_leave_holes() -> None:
    seconds = np.array([0.0, 0.04, 0.1, 0.14, 0.3, 0.34, 0.38, 0.42])
    delta = np.zeros((8, 64), np.float32)
    delta[:, 0] = seconds
    valid = np.array([1, 1, 1, 1, 1, 1, 0, 1], bool)
    start = np.array([1, 0, 0, 1, 0, 0, 0, 0], bool)
    found, known = at_ticks(seconds, delta, valid=valid, scene_start=start, ticks=13)
    # 0, 0.04, 0.08 | cut before 0.14 | gap to 0.3 | 0.32 | 0.36 and 0.4 next to what is not valid
    assert known.tolist() == [t in (0, 1, 2, 8) for t in range(13)]
    np.testing.assert_allclose(found[known, 0], np.array([0, 1, 2, 8]) / 25, atol=1e-6)
    assert not found[~known].any()
    exact = np.arange(5) / 25
    only = np.array([0, 1, 0, 1, 1], bool)
    _, known = at_ticks(exact, delta[:5], valid=only, scene_start=np.ones(5, bool), ticks=6)
    assert known.tolist() == [False, True, False, True, True, False]


def test_fits_far_worse_than_most_are_not_believed() -> None:
    error = np.array([1, 2, 1, 5.9, 6.1, 100, 2, 2], np.float32)
    valid = np.array([1, 1, 1, 1, 1, 0, 1, 1], bool)
    assert believable(error, valid).tolist() == [True, True, True, True, False, False, True, True]
    assert not believable(error, np.zeros(8, bool)).any()


def test_made_expressions_get_the_spread_and_the_mean_of_the_real_ones() -> None:
    made = np.random.default_rng(0).standard_normal((200, 64)).astype(np.float32) + 1
    factor = np.linspace(0.1, 5, 64).astype(np.float32)
    real = factor * made[::-1] - 4
    made[:, 63] = 0.5  # what does not move is not blown up without bound
    ratio, offset = calibration(real, made)
    np.testing.assert_allclose(ratio[:63], np.clip(factor[:63], 0.5, 3), rtol=1e-4)
    assert ratio[63] == 3
    np.testing.assert_allclose((ratio * made + offset).mean(0), real.mean(0), atol=1e-4)
    ratio, offset = calibration(real[:49], made[:49])
    assert (ratio == 1).all() and (offset == 0).all()


def test_a_mouth_opens_in_the_basis_as_far_as_it_did() -> None:
    basis = own_basis(1)
    wanted = np.zeros((5, 64), np.float32)
    wanted[:, 0] = np.linspace(1, -4, 5)
    wanted[:, 1] = [0, 1, -1, 0.5, 0]
    rows = basis.expression.reshape(-1, 3, 64)[list(MOUTH)].numpy()
    motion = (rows @ wanted.T).transpose(2, 0, 1) / FACE_HEIGHT * [1, -1, -1]
    found = mouth_expression(motion.astype(np.float32), basis)
    assert np.corrcoef(found[:, 0], wanted[:, 0])[0, 1] > 0.99
    again = (rows @ found.T).transpose(2, 0, 1) / FACE_HEIGHT * [1, -1, -1]
    assert np.abs(again - motion).max() < 0.004  # face heights
    gap = opening(motion.astype(np.float32))
    assert gap[-1] > gap[1]
    assert not mouth_expression(np.zeros((2, 57, 3), np.float32), basis).any()
