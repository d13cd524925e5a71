"""Colours of faces without the light that fell on them."""

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

MEAN_SHADE = 0.8
"""Shading of a face on average, by definition: a picture can't tell bright skin from bright light.
What falls from all sides in the face models (0.62, 0.71) is a little less."""

_SHADES = 0.35, 3.0
"""Shading is limited to these, as shares of its mean."""
_UNEVEN = np.array([0, 1, 1, 1, 2, 2, 2, 2, 2]) * 0.02
"""How much each harmonic is drawn to 0."""
_ROUNDS = 3


def shading(
    colors: Float[np.ndarray, "vertex 3"],
    albedo: Float[np.ndarray, "vertex 3"],
    harmonics: Float[np.ndarray, "vertex 9"],
    weights: Float[np.ndarray, " vertex"],
) -> Float[np.ndarray, "vertex 3"]:
    """The light on each vertex, MEAN_SHADE on average: spherical harmonics fitted to colours.

    Args:
        colors: RGB as seen.
        albedo: RGB of a face without light, up to a factor.
        harmonics: Of the vertices' normals.
        weights: How far each vertex tells of the light; what does not fit counts for less.
    """
    robust = weights
    for _ in range(_ROUNDS):
        shade = np.stack(
            [
                harmonics @ _fitted(harmonics * albedo[:, [c]], colors[:, c], robust)
                for c in range(3)
            ],
            1,
        )
        off = np.abs(colors - shade * albedo).mean(1)
        robust = weights / (1 + (off / (2 * np.median(off[weights > 0]) + 1e-6)) ** 2)
    mean = weights @ shade / weights.sum()
    return np.asarray(np.clip(shade / mean, *_SHADES) * MEAN_SHADE)


def _fitted(
    terms: NDArray[np.float64], values: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    weighted = terms * weights[:, None]
    ridge = np.diag(_UNEVEN * weights.sum())
    return np.asarray(np.linalg.solve(weighted.T @ terms + ridge, weighted.T @ values))


def albedos(
    colors: Float[np.ndarray, "picture vertex 3"],
    harmonics: Float[np.ndarray, "picture vertex 9"],
    seen: Float[np.ndarray, "picture vertex"],
    *,
    person: NDArray[np.int64],
    skin: Bool[np.ndarray, " vertex"],
    mirror: NDArray[np.int64],
) -> Float[np.ndarray, "person vertex 3"]:
    """Each person's colours without light; what none of the pictures shows is as in all persons.

    The light is first fitted to even skin, then to the mean of what that gives, mirrored.

    Args:
        colors: RGB as seen.
        harmonics: Of the vertices' normals.
        seen: How well a picture shows a vertex, 0..1.
        person: Whom each picture shows, from 0 on.
        skin: Where the albedo is even.
        mirror: Each vertex' partner.
    """
    people = range(person.max() + 1)
    shown = np.stack([seen[person == p].max(0) for p in people])[..., None]
    weights = seen[..., None] + 1e-9  # of what nobody's picture shows the plain mean is taken
    common = np.ones(colors.shape[1:])
    for _ in range(_ROUNDS + 1):
        fitted = zip(colors, harmonics, seen, strict=True)
        shades = [shading(color, common, waves, w * skin) for color, waves, w in fitted]
        plain = colors / np.stack(shades) * weights
        own = np.stack([plain[person == p].sum(0) / weights[person == p].sum(0) for p in people])
        level = own[:, skin].mean(1, keepdims=True)
        common = (own / level * (shown + 1e-9)).sum(0) / (shown + 1e-9).sum(0)
        common = (common + common[mirror]) / 2
    return np.asarray(np.where(shown > 0.3, own, common * level))
