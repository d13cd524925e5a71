"""The Fréchet inception distance (Heusel et al. 2017, equation 6)."""

import numpy as np
from jaxtyping import Float, Float64

Features = Float[np.ndarray, "n d"]  # of images
Mean = Float64[np.ndarray, " d"]  # of features
Covariance = Float64[np.ndarray, "d d"]  # of features


def statistics(features: Features) -> tuple[Mean, Covariance]:
    """Mean and covariance (divided by n - 1) of features of n > 1 images."""
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"a covariance takes features (n > 1, d), not {features.shape}")
    wide = features.astype(np.float64)
    return wide.mean(0), np.atleast_2d(np.cov(wide, rowvar=False))


def frechet_distance(
    mean_a: Mean, covariance_a: Covariance, mean_b: Mean, covariance_b: Covariance
) -> float:
    """Squared Fréchet distance of two normal distributions, given by mean and covariance.

    pytorch-fid takes the root of the product of both covariances, which is not symmetric and loses
    digits where one is singular (fewer images than features). The trace of that root equals the one
    taken here, of a symmetric matrix, which loses none.
    """
    values, vectors = np.linalg.eigh(covariance_a)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    product = np.linalg.eigvalsh(root @ covariance_b @ root)
    spread = np.trace(covariance_a) + np.trace(covariance_b) - 2 * np.sqrt(product.clip(0)).sum()
    return float(np.sum((mean_a - mean_b) ** 2) + spread)


def distance_of_features(features: Features, reference: Float[np.ndarray, "m d"]) -> float:
    """Squared Fréchet distance of the normal distributions of two sets of features.

    For fewer images than features the trace of the root is the sum of the singular values of the
    (n, m) product of the centred features: the same number, without covariances.
    """
    samples, size = min(len(features), len(reference)), features.shape[1]
    if samples < 2 or samples >= size:
        return frechet_distance(*statistics(features), *statistics(reference))
    means = [each.mean(0, dtype=np.float64) for each in (features, reference)]
    first, second = (
        (each - mean) / np.sqrt(len(each) - 1)
        for each, mean in zip((features, reference), means, strict=True)
    )
    root = np.linalg.svd(first @ second.T, compute_uv=False).sum()
    spread = np.square(first).sum() + np.square(second).sum() - 2 * root
    return float(np.sum((means[0] - means[1]) ** 2) + spread)
