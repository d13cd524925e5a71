"""Whether there is a face to dub, and whether its box stays where the face is."""

import numpy as np
from jaxtyping import Float32

from models.arrays import FrameMask, FrameValues, Seconds, Transforms
from models.faces.crop.crop import CROP_CENTRE, CROP_SIDE
from models.faces.mesh.align import Pose
from models.suspects.suspect import Suspect, places, runs, weight

JUMP = 0.06
"""The face's place in a frame may differ so much from the middle between its neighbours' places
[face heights]: heads turn fast, but they don't start and stop within a frame."""

SHIFT = 0.04
"""The mouth may be pasted so far from where the face has it [face heights]."""

_AT_ONCE = 3
_FLICKER = 8
"""Rows between two that pass through and belong to one place with them."""


def no_face(seen: FrameMask, seconds: Seconds) -> list[Suspect]:
    """Rows whose source shows no usable face: a dub passes them through.

    Args:
        seen: the source's face at each row.
        seconds: when each is shown.
    """
    return [
        _passed("no_face", "no usable face in the source", seen, start, stop, seconds)
        for start, stop in runs(~seen, joined=_FLICKER)
    ]


def covered(seen: FrameMask, made: FrameMask, seconds: Seconds) -> list[Suspect]:
    """Rows that show a face, but none whose mouth was made anew.

    Args:
        seen: the source's face at each row.
        made: the mouth was made anew.
        seconds: when each is shown.
    """
    hidden = seen & ~made
    return [
        _passed("covered", "the mouth is hidden or turned away", ~hidden, start, stop, seconds)
        for start, stop in runs(hidden, joined=_FLICKER)
    ]


def box_jumps(
    place: Float32[np.ndarray, "frame 2"], scale: FrameValues, usable: FrameMask, seconds: Seconds
) -> list[Suspect]:
    """Rows at which the face as found lies far from the middle between its neighbours.

    Args:
        place: middle of the face's rigid points, as detected, not smoothed [px].
        scale: px per face height.
        usable: the row and both neighbours show the face, without a cut between them.
        seconds: when each is shown.
    """
    off = np.full(len(place), np.nan, np.float32)
    middle = (place[2:] + place[:-2]) / 2
    off[1:-1] = np.linalg.norm(place[1:-1] - middle, axis=-1) / np.maximum(scale[1:-1], 1e-6)
    off[~usable] = np.nan

    def say(start: int, row: int, value: float) -> str:
        return (
            f"the face's box jumps by {100 * value:.0f} % of the face's height at "
            f"{seconds[row]:.2f} s"
        )

    return places("box_jump", np.nan_to_num(off) > JUMP, off, JUMP, say, joined=_AT_ONCE)


def pasted_off(
    transform: Transforms, size: int, pose: Pose, made: FrameMask, seconds: Seconds
) -> list[Suspect]:
    """Rows whose mouth was pasted elsewhere than in most of them, as the face has it.

    Args:
        transform: of the render.
        size: side of its crops [px].
        pose: of the source's face at each row.
        made: the mouth was made anew.
        seconds: when each is shown.
    """
    off = place_of_crop(transform, size, pose, made)
    if not made.any():
        return []
    usual = np.median(off[made], axis=0)
    away = np.where(made, np.linalg.norm(off - usual, axis=-1), 0).astype(np.float32)

    def say(start: int, row: int, value: float) -> str:
        return (
            f"the mouth was pasted {100 * value:.0f} % of the face's height from its usual place "
            f"at {seconds[start]:.2f} s"
        )

    return places("box_jump", away > SHIFT, away, SHIFT, say, joined=_AT_ONCE)


def place_of_crop(
    transform: Transforms, size: int, pose: Pose, made: FrameMask
) -> Float32[np.ndarray, "frame 2"]:
    """Centre of each crop less where the face has it, x and y along the frame [face heights]."""
    off = np.zeros((len(transform), 2), np.float32)
    centre = np.broadcast_to(np.array(CROP_CENTRE, np.float32), (len(transform), 1, 3))
    wanted = pose.to_image(centre)[:, 0, :2]
    for row in np.flatnonzero(made):
        linear, offset = transform[row, :, :2], transform[row, :, 2]
        zoom = float(np.sqrt(abs(np.linalg.det(linear))))
        at = np.linalg.solve(linear, np.full(2, size / 2, np.float32) - offset)
        off[row] = (at - wanted[row]) * zoom * CROP_SIDE / size
    return off


def _passed(
    kind: str, why: str, shown: FrameMask, start: int, stop: int, seconds: Seconds
) -> Suspect:
    rows = int((~shown[start:stop]).sum())
    length = float(seconds[stop - 1] - seconds[start])
    reason = (
        f"{why} at {seconds[start]:.2f} s: {rows} frame{'s' * (rows > 1)} passed through as they "
        "were"
    )
    return Suspect(kind, start, stop, weight(1 + length), reason)
