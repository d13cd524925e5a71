"""Cues laid along the output: which frames each is seen in, and what of its speech is heard."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flows.cues.sheet import Cue, read_sheet, shown
from flows.cues.sound import Heard, sound_format
from flows.cues.times import Clock
from flows.settings import DubSettings
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.errors import InputError
from stores.media.source import probe
from stores.media.timecode import advanced, header_clock, usual_rate
from stores.media.timeline import Timeline
from tasks.engine.run import told_as
from tasks.result.output_frames import STILL_RATE, Length, Showing
from tasks.result.settings import Line, Placed
from tasks.result.voices import voices
from tasks.speech.spoken import spoken
from tasks.speech.waveform import waveform

_FITS_SECONDS = 0.02
"""Speech longer than its cue by less than this needs no stretching."""


def cues_of(settings: DubSettings) -> list[Cue]:
    """The cues of a dub; one speech file for one face is a sheet of one row.

    Raises:
        InputError: the sheet can't be used; names row and column.
    """
    if settings.audio is not None:
        return [Cue(0, Fraction(0), None, settings.face, settings.audio)]
    header = probe(settings.video)
    clock, seconds = Clock(Fraction(25)), None
    if header.kind == "video":
        rate, label = header_clock(settings.video)
        begin = settings.sync.start_seconds or 0.0
        clock = Clock(usual_rate(rate), advanced(label, begin, usual_rate(rate)))
        if header.seconds is not None:
            seconds = min(header.seconds, settings.sync.end_seconds or header.seconds) - begin
    return read_sheet(settings.cues, clock, face=settings.face, seconds=seconds)


@dataclass(frozen=True)
class Spoken:
    """A cue in the output; of a gap that is closed, one of silence.

    Attributes:
        cue: As the sheet has it.
        heard: Its speech; None: silence.
        rows: Output frames [start, stop) in which it is seen fully.
        reach: The same and those around in which it fades.
        fade: Over how many.
        lead_seconds: From the first frame's time of `reach` to the beginning of its speech.
        showing: The frames of `reach`, on the clock of its speech.
        seconds: Length of the span [s].
        stretch: How much faster the speech is than in the file.
        over_seconds: How much longer than the span it still is.
        whole: All of the file is heard, as it is.
    """

    cue: Cue
    heard: Heard | None
    rows: tuple[int, int]
    reach: tuple[int, int]
    fade: int
    lead_seconds: float
    showing: Showing
    seconds: float
    stretch: float = 1.0
    over_seconds: float = 0.0
    whole: bool = False

    @property
    def name(self) -> str:
        """For people."""
        return f"row {self.cue.row}" if self.heard else f"gap at frame {self.rows[0]}"

    def speech(self) -> Artifact:
        """What is heard while it is seen, as a waveform."""
        if self.whole and self.heard is not None:
            return self.heard.waveform
        return spoken(
            None if self.heard is None else self.heard.waveform,
            lead_seconds=round(self.lead_seconds, 6),
            offset_seconds=round(float(self.cue.offset), 6),
            seconds=round(self.seconds, 6),
            stretch=self.stretch,
        )

    def line(self, files: Sequence[Source]) -> Line:
        """It in the output's sound."""
        assert self.heard is not None
        return Line(
            source=files.index(self.heard.source),
            track=self.heard.track,
            start=round(float(self.cue.start), 9),
            seconds=round(self.seconds, 9),
            offset=round(float(self.cue.offset), 9),
            gain_db=self.cue.gain_db,
            stretch=self.stretch,
        )

    def placed(self, face: int, start: int) -> Placed:
        """It in the part of the output that begins at that frame."""
        first = self.reach[0]
        rows = self.rows[0] - first, self.rows[1] - first
        return Placed(face=face, first=start - first, start=rows[0], stop=rows[1], fade=self.fade)


@dataclass(frozen=True)
class Output:
    """The output's frames.

    Attributes:
        clip: Of the source.
        showing: Which frames are shown.
        length: Of the output.
        frames: Of `tasks.result.output_frames`.
    """

    clip: Timeline
    showing: Showing
    length: Length
    frames: Artifact

    def __len__(self) -> int:
        return self.showing.count

    @cached_property
    def pts(self) -> NDArray[np.int64]:
        """When each is shown [ticks]."""
        return self.frames.read("pts")

    def rows(self, start: Fraction, end: Fraction) -> tuple[int, int]:
        """Frames most of which lie in a span of time."""
        middles = (self.pts + np.append(self.pts[1:], self.length.end_pts)) / 2
        ticks = [float(each / self.clip.time_base) for each in (start, end)]
        first, stop = np.searchsorted(middles, ticks)
        return int(first), int(stop)

    def part(self, start: int, stop: int, zero: int) -> Showing:
        """Frames [start, stop), on a clock that begins at `zero` ticks."""
        if (start, stop, zero) == (0, len(self), 0):
            return self.showing
        count = stop - start
        if self.clip.still:
            return Showing(count=count, zero=zero - int(self.pts[start]))
        first, since = self.showing.first + start, self.showing.zero + zero
        return Showing(first=first, frames=count, count=count, zero=since)


