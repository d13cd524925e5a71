"""How near predicted landmarks come to the true ones: figures of a landmark generator.

Errors are distances in the picture's plane, in face heights.
"""

import math

import numpy as np
from numpy.typing import NDArray

from models.faces.mesh.indices import JAW, LOWER_INNER_LIP, UPPER_INNER_LIP
from models.ip_lap.landmarks import CONTENT
from models.metrics.correlation import correlation

Floats = NDArray[np.float32]

_LIPS = slice(len(JAW), None)
_UPPER, _LOWER = CONTENT.index(UPPER_INNER_LIP), CONTENT.index(LOWER_INNER_LIP)
_LEAST_SERIES = 15
"""Frames of a clip from which on a correlation means anything."""


def mouth_openings(points: Floats) -> Floats:
    """(frame,) distance of the inner lips in points (frame, 57, 2)."""
    return np.asarray(np.linalg.norm(points[:, _LOWER] - points[:, _UPPER], axis=1), np.float32)


class LandmarkFigures:
    """Gathers errors, and the opening of the mouth clip by clip."""

    def __init__(self) -> None:
        self._errors: list[Floats] = []
        self._still: list[Floats] = []
        self._losses: list[float] = []
        self._rows: list[NDArray[np.int64]] = []
        self._openings: list[Floats] = []

    def add(
        self, found: Floats, wanted: Floats, held: Floats, *, rows: NDArray[np.int64], loss: float
    ) -> None:
        """Count a batch.

        Args:
            found: (frame, 57, 2) predicted points [face heights].
            wanted: (frame, 57, 2) the true ones.
            held: (frame, 57, 2) of the references' median mouth.
            rows: (frame,) clip that each frame is from.
            loss: Of the batch, a mean over its frames.
        """
        self._errors.append(np.linalg.norm(found - wanted, axis=2).astype(np.float32))
        self._still.append(np.linalg.norm(held - wanted, axis=2).astype(np.float32))
        self._losses += [loss] * len(rows)
        self._rows.append(rows)
        pair = [mouth_openings(found), mouth_openings(wanted)]
        self._openings.append(np.stack(pair, axis=1))

    def summary(self) -> dict[str, float]:
        """Means over all frames; the correlation is a mean over clips.

        held_still_lip_error is that of the references' median mouth, laid into each frame's box: no
        pose is taken out, so turning heads count too.
        """
        if not self._errors:
            return {}
        errors, still = np.concatenate(self._errors), np.concatenate(self._still)
        figures = {
            "loss": float(np.mean(self._losses)),
            "error": float(errors.mean()),
            "lip_error": float(errors[:, _LIPS].mean()),
            "jaw_error": float(errors[:, : len(JAW)].mean()),
            "held_still_lip_error": float(still[:, _LIPS].mean()),
        }
        rows, openings = np.concatenate(self._rows), np.concatenate(self._openings)
        series = [openings[rows == row] for row in np.unique(rows)]
        found = [correlation(*pair.T) for pair in series if len(pair) >= _LEAST_SERIES]
        known = [value for value in found if math.isfinite(value)]
        if known:
            figures["opening_correlation"] = float(np.mean(known))
        return figures
