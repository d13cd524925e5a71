"""Times as cue sheets write them: seconds, h:mm:ss.mmm, or SMPTE labels at the video's rate."""

import re
from dataclasses import dataclass
from fractions import Fraction

from stores.media.timecode import advanced, frame_number

_SECONDS = re.compile(r"\d+(?:[.,]\d*)?|[.,]\d+")
_CLOCK = re.compile(r"(?:(\d+):)?([0-5]?\d):([0-5]?\d(?:[.,]\d+)?)")
_SMPTE = re.compile(r"(\d{1,2}):([0-5]\d):([0-5]\d)([:;])(\d{2,3})")


@dataclass(frozen=True)
class Clock:
    """What SMPTE labels count by.

    Attributes:
        rate: frames per second; 0 where there is none.
        first: label of the output's first frame, or empty: 00:00:00:00.
    """

    rate: Fraction
    first: str = ""


def read_time(given: object, clock: Clock) -> Fraction:
    """Seconds of the output, exactly.

    Args:
        given: A number of seconds, or a text of one of the three forms; a decimal comma will do.
        clock: Of the video.

    Raises:
        ValueError: it is no time, or no label at that rate; says what would be one.
    """
    text = "" if given is None or isinstance(given, bool) else str(given).strip()
    if _SECONDS.fullmatch(text):
        return Fraction(text.replace(",", "."))
    if match := _CLOCK.fullmatch(text):
        hours, minutes, seconds = match.groups()
        whole = 3600 * int(hours or 0) + 60 * int(minutes)
        return whole + Fraction(seconds.replace(",", "."))
    if _SMPTE.fullmatch(text):
        return _labelled(text.rjust(11, "0"), clock)
    raise ValueError(
        f"{text!r} is no time: write seconds, h:mm:ss.mmm, or hh:mm:ss:ff at the video's rate"
    )


def _labelled(label: str, clock: Clock) -> Fraction:
    shown = f"{float(clock.rate):.3f}".rstrip("0").rstrip(".")
    number = frame_number(label, clock.rate)
    regular = clock.rate in (round(clock.rate), Fraction(round(clock.rate) * 1000, 1001))
    if not regular or number is None or advanced(label, 0.0, clock.rate) != label:
        raise ValueError(f"{label} is no SMPTE label at the video's {shown} frames per second")
    first = frame_number(clock.first, clock.rate) or 0
    if number < first:
        raise ValueError(f"{label} is before the first frame, whose label is {clock.first}")
    return (number - first) / clock.rate
