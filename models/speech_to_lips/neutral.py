"""A person's own mouth: its neutral shape, and how far it opens in speech.

Convention: a mouth holds the MOUTH points of `models.faces.mesh.indices` in canonical coordinates
(see `models.faces`; unit: face height). Motion is displacement from the neutral mouth, so it
carries from one person to another; training, prediction and adaptation must agree on the functions
here.
"""

import numpy as np
from jaxtyping import Float32

from models.arrays import MotionBasis, Mouth, Mouths
from models.faces.mesh.indices import LOWER_INNER_LIP, MOUTH, UPPER_INNER_LIP

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


def opening(mouth: Float32[np.ndarray, "*frame 57 3"]) -> Float32[np.ndarray, "*frame"]:
    """Distance between the middle inner-lip points [face heights]."""
    gap = mouth[..., LOWER, :2] - mouth[..., UPPER, :2]
    return np.asarray(np.linalg.norm(gap, axis=-1), np.float32)


def opening_row(basis: MotionBasis) -> Float32[np.ndarray, " component"]:
    """How much each row of the basis of motion opens the middle inner lips."""
    points = basis.reshape(len(basis), len(MOUTH), 3)
    return np.asarray(points[:, LOWER, 1] - points[:, UPPER, 1])


def neutral_mouth(mouth: Mouths) -> Mouth:
    """The closed, relaxed mouth: mean of the middle half of the most closed fifth of the frames.

    Args:
        mouth: frames with a face only.
    """
    _check(mouth)
    gap = opening(mouth)
    count = max(1, round(CLOSED_FRACTION * len(gap)))
    closed = np.sort(mouth[np.argsort(gap, kind="stable")[:count]], axis=0)
    trim = count // 4
    return np.asarray(closed[trim : count - trim].mean(0, dtype=np.float64), np.float32)


def opening_scale(mouth: Mouths, neutral: Mouth) -> float:
    """How far this person opens the mouth, as a factor of the reference person.

    The ninth decile of the opening beyond neutral; drawn towards 1 when there are few frames,
    and limited, because a listener's mouth says little about how the same person speaks.

    Args:
        mouth: frames with a face only.
        neutral: of `neutral_mouth`.
    """
    _check(mouth)
    wide = float(np.quantile(opening(mouth), 0.9) - opening(neutral[None])[0])
    low, high = SCALE_LIMITS
    own = np.clip(wide / REFERENCE_OPENING, low, high)
    return float(np.exp(np.log(own) * len(mouth) / (len(mouth) + ENOUGH_FRAMES)))


def _check(mouth: Float32[np.ndarray, "..."]) -> None:
    if mouth.ndim != 3 or mouth.shape[1:] != (len(MOUTH), 3) or not len(mouth):
        raise ValueError(
            f"mouth points are (frame, {len(MOUTH)}, 3) with at least one frame, got {mouth.shape}"
        )
