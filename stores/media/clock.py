"""Where a file's time begins: found once here, and taken off picture and sound alike.

Broadcasts, camcorder files and parts of streams count time from anywhere on. What a player shows
first is time 0 for everything else in the project.
"""

from fractions import Fraction

import av.container

from stores.media.source import MAX_SECONDS, picture_streams

_RUNNING = {"mpegts", "mpeg", "flv", "asf", "rm"}
"""Formats whose clocks say nothing but distances: even a negative start is just a start."""

_RESTARTING = {"mpegts", "mpeg", "ogg"}
"""Formats whose clocks may start anew on the way."""
_RESTART_SECONDS, _SILENCE_SECONDS = 10, 3600


def clock_zero(container: av.container.InputContainer) -> Fraction:
    """Time [s of the container's clock] of what is played first: a picture or a sound.

    In formats whose clock begins at 0, a start before it is what an encoder needs to get going,
    and is not played.
    """
    starts = [
        stream.start_time * stream.time_base
        for stream in (*picture_streams(container), *container.streams.audio)
        if stream.start_time is not None and stream.time_base is not None
    ]
    zero = min(starts, default=Fraction(0))
    running = _RUNNING & set(container.format.name.split(","))
    return zero if zero > 0 or running else Fraction(0)


def longest_step(container: av.container.InputContainer) -> int:
    """Seconds that may pass from one picture to the next.

    Where clocks may start anew on the way, ffmpeg takes steps of more than 10 s for that.
    """
    restarting = _RESTARTING & set(container.format.name.split(","))
    return _RESTART_SECONDS if restarting else MAX_SECONDS


def longest_silence(container: av.container.InputContainer) -> int:
    """Seconds that may pass without sound: it is filled up, and hours of it fill the memory."""
    return min(longest_step(container), _SILENCE_SECONDS)
