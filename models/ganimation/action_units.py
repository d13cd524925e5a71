"""Facial action units read off the face mesh, without OpenFace.

A rough stand-in: how far brows, lids, mouth corners and lips are from where this person has them in
the middle. A unit is 0 there or beyond, and 1 at the constant of its name below; so AU 4 at 0.3,
the published anger, is a frown that one sees. Units that a mesh does not show are 0.
"""

import numpy as np
from jaxtyping import Float32, Float64

from models.arrays import Points3D
from models.faces.mesh.indices import MOUTH_CORNERS
from models.ganimation.generator import ACTION_UNITS

UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
"""Numbers of the units, in GANimation's order."""

MEASURES = ("inner_brow", "outer_brow", "brow_gap", "lids", "smile", "opening")
"""What is measured of a mesh."""

FaceMeasures = Float32[np.ndarray, "frame 6"]  # [face heights], in the order of MEASURES

_INNER_BROWS, _OUTER_BROWS = ((107, 55), (336, 285)), ((70, 46), (300, 276))
_EYE_CORNERS = ((33, 133), (263, 362))
_LIDS = ((159, 145), (158, 153), (160, 144), (386, 374), (385, 380), (387, 373))
_LIPS = (13, 14)

_BROWS_RAISED = 0.04
_BROWS_LOWERED = 0.03
_BROWS_DRAWN = 0.02
_LIDS_RAISED = 0.02
_SMILED = 0.04
_LIPS_PARTED, _JAW_DROPPED = 0.06, 0.12
_EYES_CLOSED = 0.8
"""Share of the usual opening that is gone when an eye counts as closed: meshes never close it."""


def face_measures(canonical: Points3D) -> FaceMeasures:
    """Measures of meshes whose pose is taken out.

    Args:
        canonical: All 478 points [face heights], y down.

    Returns:
        Height of the inner and outer ends of the brows over the corners of their eyes; distance of
        the inner ends; opening of the eyes; how far up and out the mouth's corners are; opening of
        the lips.
    """

    def heights(brows: tuple[tuple[int, int], ...]) -> Float32[np.ndarray, " frame"]:
        found = [
            canonical[:, list(eye), 1].mean(1) - canonical[:, list(brow), 1].mean(1)
            for brow, eye in zip(brows, _EYE_CORNERS, strict=True)
        ]
        return np.asarray(np.mean(found, axis=0))

    def distance(one: int, other: int) -> Float32[np.ndarray, " frame"]:
        return np.asarray(np.linalg.norm(canonical[:, one] - canonical[:, other], axis=1))

    right, left = (canonical[:, list(brow)].mean(1) for brow in _INNER_BROWS)
    corners = canonical[:, list(MOUTH_CORNERS)]
    found = (
        heights(_INNER_BROWS),
        heights(_OUTER_BROWS),
        np.linalg.norm(right - left, axis=1),
        np.mean([distance(*pair) for pair in _LIDS], axis=0),
        (corners[:, 1, 0] - corners[:, 0, 0]) / 2 - corners[:, :, 1].mean(1),
        distance(*_LIPS),
    )
    return np.asarray(np.stack(found, axis=1), np.float32)


def action_units(
    measures: FaceMeasures, rest: Float32[np.ndarray, "6"]
) -> Float32[np.ndarray, "frame 17"]:
    """Intensities 0..1 of the units, in the order of UNITS.

    Args:
        measures: Of `face_measures`.
        rest: The same of this person in the middle: the median over many frames.
    """
    inner, outer, gap, lids, smile, opening = (measures - rest).astype(np.float64).T
    found: dict[int, Float64[np.ndarray, " frame"]] = {
        1: inner / _BROWS_RAISED,
        2: outer / _BROWS_RAISED,
        4: (-inner / _BROWS_LOWERED - gap / _BROWS_DRAWN) / 2,
        5: lids / _LIDS_RAISED,
        12: smile / _SMILED,
        25: opening / _LIPS_PARTED,
        26: opening / _JAW_DROPPED,
        45: -lids / max(float(rest[3]) * _EYES_CLOSED, 1e-6),
    }
    units = np.zeros((len(measures), ACTION_UNITS), np.float32)
    for number, intensity in found.items():
        units[:, UNITS.index(number)] = np.clip(intensity, 0, 1)
    return units
