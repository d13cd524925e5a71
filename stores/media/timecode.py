"""SMPTE timecode: the label of a recording's first frame, as HH:MM:SS:FF.

With `;` before the frames it is drop-frame: at 29.97 and 59.94 frames per second the labels of the
first two (four) frames of each minute are left out, but for every tenth, so that it keeps to time.
"""

import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av.container

from stores.media.source import open_source, video_stream

_TIMECODE = re.compile(r"(\d{2}):([0-5]\d):([0-5]\d)([:;.])(\d{2,3})")
_LONGEST = 16
_DROPPED = {30: 2, 60: 4}  # labels a minute, at 30000/1001 and 60000/1001


def find_timecode(container: av.container.InputContainer) -> str:
    """Timecode of a file's first frame: a tag of the container or of a stream; empty without."""
    tags: list[Mapping[str, str]] = [container.metadata, *(s.metadata for s in container.streams)]
    found = (value for each in tags for key, value in each.items() if key.lower() == "timecode")
    return next(found, "")[:_LONGEST]


def header_clock(path: Path) -> tuple[Fraction, str]:
    """Frames per second of a video by its header, and the timecode of its first frame or "".

    Raises:
        MediaError: it can't be opened, or has no picture.
    """
    with open_source(path) as container:
        stream = video_stream(container, path)
        return Fraction(stream.average_rate or stream.base_rate or 0), find_timecode(container)


def usual_rate(rate: Fraction) -> Fraction:
    """The rate that has labels, where a measured one is within 0.02 % of it; else the rate."""
    whole = round(rate)
    near = [Fraction(whole), Fraction(whole * 1000, 1001)]
    return next((each for each in near if abs(rate - each) <= each / 5000), rate)


def frame_number(label: str, rate: Fraction) -> int | None:
    """Frames from the label 00:00:00:00 to this one; None if it is none at that rate.

    Args:
        label: HH:MM:SS:FF, or with `;` (or `.`) before the frames where it is drop-frame.
        rate: frames per second.
    """
    match, labels = _TIMECODE.fullmatch(label), round(rate)
    if match is None or not labels:
        return None
    hours, minutes, whole, frames = (int(match[group]) for group in (1, 2, 3, 5))
    drop = match[4] != ":"
    dropped = _DROPPED.get(labels, 0) if drop else 0
    exact = rate == Fraction(labels * 1000, 1001)
    if hours > 23 or frames >= labels or (drop and not (dropped and exact)):
        return None
    minute = 60 * hours + minutes
    return (60 * minute + whole) * labels + frames - dropped * (minute - minute // 10)


def advanced(timecode: str, seconds: float, rate: Fraction) -> str:
    """Timecode of the frame that is shown so much later.

    Args:
        timecode: Of the first frame.
        seconds: From the first frame on.
        rate: frames per second.

    Returns:
        The label; empty where `timecode` is none, or none at that rate.
    """
    first, labels = frame_number(timecode, rate), round(rate)
    if first is None:
        return ""
    drop = timecode[8] != ":"
    dropped = _DROPPED.get(labels, 0) if drop else 0
    number = first + round(seconds * rate)
    if dropped:
        ten = 600 * labels - 9 * dropped
        tens, rest = divmod(number, ten)
        in_ten = max(0, rest - dropped) // (60 * labels - dropped)
        number += dropped * (9 * tens + in_ten)
    seconds_shown, frames = divmod(number, labels)
    hours, rest = divmod(seconds_shown, 3600)
    mark = ";" if drop else ":"
    return f"{hours % 24:02}:{rest // 60:02}:{rest % 60:02}{mark}{frames:02}"
