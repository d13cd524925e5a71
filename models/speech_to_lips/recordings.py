"""Training examples from clips: one clock, one neutral mouth per person, lags taken out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float16, Float32
from numpy.typing import NDArray

from models.arrays import BandColumns, Mel, Mouth, Mouths, Seconds, TickMouths, TickValues
from models.speech_to_lips.lag import MIN_TICKS, Lag, find_lag, lag_curve, peak, shifted
from models.speech_to_lips.layout import (
    COLUMN_STEP,
    TICK_STEP,
    TICKS_PER_SECOND,
    InputFeatures,
    Level,
    speech_level,
)
from models.speech_to_lips.neutral import neutral_mouth, opening, opening_scale
from models.whisper.encoder import STEPS_PER_SECOND

_Array = NDArray[np.float32]

MIN_SEEN_TICKS = 10
"""Clips with a visible face in fewer ticks are left out."""
OWN_NEUTRAL_TICKS = 100
"""Shorter clips take the neutral mouth of all clips of their person: 4 s."""
LONGEST_GAP_SECONDS = 0.15
"""Ticks between frames further apart than this count as unseen."""
_SPARSE = 5
"""Every so many steps of features tell their level."""
MIN_SHORT_CLIPS = 5
"""A person with so many clips shares one lag: they were recorded and cut alike."""


@dataclass(frozen=True)
class Recording:
    """Sound and mouth of a clip.

    Attributes:
        name: of the file, for messages.
        person: who speaks.
        mel: -4..4.
        mouth: canonical MOUTH points at 25 Hz.
        seen: 1 where the face was seen, else 0.
        speech: features of the sound; None where no network takes them.
    """

    name: str
    person: str
    mel: Mel
    mouth: TickMouths
    seen: TickValues
    speech: Float16[np.ndarray, "step 512"] | None = None


@dataclass(frozen=True)
class Example:
    """One clip, ready for training and for figures.

    Attributes:
        person: who speaks.
        inputs: the network's input features, levelled.
        motion: displacement from neutral over the person's opening scale, canonical, lag taken out.
        weight: 0 where the face was not seen well, else 1.
        neutral: canonical.
        scale: the person's opening scale.
        recording: what it came from.
    """

    person: str
    inputs: BandColumns
    motion: TickMouths
    weight: TickValues
    neutral: Mouth
    scale: float
    recording: Recording


def cut(recording: Recording, start: int, stop: int) -> Recording:
    """Ticks [start, stop) of a recording and their sound; both are multiples of TICK_STEP."""
    first, last = start // TICK_STEP * COLUMN_STEP, stop // TICK_STEP * COLUMN_STEP
    speech, steps = recording.speech, STEPS_PER_SECOND // TICKS_PER_SECOND
    return replace(
        recording,
        mel=recording.mel[first:last],
        mouth=recording.mouth[start:stop],
        seen=recording.seen[start:stop],
        speech=None if speech is None else speech[start * steps : stop * steps],
    )


def at_ticks(times_seconds: Seconds, mouth: Mouths) -> tuple[TickMouths, TickValues]:
    """Mouth points of frames with a face, interpolated to 25 Hz, and which ticks are seen (1 or 0).

    Args:
        times_seconds: presentation times from the start of the sound, ascending.
        mouth: canonical.
    """
    n = int(times_seconds[-1] * TICKS_PER_SECOND + 1e-6) + 1
    tick = np.arange(n) / TICKS_PER_SECOND
    if len(mouth) == 1:
        return np.repeat(mouth, n, 0), np.zeros(n, np.float32)
    after = np.clip(np.searchsorted(times_seconds, tick), 1, len(mouth) - 1)
    gap = times_seconds[after] - times_seconds[after - 1]
    part = np.clip((tick - times_seconds[after - 1]) / np.maximum(gap, 1e-6), 0, 1)
    weight = part.astype(np.float32)[:, None, None]
    points = (1 - weight) * mouth[after - 1] + weight * mouth[after]
    nearest = np.abs(times_seconds[np.stack([after - 1, after])] - tick).min(0)
    seen = (nearest < 0.05) & (gap < LONGEST_GAP_SECONDS)
    return points.astype(np.float32), seen.astype(np.float32)


def common_level(recordings: Sequence[Recording], input_features: InputFeatures) -> Level:
    """The level of all recordings together, for a network of that `Size.input_features`.

    Raises:
        ValueError: recordings have no features, and the network takes them.
    """
    if input_features == "mel":
        zero = np.zeros(recordings[0].mel.shape[1], np.float32)
        means = [speech_level(r.mel, zero, prior=1e-3) for r in recordings]
        return Level(np.mean(means, 0).astype(np.float32))
    speech = [r.speech[::_SPARSE].astype(np.float64) for r in recordings if r.speech is not None]
    if not speech:
        raise ValueError("the recordings hold no features of their speech")
    every = np.concatenate(speech)
    spread = every.std(0) + 1e-3
    return Level(every.mean(0).astype(np.float32), spread.astype(np.float32))


def examples(
    recordings: Sequence[Recording], level: Level, *, lags: Mapping[str, float | None]
) -> list[Example]:
    """Recordings as training examples.

    Args:
        recordings: the clips; all of a person's together, for they share a neutral mouth.
        level: of `common_level`.
        lags: by name, how many ticks later the picture is than the sound; None leaves a clip out.
    """
    made = []
    for person in dict.fromkeys(r.person for r in recordings):
        own = [r for r in recordings if r.person == person and r.seen.sum() >= MIN_SEEN_TICKS]
        if not own:
            continue
        mouth = np.concatenate([r.mouth[r.seen > 0] for r in own])
        neutral = neutral_mouth(mouth)
        scale = opening_scale(mouth, neutral)
        for recording in own:
            lag = lags.get(recording.name, 0.0)
            if lag is not None:
                made.append(_example(recording, level, neutral, scale, lag))
    return made


def _example(
    recording: Recording, level: Level, neutral: _Array, scale: float, lag: float
) -> Example:
    seen = recording.seen > 0
    if seen.sum() >= OWN_NEUTRAL_TICKS:
        neutral = neutral_mouth(recording.mouth[seen])
    motion = (shifted(recording.mouth, lag) - neutral) / np.float32(scale)
    weight = (shifted(recording.seen, lag) > 0.99).astype(np.float32)
    # Ticks that the shift took from beyond the clip's ends.
    at = np.arange(len(weight)) + lag
    weight[(at < -0.3) | (at > len(weight) - 0.7)] = 0
    return Example(
        recording.person,
        level(recording.mel, recording.speech),
        motion.astype(np.float32),
        weight,
        neutral,
        scale,
        recording,
    )


def estimate_lags(
    recordings: Sequence[Recording], predicted: Sequence[Float32[np.ndarray, " _"]]
) -> dict[str, float | None]:
    """Each recording's lag [ticks] by a first model, None where sound and picture don't fit.

    Clips too short to tell take their person's lag if there are many of them, else none.

    Args:
        recordings: the clips.
        predicted: mouth opening at each tick of each clip, from its sound [face heights].
    """
    lags: dict[str, float | None] = {}
    for person in dict.fromkeys(r.person for r in recordings):
        own = [(r, p) for r, p in zip(recordings, predicted, strict=True) if r.person == person]
        curves = [_curve(r, p) for r, p in own]
        if len(own) >= MIN_SHORT_CLIPS:
            common = float(np.clip(peak(np.mean(curves, 0)), -1, 1)) * len(own) / (len(own) + 3)
            lags.update({r.name: common for r, _ in own})
            continue
        for (recording, opened), curve in zip(own, curves, strict=True):
            lags[recording.name] = _own_lag(recording, opened, curve)
    return lags


def _curve(recording: Recording, predicted: _Array) -> NDArray[np.float64]:
    n = min(len(predicted), len(recording.mouth))
    return lag_curve(predicted[:n], opening(recording.mouth)[:n], recording.seen[:n])


def _own_lag(recording: Recording, predicted: _Array, curve: NDArray[np.float64]) -> float | None:
    n = min(len(predicted), len(recording.mouth))
    if recording.seen[:n].sum() < MIN_TICKS:
        return 0.0 if curve[len(curve) // 2] > 0 else None
    found: Lag = find_lag(predicted[:n], opening(recording.mouth)[:n], seen=recording.seen[:n])
    if found.correlation < 0.2:
        return None
    if not found.reliable:
        return 0.0
    # A small lag is half chance: believe half of it.
    return found.ticks * (0.5 if abs(found.ticks) < 1 else 1.0)
