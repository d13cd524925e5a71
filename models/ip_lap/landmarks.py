"""IP-LAP's choice of the 478 face-mesh points: their order, and the lines that join them.

Landmark axes of its networks have 131 columns: 74 that tell the pose, then 57 that speech moves.
"""

from itertools import pairwise

from models.faces.mesh.indices import INNER_LIP, JAW, LIPS, OUTER_LIP

_RIGHT_TEMPLE = (162, 127, 234, 93)
_LEFT_TEMPLE = (323, 454, 356, 389)
_BROWS = (
    (70, 63, 105, 66, 107),
    (55, 65, 52, 53, 46),
    (336, 296, 334, 293, 300),
    (276, 283, 282, 295, 285),
)
_NOSE_BRIDGE = (168, 6, 197, 195, 5)
_NOSTRILS = (48, 115, 220, 45, 4, 275, 440, 344, 278)
_RIGHT_EYE = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
_LEFT_EYE = (362, 398, 384, 385, 386, 387, 388, 466, 263, 249, 390, 373, 374, 380, 381, 382)

POSE: tuple[int, ...] = (
    *_RIGHT_TEMPLE,
    *_LEFT_TEMPLE,
    *(point for brow in _BROWS for point in brow),
    *_NOSE_BRIDGE,
    *_NOSTRILS,
    *_RIGHT_EYE,
    *_LEFT_EYE,
)
"""74 points of the upper face, which the network is given."""

CONTENT = JAW + LIPS
"""57 points of jaw and lips, which the network predicts: 17 and 40."""

FULL = POSE + CONTENT
"""All 131 points, in the order of the networks' columns."""


def _joined(*points: int, closed: bool = False) -> tuple[tuple[int, int], ...]:
    return tuple(pairwise((*points, points[0]) if closed else points))


CONNECTIONS: tuple[tuple[int, int], ...] = (
    *_joined(*_RIGHT_TEMPLE, *JAW, *_LEFT_TEMPLE),
    *(pair for brow in _BROWS for pair in _joined(*brow)),
    *_joined(*_NOSE_BRIDGE, 4),
    *_joined(*_NOSTRILS),
    *_joined(*_RIGHT_EYE, closed=True),
    *_joined(*_LEFT_EYE, closed=True),
    *_joined(*OUTER_LIP, closed=True),
    *_joined(*INNER_LIP, closed=True),
)
"""The 125 lines of a sketch, as pairs of face-mesh points; the forehead is left open."""

CONTOUR: tuple[int, ...] = (
    *(_RIGHT_TEMPLE[1:] + JAW + _LEFT_TEMPLE[:3]),
    *(300, 293, 334, 296, 336),
    *(107, 66, 105, 63, 70),
)
"""The outline that the 68-point contour of the published paste has: ear, jaw, ear, brows."""