def laid_along(
    settings: DubSettings, cues: Sequence[Cue], heard: Sequence[Heard], output: Output
) -> list[Spoken]:
    """Each cue in the output.

    Args:
        heard: The speech of each cue.

    Raises:
        InputError: a cue is beyond the end, or too short to be seen; names row and column.
    """
    return [
        _laid(settings, cue, speech, output, _own_seconds(cue, speech, cues))
        for cue, speech in zip(cues, heard, strict=True)
    ]


def _own_seconds(cue: Cue, heard: Heard, cues: Sequence[Cue]) -> float:
    """What a cue has of its file: up to its end, or to where another cue begins in it."""
    later = [float(c.offset) for c in cues if c.speech == cue.speech and c.offset > cue.offset]
    return min([heard.seconds, *later]) - float(cue.offset)


def _laid(
    settings: DubSettings, cue: Cue, heard: Heard | None, output: Output, long: float = 0.0
) -> Spoken:
    tick, end = output.clip.time_base, output.length.end_pts
    if cue.end is None:
        every, seconds = (0, len(output)), float(end * tick)
        return Spoken(cue, heard, every, every, 0, 0.0, output.showing, seconds, whole=True)
    rate = output.clip.video.rate if not output.clip.still else Fraction(STILL_RATE)
    span_end = min(cue.end, end * tick)
    rows = output.rows(cue.start, span_end)
    if cue.end > end * tick + 1 / rate:
        _refuse(settings, cue, "end", f"{shown(cue.end)} is beyond the end at {shown(end * tick)}")
    if rows[0] >= rows[1]:
        _refuse(settings, cue, "end", "no frame of the output lies in the cue")
    fade = round(settings.cues.fade_seconds * rate)
    reach = max(0, rows[0] - fade), min(len(output), rows[1] + fade)
    zero = min(round(cue.start / tick), int(output.pts[reach[0]]))
    lead = float(cue.start - zero * tick)
    seconds = float(span_end - cue.start)
    stretch, over, whole = 1.0, 0.0, False
    if heard is not None:
        if long > seconds + _FITS_SECONDS:
            stretch = round(min(long / seconds, settings.cues.fastest), 6)
        over = max(0.0, round(long / stretch - seconds, 3))
        whole = stretch == 1 and not (cue.offset or lead) and heard.seconds <= seconds
    return Spoken(
        cue,
        heard,
        rows,
        reach,
        fade,
        lead,
        output.part(*reach, zero),
        seconds,
        stretch,
        over,
        whole,
    )


def _refuse(settings: DubSettings, cue: Cue, column: str, what: str) -> None:
    raise InputError(f"{settings.cues.sheet}: row {cue.row}, column {column}: {what}")


def with_gaps(settings: DubSettings, lines: Sequence[Spoken], output: Output) -> list[Spoken]:
    """With silence between the cues of each face where its mouth is to be closed there."""
    found = list(lines)
    tick, end = output.clip.time_base, output.length.end_pts
    for face in dict.fromkeys(each.cue.face for each in lines):
        of_face = sorted((s for s in lines if s.cue.face == face), key=lambda s: s.rows)
        edges = [(0, 0), *(each.rows for each in of_face), (len(output), len(output))]
        times = np.append(output.pts, end)
        for (_, start), (stop, _) in pairwise(edges):
            if start < stop and settings.cues.gaps == "closed":
                first, last = (int(times[row]) * tick for row in (start, stop))
                silent = Cue(0, first, last, face, Path())
                found.append(_laid(settings, silent, None, output))
    return found


def spoken_file(
    settings: DubSettings, lines: Sequence[Spoken], heard: Sequence[Heard]
) -> tuple[Source, int | None]:
    """A file with all speech of the output from its time 0 on, and the number of its track."""
    alone = len(lines) == 1 and lines[0].whole
    if alone and not (lines[0].cue.start or lines[0].cue.gain_db or settings.bed):
        return heard[0].source, heard[0].track
    files = [each.source for each in heard]
    facts = sound_format(settings, [each.path for each in files])
    made = voices(
        tuple(files),
        lines=tuple(line.line(files) for line in lines if line.heard is not None),
        rate=facts.rate,
        channels=facts.channels,
        layout=facts.layout,
    )
    source = Source.known(made.file(made.attributes["file"]))
    with told_as("speech"):
        waveform(source)  # for who looks at the dub
    return source, None
