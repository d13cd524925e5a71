"""Lip shapes as vectors whose distance says how different two mouths look.

Convention: mouths are in canonical coordinates (see `models.faces`), their points in MOUTH order;
the distance of two descriptors is in face heights (root mean square over weighted points).
"""

import numpy as np
from jaxtyping import Float32

from models.arrays import FrameValues, Mouth, Mouths
from models.faces.mesh.indices import INNER_LIP, JAW, MOUTH, OUTER_LIP

_JAW_N, _OUTER_N = len(JAW), len(OUTER_LIP)

GAP_PAIRS = tuple(
    (MOUTH.index(upper), MOUTH.index(lower))
    for upper, lower in ((81, 178), (82, 87), (13, 14), (312, 317), (311, 402))
)
"""Facing points of the upper and the lower inner lip, as rows of MOUTH."""

_POINT_WEIGHT = np.concatenate(
    [np.full(_JAW_N, 0.15), np.full(_OUTER_N, 1.0), np.full(len(INNER_LIP), 1.4)]
).astype(np.float32)
_POINT_WEIGHT[5:12] = 0.45  # the chin moves with the jaw, the rest of the contour with the head

_AXIS_WEIGHT = np.array([1.0, 1.0, 0.25], np.float32)
"""Depth is the detector's guess."""

CLOSED_GAP = 0.012
"""Inner-lip gap under which lips look shut [face heights]."""


def lip_gap(mouth: Mouths) -> FrameValues:
    """Mean inner-lip gap [face heights] over the middle five point pairs."""
    upper, lower = (list(rows) for rows in zip(*GAP_PAIRS, strict=True))
    gap = mouth[:, lower, :2] - mouth[:, upper, :2]
    return np.asarray(np.linalg.norm(gap, axis=-1).mean(-1), np.float32)


def closure(gap: FrameValues, rest_gap: float) -> FrameValues:
    """How closed lips look, 0 (open) to 1 (shut), from their gaps and the neutral mouth's own."""
    excess = np.maximum(gap - rest_gap, 0.0) / CLOSED_GAP
    return np.asarray(np.exp(-(excess**2)), np.float32)


def lip_descriptor(mouth: Mouths, neutral: Mouth) -> Float32[np.ndarray, "frame d"]:
    """Shape vectors of mouths, relative to the person's neutral mouth.

    Weighted point displacements, then the inner-lip gap and how closed it looks: people see a
    /p/ that does not close long before they see a corner that is off.
    """
    weight = _POINT_WEIGHT / np.sqrt(np.square(_POINT_WEIGHT).sum())
    moved = (mouth - neutral) * weight[:, None] * _AXIS_WEIGHT
    gap = lip_gap(mouth)
    shut = closure(gap, float(lip_gap(neutral[None])[0]))
    extra = np.stack([0.5 * gap, 0.012 * shut], axis=1)
    return np.asarray(np.concatenate([moved.reshape(len(mouth), -1), extra], axis=1), np.float32)
