"""What the face's expression does to the lips, whatever is said: a smile that the source shows.

Speech tells when a mouth opens, not whether it smiles. The upper half of the face does: a linear
model takes its points to what a prediction from speech leaves over at the lips. What it leaves
over itself is looked up in the source's own speech: the mean of what was left there while the face
looked alike, but for the second around the moment itself, so that no mouth says again what it said.
Only the shape of the lips is taken over, never their gap: speech alone opens and shuts them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float32, Int32, Num
from numpy.typing import NDArray

from models.arrays import FrameMask, Mesh, MotionBasis, Mouths, Seconds
from models.faces.mesh.indices import MOUTH, NOSE_TIP
from models.faces.smooth import smooth_landmarks
from models.speech_to_lips.neutral import opening_row
from models.speech_to_lips.predict import inner_gaps, shut_by

Scores = Float32[np.ndarray, "frame score"]  # of the upper face, in standard deviations
Offsets = Float32[np.ndarray, "frame component"]  # of the lips, on a basis of motion
Upper = Float32[np.ndarray, "frame upper 3"]  # points of the upper half of the face, canonical

IRISES = 468
"""The first of the mesh's points that look where they like."""
LIMIT = 5.0
"""Faces that look further from usual than this [standard deviations] count as if they did not."""
WINDOW_SECONDS = 0.5
"""Faces are smoothed by parabolas of this length: expressions last, syllables don't."""
APART_SECONDS = 1.0
"""Nothing is learned from nearer in time, where the mouth says what it says at that moment."""
ALIKE_SCORES, ALIKE = 12, 0.7
"""Faces are compared by the first scores; root mean square distance at which one counts 0.6."""
BELIEVED_SECONDS = 0.4
"""So much time of faces that look alike, and the linear model's word weighs the same."""
MOST_REFERENCES = 1500
"""Frames that are compared with each one."""
_BLOCK = 2000


def upper_points(mean_face: Mesh, mirror: Int32[np.ndarray, "478"]) -> NDArray[np.int32]:
    """Numbers of the mesh points in the upper half of a face: those above the tip of the nose.

    It is the half that published methods are shown of the frame whose mouth they make.

    Args:
        mean_face: canonical.
        mirror: the partner of each point on the other side.
    """
    above = mean_face[:, 1] < mean_face[NOSE_TIP, 1]
    above[IRISES:] = False
    return np.flatnonzero(above & above[mirror]).astype(np.int32)


@dataclass(frozen=True)
class ExpressionModel:
    """From the upper half of a face to its lips.

    Attributes:
        points: mesh numbers, of `upper_points`.
        directions: orthonormal, of all coordinates of the points [face heights].
        spread: standard deviation of the points along each direction, as the model was trained.
        weight: scores → components of motion [face heights].
        parting: components of a motion that opens the middle inner lips by 1, as mouths open.
        basis: of the components, orthonormal.
    """

    points: NDArray[np.int32]
    directions: Float32[np.ndarray, "score coordinate"]
    spread: Float32[np.ndarray, " score"]
    weight: Float32[np.ndarray, "score component"]
    parting: Float32[np.ndarray, " component"]
    basis: MotionBasis

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Num[np.ndarray, "..."]]) -> "ExpressionModel":
        """The model of a weights file.

        Raises:
            ValueError: these are not its arrays.
        """
        try:
            points, *rest = (arrays[field.name] for field in fields(cls))
            return cls(points.astype(np.int32), *(array.astype(np.float32) for array in rest))
        except KeyError as error:
            raise ValueError(f"these are not weights of an expression model: {error}") from error

    def along(self, upper: Upper) -> Scores:
        """Upper faces along the directions [face heights]."""
        return np.asarray(upper.reshape(len(upper), -1) @ self.directions.T, np.float32)

    def scores(self, along: Scores, known: FrameMask) -> Scores:
        """How the upper face differs from its usual look in the video.

        Args:
            along: of `along`, smoothed.
            known: the face is seen; the mean of these is the usual look.
        """
        usual = along[known].mean(0, dtype=np.float64) if known.any() else 0.0
        return np.asarray(np.clip((along - usual) / self.spread, -LIMIT, LIMIT), np.float32)


def lips_by_expression(
    model: ExpressionModel,
    along: Scores,
    *,
    valid: FrameMask,
    scene_start: FrameMask,
    seconds: Seconds,
    frame_rate_hz: float,
    wrong: Offsets | None,
) -> Offsets:
    """What the face's expression adds to the lips that speech asks for; 0 where no face is seen.

    Args:
        model: from upper faces to lips.
        along: upper faces along the model's directions.
        valid: the face is seen.
        scene_start: true for the first frame after each cut.
        seconds: when the frames are shown.
        frame_rate_hz: frames a second.
        wrong: observed minus predicted motion of the first frames, from the source's own speech;
            None where that is not known, or does not fit the picture.
    """
    smooth = smooth_landmarks(
        along,
        valid,
        scene_start=scene_start,
        frame_rate_hz=frame_rate_hz,
        window_s=WINDOW_SECONDS,
    )
    scores = model.scores(smooth, valid)
    found = np.asarray(scores @ model.weight, np.float32)
    if wrong is not None and len(at := np.flatnonzero(valid[: len(wrong)])):
        left = wrong[at] - found[at]
        found += _looked_up(scores, seconds, at=at, left=left, frame_seconds=1 / frame_rate_hz)
    found[~valid] = 0
    return found


def _looked_up(
    scores: Scores,
    seconds: Seconds,
    *,
    at: NDArray[np.int64],
    left: Offsets,
    frame_seconds: float,
) -> Offsets:
    """Mean of what was left over at some frames while the face looked as at each one."""
    step = -(-len(at) // MOST_REFERENCES)
    at, left = at[::step], left[::step]
    theirs, when = scores[at, :ALIKE_SCORES], seconds[at]
    found = np.zeros((len(scores), left.shape[1]), np.float32)
    for start in range(0, len(scores), _BLOCK):
        part = slice(start, start + _BLOCK)
        apart = _square_distance(scores[part, :ALIKE_SCORES], theirs) / ALIKE_SCORES
        weight = np.exp(-0.5 * apart / ALIKE**2) * np.float32(step * frame_seconds)
        weight[np.abs(seconds[part, None] - when) < APART_SECONDS] = 0
        found[part] = (weight @ left) / (weight.sum(1, keepdims=True) + BELIEVED_SECONDS)
    return found


def _square_distance(
    one: Float32[np.ndarray, "row score"], other: Float32[np.ndarray, "column score"]
) -> Float32[np.ndarray, "row column"]:
    product = one @ other.T
    squares = np.square(one).sum(1)[:, None] + np.square(other).sum(1)
    return np.asarray(np.maximum(squares - 2 * product, 0), np.float32)


def lip_offsets(model: ExpressionModel, found: Offsets) -> Mouths:
    """Offsets of the mouth's points, canonical [face heights], that leave the lips' gap as it is.

    Args:
        model: knows how mouths open: what would open this one is taken out along that way.
        found: of `lips_by_expression`.
    """
    shape = found - (found @ opening_row(model.basis))[:, None] * model.parting
    points = (shape @ model.basis).reshape(len(found), len(MOUTH), 3)
    return shut_by(points, inner_gaps(points))
