"""Whether the picture of the mouth goes on smoothly, without a border, and is the same person's."""

from dataclasses import replace

import numpy as np
from jaxtyping import Int64

from models.arrays import FrameMask, FrameValues, Seconds
from models.suspects.suspect import Suspect, places

JUMP = 0.7
"""The mouth's picture may change so much more in one frame than in those before and after, as a
multiple of the change at the liveliest tenth of rows, of the source or the dub: a mouth that moves
fast does so for several frames. What the speech asks for around the frame is taken off first ..."""
_ASKED = 0.5
"""... by this share of it, as a multiple of the wanted motion at its own liveliest tenth ..."""
JUMP_UNKNOWN = 1.1
"""... and where it is not known, this is the limit."""
_LIVELY = 0.9
_STILL_LEVELS = 1.0
"""Noise of a still mouth [levels]: what is called lively changes by more."""

SEAM = 2.0
"""Gradient across the border of the lower face, of the source's at the same place."""
_SHORTEST_SEAM = 3

DISTANCE = 0.45
"""Of dlib's descriptors of the dub's face and of the source's; dlib's own limit between persons is
0.6, of whole faces."""

UNUSUAL = 0.12
"""Share of the lower face that the source's frames don't explain."""
_SHORTEST_STRANGE = 8
"""Rows: a mouth that opens wider than the source ever shows it looks strange for fewer."""
_JOINED = 4


def jumps(
    step: FrameValues,
    usual: FrameValues,
    asked: FrameValues | None,
    joined: FrameMask,
    seconds: Seconds,
) -> list[Suspect]:
    """Rows at which the mouth's picture changes more than a mouth does.

    Args:
        step: mean change of the mouth's picture since the row before [levels].
        usual: the same of the source's frames.
        asked: motion that the speech asks for since the row before, in any unit; None: not known.
        joined: the row before shows the same face, and both mouths were made anew.
        seconds: when each row is shown.
    """
    both = [values[np.isfinite(values)] for values in (step, usual)]
    lively = max([_STILL_LEVELS, *(float(np.quantile(v, _LIVELY)) for v in both if len(v))])
    change = np.where(joined, np.nan_to_num(step), 0)
    around = (np.append(0, change[:-1]) + np.append(change[1:], 0)) / 2
    alone = np.asarray(np.where(joined, (change - around) / lively, 0), np.float32)
    limit = JUMP_UNKNOWN
    if asked is not None and (fast := float(np.quantile(asked, _LIVELY))) > 0:
        near = np.maximum(asked, np.maximum(np.append(asked[1:], 0), np.append(0, asked[:-1])))
        alone, limit = np.asarray(alone - _ASKED * near / fast, np.float32), JUMP

    def say(start: int, row: int, value: float) -> str:
        return (
            f"the mouth changes by {step[row]:.0f} levels in one frame at {seconds[row]:.2f} s, "
            f"by {around[row]:.0f} in those beside it"
        )

    return places("jump", alone > limit, alone, limit, say)


def seams(ratio: FrameValues, made: FrameMask, seconds: Seconds) -> list[Suspect]:
    """Runs of rows at which the border of the pasted mouth shows.

    Args:
        ratio: gradient across the border, of the source's; NaN where unknown.
        made: the mouth was made anew.
        seconds: when each row is shown.
    """
    seen = np.where(made, np.nan_to_num(ratio), 0).astype(np.float32)

    def say(start: int, row: int, value: float) -> str:
        return (
            f"the border of the mouth is {value:.1f} times as sharp as the source there at "
            f"{seconds[row]:.2f} s"
        )

    return places("seam", seen > SEAM, seen, SEAM, say, joined=_JOINED, shortest=_SHORTEST_SEAM)


def strangers(unusual: FrameValues, made: FrameMask, seconds: Seconds) -> list[Suspect]:
    """Runs of rows whose lower face looks like none of the source's.

    Args:
        unusual: share of the lower face that the source's frames do not explain.
        made: the mouth was made anew.
        seconds: when each row is shown.
    """

    def say(start: int, row: int, value: float) -> str:
        return (
            f"{100 * value:.0f} % of the lower face look like no frame of the source at "
            f"{seconds[row]:.2f} s"
        )

    over = made & (unusual > UNUSUAL)
    lasting = {"joined": _JOINED, "shortest": _SHORTEST_STRANGE}
    return places("identity", over, unusual, UNUSUAL, say, **lasting)


def distant(
    distance: FrameValues, rows: Int64[np.ndarray, " frame"], seconds: Seconds
) -> list[Suspect]:
    """Runs of sampled rows whose face is far from the source's.

    Args:
        distance: of the descriptors of dub and source at the sampled rows; NaN without a face.
        rows: the sampled rows, rising.
        seconds: when they are shown.
    """

    def say(start: int, row: int, value: float) -> str:
        return (
            f"the face is {value:.2f} from the source's at {seconds[row]:.2f} s "
            "(dlib; 0.6 and more: another person)"
        )

    found = places("identity", np.nan_to_num(distance) > DISTANCE, distance, DISTANCE, say)
    return [
        replace(each, start=int(rows[each.start]), stop=int(rows[each.stop - 1]) + 1)
        for each in found
    ]
