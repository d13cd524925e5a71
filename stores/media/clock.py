"""Where a file's time begins: found once here, and taken off picture and sound alike.

Broadcasts, camcorder files and parts of streams count time from anywhere on. What a player shows
first is time 0 for everything else in the project.
"""

from fractions import Fraction
from pathlib import Path

import av.container
import av.error
import av.stream
from av.audio.stream import AudioStream

from stores.media.source import MAX_SECONDS, only, open_source, picture_streams, sound_streams

_RUNNING = {"mpegts", "mpeg", "flv", "asf", "rm"}
"""Formats whose clocks say nothing but distances: even a negative start is just a start."""

_RESTARTING = {"mpegts", "mpeg", "ogg"}
"""Formats whose clocks may start anew on the way."""
_RESTART_SECONDS, _SILENCE_SECONDS = 10, 3600


def clock_zero(path: Path) -> Fraction:
    """Time [s of the container's clock] of what is played first: a picture or a sound.

    In formats whose clock begins at 0, a start before it is what an encoder needs to get going,
    and is not played.

    Raises:
        MediaError: The file can't be opened.
    """
    with open_source(path) as container:
        heard = sound_streams(container)[:1]
        seen = (*picture_streams(container), *container.streams.audio)
        starts = [_start(stream) for stream in seen if stream not in heard]
        starts += [_first_heard(container, stream) for stream in heard]
        zero = min((start for start in starts if start is not None), default=Fraction(0))
        running = _RUNNING & set(container.format.name.split(","))
        return zero if zero > 0 or running else Fraction(0)


def _start(stream: av.stream.Stream) -> Fraction | None:
    """When a stream begins, by the header."""
    if stream.start_time is None or stream.time_base is None:
        return None
    return stream.start_time * stream.time_base


def _first_heard(container: av.container.InputContainer, stream: AudioStream) -> Fraction | None:
    """When the first sample that a decoder gives is heard.

    The header may count what only gets the decoder going, such as the first packet of Vorbis, and
    may count it wrong (findings/matroska_opus_start_time_is_late.sh).
    """
    only(container, stream)
    try:
        for packet in container.demux(stream):
            for frame in stream.decode(packet):
                if frame.pts is not None and frame.time_base is not None:
                    return frame.pts * frame.time_base
    except av.error.FFmpegError:  # whoever decodes the whole says where it is damaged
        pass
    return _start(stream)


def longest_step(container: av.container.InputContainer) -> int:
    """Seconds that may pass from one picture to the next.

    Where clocks may start anew on the way, ffmpeg takes steps of more than 10 s for that.
    """
    restarting = _RESTARTING & set(container.format.name.split(","))
    return _RESTART_SECONDS if restarting else MAX_SECONDS


def longest_silence(container: av.container.InputContainer) -> int:
    """Seconds that may pass without sound: it is filled up, and hours of it fill the memory."""
    return min(longest_step(container), _SILENCE_SECONDS)
