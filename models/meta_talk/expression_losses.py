"""How predicted expressions are compared with wanted ones, in training and in figures."""

import math

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from models.deep3d.basis import FaceBasis
from models.meta_talk.expression_settings import ExpressionLosses
from models.metrics.correlation import correlation
from models.tensors import Scalar

MM = 100.0
"""In a dm, the unit of a basis."""
MOUTH = (*range(17), *range(48, 68))
"""Of the 68 landmarks, contour and lips."""
LEAST_SERIES = 15
"""Ticks of a clip from which on a correlation means anything."""

Deltas = Float[Tensor, "batch tick 64"]


def mouth_offsets(basis: FaceBasis) -> Float32[Tensor, "64 point 3"]:
    """How each coefficient of expression moves the points of mouth and jaw [mm]."""
    rows = basis.expression.reshape(basis.n_vertices, 3, -1)[basis.landmarks[list(MOUTH)]]
    return (rows * MM).movedim(-1, 0).contiguous()


def expression_loss(
    found: Deltas,
    wanted: Deltas,
    valid: Bool[Tensor, "batch tick"],
    *,
    weights: ExpressionLosses,
    offsets: Float[Tensor, "64 point 3"],
) -> tuple[Scalar, dict[str, Scalar]]:
    """The loss, and what it is made of; ticks that are not valid do not count.

    Args:
        found: Predicted for consecutive ticks.
        wanted: Likewise, what was seen.
        valid: Of `wanted`.
        weights: Of the losses.
        offsets: Of `mouth_offsets`.
    """
    off = found - wanted
    if weights.vertices:
        off = off @ offsets.flatten(1)
    parts = {"error": _mean(off, valid)}
    loss = parts["error"]
    if weights.velocity:
        parts["velocity"] = _mean(off.diff(dim=1), valid[:, 1:] & valid[:, :-1])
        loss = loss + weights.velocity * parts["velocity"]
    return loss, parts


def _mean(off: Float[Tensor, "batch tick value"], valid: Bool[Tensor, "batch tick"]) -> Scalar:
    """Mean of the squares of what counts."""
    squares = off.square().mean(-1) * valid
    return squares.sum() / valid.sum().clamp(min=1)


class ExpressionFigures:
    """Gathers predictions clip by clip.

    Args:
        offsets: Of `mouth_offsets`.
    """

    def __init__(self, offsets: Float32[np.ndarray, "64 point 3"]) -> None:
        self._offsets = offsets
        self._found: list[np.ndarray] = []
        self._wanted: list[np.ndarray] = []
        self._clips: list[np.ndarray] = []

    def add(
        self,
        found: Float32[np.ndarray, "tick 64"],
        wanted: Float32[np.ndarray, "tick 64"],
        clips: Int64[np.ndarray, " tick"],
    ) -> None:
        """Count some ticks, in order.

        Args:
            found: Predicted.
            wanted: What was seen.
            clips: Number of the clip that each is of.
        """
        self._found.append(found)
        self._wanted.append(wanted)
        self._clips.append(clips)

    def summary(self) -> dict[str, float]:
        """Means over all ticks; the correlation is a mean over clips.

        `vertex_error_mm` is the distance of mouth and jaw points, `explained` the share of the
        variance of all coefficients that is found; `held_still_…` is the same of each clip's median
        expression, whose correlation is 0.
        """
        if not sum(map(len, self._found)):
            return {}
        found, wanted = np.concatenate(self._found), np.concatenate(self._wanted)
        clips = np.concatenate(self._clips)
        held = np.empty_like(wanted)
        known = []
        for clip in np.unique(clips):
            own = clips == clip
            held[own] = np.median(wanted[own], axis=0)
            if own.sum() >= LEAST_SERIES:
                known.append(correlation(found[own, 0], wanted[own, 0]))
        known = [value for value in known if math.isfinite(value)]
        spread = np.square(wanted - wanted.mean(0)).mean()
        figures = {
            "vertex_error_mm": self._distance(found - wanted),
            "held_still_vertex_error_mm": self._distance(held - wanted),
            "explained": 1 - float(np.square(found - wanted).mean() / max(spread, 1e-12)),
        }
        if known:
            figures["opening_correlation"] = float(np.mean(known))
        return figures

    def _distance(self, off: Float32[np.ndarray, "tick 64"]) -> float:
        moved = np.tensordot(off, self._offsets, 1)
        return float(np.linalg.norm(moved, axis=-1).mean())
