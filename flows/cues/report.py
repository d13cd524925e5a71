"""What a report says of cues."""

from collections.abc import Sequence

from flows.cues.lines import Spoken
from flows.cues.picture import Part
from flows.dub_report import CueReport

_CUT_SECONDS = 0.05
"""Speech that lacks less than this at its end is not called cut."""


def cue_reports(lines: Sequence[Spoken]) -> list[CueReport]:
    """Rows of the sheet, in its order; none of a dub without one."""
    return [
        CueReport(
            row=each.cue.row,
            face=each.cue.name or each.cue.face,
            start=round(float(each.cue.start), 6),
            end=round(float(each.cue.start) + each.seconds, 6),
            frames=each.rows,
            speech=each.cue.speech,
            take=each.cue.take,
            text=each.cue.text,
            stretch=each.stretch,
            over_seconds=each.over_seconds,
        )
        for each in lines
        if each.cue.row
    ]


def over_notes(lines: Sequence[Spoken]) -> list[str]:
    """Which rows have more speech than room."""
    return [
        f"row {each.cue.row}: its speech was cut, {each.over_seconds:.2f} s are over its end at "
        f"{float(each.cue.start) + each.seconds:.2f} s"
        + (
            f" though it was made {each.stretch:g} times as fast; move the row's end"
            if each.stretch > 1
            else "; --fit stretch:1.15 makes it up to that factor faster, or move the row's end"
        )
        for each in lines
        if each.cue.row and each.over_seconds >= _CUT_SECONDS
    ]


def changed_ranges(parts: Sequence[Part], before: set[str]) -> list[tuple[int, int]]:
    """Frames [start, stop) whose packets another run did not have, neighbours as one."""
    found: list[tuple[int, int]] = []
    for part in parts:
        if part.picture.key in before:
            continue
        joins = bool(found) and found[-1][1] == part.start
        start = found.pop()[0] if joins else part.start
        found.append((start, part.stop))
    return found
