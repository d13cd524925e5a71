"""Metrics where their value is known without a reference."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from models.metrics import cpbd, fid, similarity
from models.metrics.inception import FidInception
from models.metrics.lpips import perceptual_distance

NOISE = np.random.default_rng(0)


def test_equal_images_are_alike() -> None:
    image = NOISE.integers(0, 256, (32, 40, 3), dtype=np.uint8)
    assert similarity.psnr(image, image) == math.inf
    assert similarity.ssim(image, image, window="gaussian") == 1
    with pytest.raises((ValueError, TypeError), match="reference"):
        similarity.ssim(image, image[1:])


def test_distance_of_shifted_features_is_the_squared_shift() -> None:
    mean, covariance = fid.statistics(NOISE.normal(size=(50, 8)).astype(np.float32))
    assert fid.frechet_distance(mean, covariance, mean + 2, covariance) == pytest.approx(8 * 4)
    assert fid.frechet_distance(mean, covariance, mean, 4 * covariance) == pytest.approx(
        np.trace(covariance)
    )
    with pytest.raises(ValueError, match="not \\(1, 8\\)"):
        fid.statistics(np.zeros((1, 8)))


@pytest.mark.parametrize("samples", [(3, 7), (20, 15)])
def test_few_images_give_the_distance_of_their_covariances(samples: tuple[int, int]) -> None:
    first, second = (NOISE.normal(size=(count, 12)) * np.arange(12) for count in samples)
    whole = fid.frechet_distance(*fid.statistics(first), *fid.statistics(second + 1))
    assert fid.distance_of_features(first, second + 1) == pytest.approx(whole, rel=1e-7)
    assert fid.distance_of_features(first, first) == pytest.approx(0, abs=1e-9)


def test_blur_lowers_sharpness() -> None:
    steps = np.kron(NOISE.integers(0, 256, (20, 20)), np.ones((8, 8)))
    sharp, blurred = [
        cpbd.cpbd(gaussian_filter(steps, sigma).clip(0, 255).astype(np.uint8)) for sigma in (0.6, 3)
    ]
    assert sharp > blurred
    assert cpbd.cpbd(np.full((64, 64), 9, np.uint8)) == 0
    with pytest.raises(ValueError, match="at least 64 x 64"):
        cpbd.cpbd(np.zeros((63, 64), np.uint8))


def test_width_of_an_edge_is_that_of_its_ramp() -> None:
    row = np.array([0, 0, 0, 0, 10, 40, 70, 80, 80, 80, 80], float)
    image = np.tile(row, (5, 1))
    image[0] += 1  # without any slope along the columns nothing is measured, as published
    edges = np.zeros(image.shape, bool)
    edges[2, 5] = True
    assert cpbd.edge_widths(image, edges)[2, 5] == 4
    assert cpbd.edge_widths(80 - image, edges)[2, 5] == 4


def test_perceptual_distance_is_nought_for_equals_and_has_gradients() -> None:
    network = perceptual_distance("alex").eval()
    image = (torch.rand(2, 3, 64, 70) * 2 - 1).requires_grad_()
    assert torch.equal(network(image, image), torch.zeros(2, 1, 1, 1))
    network(image, torch.zeros_like(image)).sum().backward()
    assert image.grad is not None and image.grad.abs().max() > 0


def test_inception_takes_any_size_in_half_precision() -> None:
    network = FidInception().eval().to(memory_format=torch.channels_last)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        features = network(torch.rand(1, 3, 50, 80))
    assert features.shape == (1, 2048) and features.isfinite().all()
