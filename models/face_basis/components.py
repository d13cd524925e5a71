"""Principal components of faces' shapes and colours that a mirror leaves alone or turns round.

Convention: samples are (sample, point, xyz) with x right, or (sample, point, RGB).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer


class Mirror(NamedTuple):
    """What a mirror does to values on points.

    Attributes:
        point: Each point's partner.
        sign: Of each axis: -1 for x of places, 1 for all else.
    """

    point: Integer[np.ndarray, " point"]
    sign: tuple[int, int, int]

    def __call__(
        self, samples: Float[np.ndarray, "*batch point 3"]
    ) -> Float[np.ndarray, "*batch point 3"]:
        """The samples as the mirror shows them."""
        return np.asarray(samples[..., self.point, :] * np.array(self.sign))


class Components(NamedTuple):
    """Components, the largest first.

    Attributes:
        offset: From the mean, for one standard deviation.
        sign: 1 where a mirror leaves the component alone, -1 where it turns it round.
    """

    offset: Float[np.ndarray, "component point 3"]
    sign: Float[np.ndarray, " component"]


def components(
    offsets: Float[np.ndarray, "sample point 3"],
    weights: Float[np.ndarray, " sample"],
    mirror: Mirror,
    count: int,
) -> Components:
    """Components of offsets from a mean, as if each were there a second time, mirrored.

    Args:
        offsets: From a mean that is its own mirror image.
        weights: How much each counts; only their ratios matter.
        mirror: What mirrors them.
        count: At most so many.
    """
    root = np.sqrt(weights / weights.sum())[:, None]
    other = mirror(offsets)
    found, signs = [], []
    for sign in (1.0, -1.0):
        half = ((offsets + sign * other) / 2).reshape(len(offsets), -1) * root
        _, sizes, directions = np.linalg.svd(half, full_matrices=False)
        real = sizes > 1e-6 * sizes[0]
        found.append(sizes[real, None] * directions[real])
        signs.append(np.full(real.sum(), sign))
    flat, sides = np.concatenate(found), np.concatenate(signs)
    order = np.argsort(-np.linalg.norm(flat, axis=1), kind="stable")[:count]
    return Components(flat[order].reshape(-1, *offsets.shape[1:]), sides[order])


def coefficients(
    offsets: Float[np.ndarray, "sample point 3"], found: Components, *, noise: float
) -> Float[np.ndarray, "sample component"]:
    """The most probable coefficients of offsets.

    Args:
        offsets: From the mean.
        found: Components, whose coefficients have a standard deviation of 1 each.
        noise: Standard deviation of each coordinate [unit of the offsets].
    """
    flat = found.offset.reshape(len(found.offset), -1)
    ridge = flat @ flat.T + noise**2 * np.eye(len(flat))
    return np.asarray(np.linalg.solve(ridge, flat @ offsets.reshape(len(offsets), -1).T).T)


def turned(found: Components, direction: Float[np.ndarray, " component"]) -> Components:
    """The same shapes, where the first component is what goes along a direction.

    Args:
        found: Components.
        direction: In their coefficients; only components that a mirror leaves alone count.
    """
    even = found.sign > 0
    first = direction[even] / np.linalg.norm(direction[even])
    rest = np.linalg.svd(first[None])[2][1:]
    flat = found.offset[even].reshape(even.sum(), -1)
    _, sizes, axes = np.linalg.svd(rest @ flat, full_matrices=False)
    others = np.concatenate([sizes[:, None] * axes, found.offset[~even].reshape((~even).sum(), -1)])
    sign = np.concatenate([np.ones(len(sizes)), found.sign[~even]])
    order = np.argsort(-np.linalg.norm(others, axis=1), kind="stable")
    flat = np.concatenate([(first @ flat)[None], others[order]])
    return Components(flat.reshape(found.offset.shape), np.concatenate([[1.0], sign[order]]))
