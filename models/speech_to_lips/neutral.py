"""A person's own mouth: its neutral shape, and how far it opens in speech.

Convention: `mouth` is (frame, 57, 3) float32, the MOUTH points of `models.faces.mesh.indices` in
canonical coordinates (head pose removed; unit: face height). Motion is displacement from
the neutral mouth, so it carries from one person to another; the two functions here are what
training, prediction and adaptation must agree on.
"""

import numpy as np
from numpy.typing import NDArray

from models.faces.mesh.indices import LOWER_INNER_LIP, MOUTH, UPPER_INNER_LIP

Array = NDArray[np.float32]

UPPER, LOWER = MOUTH.index(UPPER_INNER_LIP), MOUTH.index(LOWER_INNER_LIP)
"""Rows of the two middle inner-lip points among the 57."""

CLOSED_OPENING = 0.006
"""A mouth open less beyond neutral is closed [face heights]: a tenth of a wide opening."""

CLOSED_FRACTION = 0.2
"""The most closed fifth of the frames shows the neutral mouth."""

REFERENCE_OPENING = 0.064
"""Opening scale of the middle training person [face heights]; motion is in its units x scale."""

SCALE_LIMITS = (0.6, 1.6)
"""No person opens the mouth less or more than this times REFERENCE_OPENING, as far as we trust."""

ENOUGH_FRAMES = 150.0
"""With so many frames a person's own scale and the reference weigh the same."""


def opening(mouth: Array) -> Array:
    """Distance between the middle inner-lip points (frame,) [face heights]."""
    gap = mouth[..., LOWER, :2] - mouth[..., UPPER, :2]
    distance: Array = np.linalg.norm(gap, axis=-1).astype(np.float32)
    return distance


def opening_row(basis: Array) -> Array:
    """(component,): how much each row of the basis (component, 171) opens the middle inner lips."""
    points = basis.reshape(len(basis), len(MOUTH), 3)
    row: Array = points[:, LOWER, 1] - points[:, UPPER, 1]
    return row


def neutral_mouth(mouth: Array) -> Array:
    """The closed, relaxed mouth (57, 3): the middle half of the most closed fifth of the frames.

    Args:
        mouth: (frame, 57, 3) float32, frames with a face only.
    """
    _check(mouth)
    gap = opening(mouth)
    count = max(1, round(CLOSED_FRACTION * len(gap)))
    closed = np.sort(mouth[np.argsort(gap, kind="stable")[:count]], axis=0)
    trim = count // 4
    mean: Array = closed[trim : count - trim].mean(0, dtype=np.float64).astype(np.float32)
    return mean


def opening_scale(mouth: Array, neutral: Array) -> float:
    """How far this person opens the mouth, as a factor of the reference person.

    The ninth decile of the opening beyond neutral; drawn towards 1 when there are few frames,
    and limited, because a listener's mouth says little about how the same person speaks.

    Args:
        mouth: (frame, 57, 3) float32, frames with a face only.
        neutral: (57, 3) float32, of `neutral_mouth`.
    """
    _check(mouth)
    wide = float(np.quantile(opening(mouth), 0.9) - opening(neutral[None])[0])
    low, high = SCALE_LIMITS
    own = np.clip(wide / REFERENCE_OPENING, low, high)
    return float(np.exp(np.log(own) * len(mouth) / (len(mouth) + ENOUGH_FRAMES)))


def _check(mouth: Array) -> None:
    if mouth.ndim != 3 or mouth.shape[1:] != (len(MOUTH), 3) or not len(mouth):
        raise ValueError(
            f"mouth points are (frame, {len(MOUTH)}, 3) with at least one frame, got {mouth.shape}"
        )
