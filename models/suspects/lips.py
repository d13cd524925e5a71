"""Whether the lips do what single sounds of English need, and rest in silence."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.arrays import FrameMask, FrameValues, Seconds
from models.metrics.articulation import AROUND_S, Phone, least_within
from models.suspects.suspect import Suspect, places, weight

REST_OPEN = 0.6
"""Opening in silence, 0 the person's closed level and 1 the open one."""
REST_SPEED = 1.5
"""Speed of the lips in silence, as a share of the mean speed in speech."""
_SHORTEST_REST = 3
_JOINED = 3


@dataclass(frozen=True)
class Need:
    """What a group of sounds needs.

    Attributes:
        phones: ARPABET.
        kind: Of the suspects.
        measure: What must be small at some moment of the sound.
        limit: From which it is not; 0 the person's closed (narrow) level and 1 the open (wide) one.
        words: What a person reads.
    """

    phones: tuple[str, ...]
    kind: str
    measure: str
    limit: float
    words: str


NEEDS = (
    Need(("P", "B", "M"), "lips_open", "opening", 0.45, "lips {value:.1f} % of the face open"),
    Need(
        ("F", "V"),
        "no_teeth",
        "opening",
        0.5,
        "lower lip {value:.1f} % of the face below the upper one, no teeth on it,",
    ),
    Need(
        ("W", "UW", "OW"),
        "no_rounding",
        "width",
        0.75,
        "mouth {value:.1f} % of the face wide, not rounded,",
    ),
    Need(("S", "Z"), "wide_hiss", "opening", 0.8, "lips {value:.1f} % of the face open"),
)


def needed(
    need: Need,
    values: FrameValues,
    between: tuple[float, float],
    seconds: Seconds,
    phones: Sequence[Phone],
    labels: Sequence[str],
) -> list[Suspect]:
    """Sounds at which a measure never comes down as it must.

    Args:
        need: What is needed.
        values: the measure [face heights], NaN without a face.
        between: the person's `models.metrics.articulation.levels`.
        seconds: when each row is shown.
        phones: of the speech, on the same clock.
        labels: ARPABET, of each.
    """
    low, high = between
    chosen = [(p, label) for p, label in zip(phones, labels, strict=True) if label in need.phones]
    relative = np.asarray((values - low) / max(high - low, 1e-6), np.float32)
    least = least_within(relative, seconds, [phone for phone, _ in chosen])
    found = []
    for (phone, label), value in zip(chosen, least, strict=True):
        if not value > need.limit:  # NaN: not seen
            continue
        first, last = np.searchsorted(seconds, [phone.start - AROUND_S, phone.stop + AROUND_S])
        told = need.words.format(value=100 * (low + float(value) * (high - low)))
        reason = f"{told} during /{label.lower()}/ at {phone.start:.2f} s"
        found.append(
            Suspect(need.kind, int(first), int(last), weight(float(value) / need.limit), reason)
        )
    return found


def restless(
    relative: FrameValues,
    speed: FrameValues,
    silent: FrameMask,
    sounding: FrameMask,
    seconds: Seconds,
) -> list[Suspect]:
    """Runs of rows that lie well in silence and show a mouth that moves, or stands open.

    Args:
        relative: opening, 0 the person's closed level and 1 the open one; NaN without a face.
        speed: of the lips; NaN where unknown.
        silent: the row lies well within silence.
        sounding: speech sounds at the row.
        seconds: when each row is shown.
    """
    usual = speed[sounding & np.isfinite(speed)]
    share = speed / usual.mean() if len(usual) and usual.mean() > 0 else np.zeros_like(speed)
    within = silent & np.append(False, silent[:-1])
    moving = np.where(within, np.nan_to_num(share) / REST_SPEED, 0)
    ratio = np.maximum(moving, np.where(silent, np.nan_to_num(relative) / REST_OPEN, 0))

    def say(start: int, row: int, value: float) -> str:
        what = (
            f"lips move {share[row]:.1f} times as fast as in speech"
            if moving[row] == ratio[row]
            else f"mouth {100 * relative[row]:.0f} % of this person's range open"
        )
        return f"{what} in silence at {seconds[row]:.2f} s"

    lasting = {"joined": _JOINED, "shortest": _SHORTEST_REST}
    return places("silence", ratio > 1, np.asarray(ratio, np.float32), 1.0, say, **lasting)
