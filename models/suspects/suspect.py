"""One place that deserves a look, and the classes of such places."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from models.arrays import FrameMask, FrameValues

CLASSES = {
    "no_face": "No face",
    "covered": "Covered mouth",
    "box_jump": "Box jump",
    "lips_open": "Lips open on p, b, m",
    "no_teeth": "No teeth on the lip on f, v",
    "no_rounding": "No rounding on w, u, o",
    "wide_hiss": "Wide open on s, z",
    "silence": "Motion in silence",
    "jump": "Jump between neighbours",
    "seam": "Seam",
    "identity": "Another's face",
    "sound": "Sound against picture",
}
"""Name → title, in the order in which dubbing studios check."""


@dataclass(frozen=True)
class Suspect:
    """A place that deserves a look.

    Attributes:
        kind: A name of CLASSES.
        start: Its first output row.
        stop: The row after its last.
        weight: 0..1: how far beyond its limit it lies, 0.2 at the limit.
        reason: One sentence with the numbers.
    """

    kind: str
    start: int
    stop: int
    weight: float
    reason: str


def weight(ratio: float) -> float:
    """Weight of a value that is so many times its limit: 0.2 at the limit, 0.6 at twice it."""
    return round(1 - 0.8 / max(ratio, 1.0), 3)


def runs(mask: FrameMask, *, joined: int = 0) -> list[tuple[int, int]]:
    """Runs [start, stop) where a mask holds; gaps of up to `joined` rows belong to a run."""
    rows = np.flatnonzero(mask)
    if not len(rows):
        return []
    parts = np.split(rows, np.flatnonzero(np.diff(rows) > joined + 1) + 1)
    return [(int(part[0]), int(part[-1]) + 1) for part in parts]


def peak(values: FrameValues, start: int, stop: int) -> tuple[int, float]:
    """Row and value of the largest number of some rows; NaN counts as none."""
    row = start + int(np.nanargmax(values[start:stop]))
    return row, float(values[row])


Say = Callable[[int, int, float], str]
"""(first row, row of the peak, value there) → the reason."""


def places(
    kind: str,
    over: FrameMask,
    values: FrameValues,
    limit: float,
    say: Say,
    *,
    joined: int = 0,
    shortest: int = 1,
) -> list[Suspect]:
    """Runs of rows as suspects, weighed by their peak.

    Args:
        kind: A name of CLASSES.
        over: rows at which something is wrong.
        values: how wrong; NaN counts as not at all.
        limit: of the values.
        say: puts a run in words.
        joined: as of `runs`.
        shortest: shorter runs are none.
    """
    found = []
    for start, stop in runs(over, joined=joined):
        if stop - start >= shortest:
            row, value = peak(values, start, stop)
            reason = say(start, row, value)
            found.append(Suspect(kind, start, stop, weight(value / limit), reason))
    return found


def heaviest(found: Sequence[Suspect]) -> list[Suspect]:
    """Heaviest first, then in time."""
    return sorted(found, key=lambda each: (-each.weight, each.start))
