"""Whether a mouth does what single sounds of English need: closes, rounds, lifts the lower lip.

Each class of sounds has a measure of the mouth that comes down at some moment of the sound. What is
down is told by the person's own levels, so that neither size nor habit counts, and a share of the
sounds says little without what the same sounds give at other times (`by_chance`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from models.arrays import FrameValues, Mouths, Seconds
from models.faces.mesh.indices import JAW, LOWER_INNER_LIP, MOUTH, OUTER_LIP
from models.speech_to_lips.neutral import opening

AROUND_S = 0.04
"""So much before and after a phone counts as part of it: alignments are not exact [s]."""
LOW_QUANTILE, HIGH_QUANTILE = 0.02, 0.95
_SHIFTS = 9
_NEAREST_SHIFT_S = 0.4
_LEFT, _RIGHT = len(JAW), len(JAW) + len(OUTER_LIP) // 2
_LOWER, _CHIN = MOUTH.index(LOWER_INNER_LIP), MOUTH.index(152)


@dataclass(frozen=True)
class Phone:
    """A sound, from `start` to `stop` [s]."""

    start: float
    stop: float


def width(mouth: Mouths) -> FrameValues:
    """Distance between the corners of the mouth [face heights]."""
    apart = mouth[:, _RIGHT, :2] - mouth[:, _LEFT, :2]
    return np.asarray(np.linalg.norm(apart, axis=-1), np.float32)


def lower_lip(mouth: Mouths) -> FrameValues:
    """How low the lower lip's inner edge is in the head: canonical y [face heights].

    The upper teeth, which no mesh shows, stand still in the head: the lip is as far from them as it
    is low. What the upper lip does makes no difference.
    """
    return np.asarray(mouth[:, _LOWER, 1], np.float32)


def chin(mouth: Mouths) -> FrameValues:
    """How low the chin is in the head: canonical y [face heights]; teeth part as it goes down."""
    return np.asarray(mouth[:, _CHIN, 1], np.float32)


@dataclass(frozen=True)
class SoundClass:
    """Sounds that need the same of a mouth.

    Attributes:
        name: Of its metrics.
        phones: In ARPABET.
        measure: Of mouths, (frame,) [face heights]; small where the need is met.
        limit: Met from here down: 0 is the person's low level of the measure, 1 the high one.
        need: For people.
        how: What is measured.
    """

    name: str
    phones: tuple[str, ...]
    measure: Callable[[Mouths], FrameValues]
    limit: float
    need: str
    how: str

    @property
    def listed(self) -> str:
        """The phones, as in "p b m"."""
        return " ".join(self.phones).lower()


CLASSES = (
    SoundClass(
        "closure",
        ("P", "B", "M"),
        opening,
        0.2,
        "Lips closed",
        "the distance of the middle inner lip points",
    ),
    SoundClass(
        "labiodental",
        ("F", "V"),
        lower_lip,
        0.3,
        "Lower lip up at the teeth",
        "how low the middle of the lower lip's inner edge is in the head, where the upper teeth, "
        "which the mesh does not show, stand still; lips pressed together meet it too",
    ),
    SoundClass(
        "sibilant",
        ("S", "Z"),
        chin,
        0.3,
        "Teeth nearly closed",
        "how low the chin is in the head, as the mesh shows no teeth; the lips may be open",
    ),
    SoundClass(
        "rounding",
        ("W", "UW", "OW"),
        width,
        0.2,
        "Mouth rounded",
        "the distance between the corners of the mouth",
    ),
)
"""Measures and limits are those that set real speakers' sounds best apart from chance, on the
training clips (`python -m benchmarks.articulation --split train`)."""


def levels(values: FrameValues) -> tuple[float, float]:
    """The person's low and high level of a measure, from frames with a face."""
    low, high = np.quantile(values, [LOW_QUANTILE, HIGH_QUANTILE])
    return float(low), float(high)


def least_within(
    values: FrameValues, seconds: Seconds, phones: list[Phone]
) -> Float32[np.ndarray, " phone"]:
    """The least value within each phone; NaN where no frame with a face falls into it.

    Args:
        values: of a measure; NaN without a face.
        seconds: presentation times, ascending.
        phones: On the same clock.
    """
    least = np.full(len(phones), np.nan, np.float32)
    for row, phone in enumerate(phones):
        first, last = np.searchsorted(seconds, [phone.start - AROUND_S, phone.stop + AROUND_S])
        seen = values[first:last]
        if np.isfinite(seen).any():
            least[row] = np.nanmin(seen)
    return least


def by_chance(
    values: FrameValues, seconds: Seconds, phones: list[Phone]
) -> Float32[np.ndarray, " moved"]:
    """`least_within` by chance: all phones moved by each of nine shifts, around the clip's end."""
    begin, end = float(seconds[0]), float(seconds[-1])
    length = end - begin
    found = []
    for shift in np.linspace(_NEAREST_SHIFT_S, max(length - _NEAREST_SHIFT_S, 0), _SHIFTS):
        starts = [begin + (phone.start + shift - begin) % max(length, 1e-9) for phone in phones]
        moved = [Phone(s, s + p.stop - p.start) for s, p in zip(starts, phones, strict=True)]
        found.append(least_within(values, seconds, moved))
    return np.concatenate(found)
