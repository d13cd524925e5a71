"""Which part of a video is read for the part that is dubbed."""

import re
from pathlib import Path

from stores.media.source import probe
from tasks.result.settings import SyncSettings
from tasks.source.span import Span

LEAST_SECONDS = 20.0
"""A part that is shorter is read with as much of its surroundings: mouths to borrow, and what is
usual for the speaker, are found there."""

_NEARLY_ALL = 0.8
"""Of a video: then all of it is read, which other parts of it have in common."""


def part_to_read(video: Path, sync: SyncSettings, face: str) -> Span | None:
    """From when on, and up to when [s], a video is read; None: all of it.

    Args:
        video: The file.
        sync: Which part is dubbed, and `read`.
        face: As `DubSettings.face`. Tracks are numbered as in the whole video, which is read for
            them; a place is within what is read.
    """
    if sync.read != "part":
        return None if sync.read == "whole" else Span(start=sync.read[0], stop=sync.read[1])
    length = probe(video).seconds
    given = sync.start_seconds, sync.end_seconds
    if not length or given == (None, None) or face.startswith("track:"):
        return None
    start, stop = sync.start_seconds or 0.0, min(sync.end_seconds or length, length)
    if start >= stop:
        return None  # whoever lays out the frames says so
    wider = max(0.0, LEAST_SECONDS - (stop - start)) / 2
    start, stop = start - wider, stop + wider
    if place := re.search(r"@(\d+(?:\.\d+)?)$", face):
        start, stop = min(start, float(place[1]) - 1), max(stop, float(place[1]) + 1)
    # What is over at one end is taken at the other.
    start, stop = start - max(0.0, stop - length), stop - min(0.0, start)
    start, stop = max(0.0, start), min(length, stop)
    if stop - start > _NEARLY_ALL * length:
        return None
    return Span(start=round(start, 3), stop=round(stop, 3))
