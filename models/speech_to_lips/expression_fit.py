"""Fits what takes the upper half of a face to its lips: `expression.ExpressionModel`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32
from numpy.typing import NDArray

from models.arrays import MotionBasis
from models.faces.mesh.indices import MOUTH
from models.speech_to_lips.expression import ExpressionModel, Offsets, Upper
from models.speech_to_lips.neutral import opening_row
from models.speech_to_lips.training import mirrored, mirrored_rows

SCORES = 60
"""Directions in which upper faces differ most."""
RIDGE = 0.1
"""How far the linear model is held back, relative to the scores' energy."""


@dataclass(frozen=True)
class Shown:
    """A video whose mouth was predicted from its own speech, frames with a face only.

    Attributes:
        upper: of `upper_points`.
        motion: components of the observed motion.
        left: observed minus predicted.
    """

    upper: Upper
    motion: Offsets
    left: Offsets


def fit_expression(
    videos: Sequence[Shown],
    basis: MotionBasis,
    *,
    points: NDArray[np.int32],
    mirror: Int32[np.ndarray, "478"],
) -> ExpressionModel:
    """Fit the linear model, to faces and their mirror images.

    Args:
        videos: each counts by its length, about its own mean.
        basis: of the components, each row symmetric or skewed.
        points: of `upper_points`.
        mirror: the partner of each mesh point on the other side.
    """
    partner = np.searchsorted(points, mirror[points])
    points_of = basis.reshape(len(basis), len(MOUTH), 3)
    sides = np.sign((mirrored(points_of, mirrored_rows(mirror)) * points_of).sum((1, 2)))
    seen, left, motion = [], [], []
    for video in videos:
        moved = video.upper - video.upper.mean(0)
        wrong = video.left - video.left.mean(0)
        seen += [moved, moved[:, partner] * np.array([-1, 1, 1], np.float32)]
        left += [wrong, wrong * sides]
        motion.append(video.motion)
    faces = np.concatenate(seen).reshape(-1, 3 * len(points)).astype(np.float64)
    _, vectors = np.linalg.eigh(faces.T @ faces)
    directions = vectors[:, ::-1][:, :SCORES].T
    along = faces @ directions.T
    spread = along.std(0) + 1e-9
    scores = along / spread
    held = scores.T @ scores + RIDGE * len(scores) * np.eye(len(spread))
    weight = np.linalg.solve(held, scores.T @ np.concatenate(left))
    moved = np.concatenate(motion)
    opened = moved @ opening_row(basis)
    parting = opened @ moved / (opened @ opened)
    arrays = (directions, spread, weight, parting, basis)
    return ExpressionModel(points, *(array.astype(np.float32) for array in arrays))
