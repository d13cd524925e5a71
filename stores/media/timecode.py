"""SMPTE timecode: the label of a recording's first frame, as HH:MM:SS:FF.

With `;` before the frames it is drop-frame: at 29.97 and 59.94 frames per second the labels of the
first two (four) frames of each minute are left out, but for every tenth, so that it keeps to time.
"""

import re
from collections.abc import Mapping
from fractions import Fraction

import av.container

_TIMECODE = re.compile(r"(\d{2}):([0-5]\d):([0-5]\d)([:;.])(\d{2,3})")
_LONGEST = 16
_DROPPED = {30: 2, 60: 4}  # labels a minute, at 30000/1001 and 60000/1001


def find_timecode(container: av.container.InputContainer) -> str:
    """Timecode of a file's first frame: a tag of the container or of a stream; empty without."""
    tags: list[Mapping[str, str]] = [container.metadata, *(s.metadata for s in container.streams)]
    found = (value for each in tags for key, value in each.items() if key.lower() == "timecode")
    return next(found, "")[:_LONGEST]


def advanced(timecode: str, seconds: float, rate: Fraction) -> str:
    """Timecode of the frame that is shown so much later.

    Args:
        timecode: Of the first frame.
        seconds: From the first frame on.
        rate: frames per second.

    Returns:
        The label; empty where `timecode` is none, or none at that rate.
    """
    match = _TIMECODE.fullmatch(timecode)
    labels = round(rate)
    if match is None or not labels:
        return ""
    hours, minutes, whole, frames = (int(match[group]) for group in (1, 2, 3, 5))
    drop = match[4] != ":"
    dropped = _DROPPED.get(labels, 0) if drop else 0
    exact = rate == Fraction(labels * 1000, 1001)
    if hours > 23 or frames >= labels or (drop and not (dropped and exact)):
        return ""
    minute = 60 * hours + minutes
    number = (60 * minute + whole) * labels + frames - dropped * (minute - minute // 10)
    number += round(seconds * rate)
    if dropped:
        ten = 600 * labels - 9 * dropped
        tens, rest = divmod(number, ten)
        in_ten = max(0, rest - dropped) // (60 * labels - dropped)
        number += dropped * (9 * tens + in_ten)
    seconds_shown, frames = divmod(number, labels)
    hours, rest = divmod(seconds_shown, 3600)
    mark = ";" if drop else ":"
    return f"{hours % 24:02}:{rest // 60:02}:{rest % 60:02}{mark}{frames:02}"
