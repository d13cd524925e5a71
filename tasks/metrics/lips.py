"""Family `lips`: moving lips beside the true ones, steadiness, and the mouth in silence.

All from landmarks, head pose taken out for the lips, so that neither size nor colour counts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.faces.mesh.indices import JAW, RIGID
from models.metrics.lips import (
    acceleration,
    at_seconds,
    distance,
    levels_db,
    neighbours,
    silent_and_sounding,
    speed,
    velocity,
)
from models.metrics.metric import Metric
from models.speech_to_lips.neutral import CLOSED_FRACTION, opening
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import Schema, series
from tasks.engine.stage import Made, stage
from tasks.metrics.family import Comparison, Family
from tasks.source.timeline import load_timeline

Array = NDArray[np.float32]

MIN_FRAMES = 5
"""Fewer frames give no figure."""
SAME_RATE = 0.05
"""Frame rates that differ by more than this share have accelerations that do not compare."""
_READ_ROWS = 512
_SAMPLE_BLOCK = 1 << 20

_LIPS = (
    "Of the 40 lip points (20 outer, 20 inner) of the 478-point face mesh, smoothed within scenes, "
    "in x and y of canonical coordinates (head pose taken out by 23 points that speech hardly "
    "moves; unit: the mean face's height from forehead to chin)."
)
_PAIRED = (
    "The reference's points are taken at the times of the result's frames, linear between frames."
)
_SILENCE = (
    "Silence and speech come from the waveform alone: in windows of 20 ms, silence lies 35 dB or "
    "more under the 95th percentile of levels or under -60 dB of full scale, with nothing louder "
    "from 0.24 s before to 0.2 s after; speech lies within 25 dB of that percentile."
)

LIP_DISTANCE = Metric(
    "lip_distance",
    "Lip distance",
    "lower",
    f"Mean distance between the result's and the reference's lips; paired clips only. {_LIPS} "
    f"{_PAIRED}",
    "After IP-LAP (Zhong et al. 2023), LipLMD; there on another set of landmarks and scale.",
    unit="% of face height",
)
LIP_VELOCITY = Metric(
    "lip_velocity",
    "Lip velocity error",
    "lower",
    f"Mean size of the difference between the lips' velocities, from each frame to the next, in "
    f"result and reference; paired clips only. {_LIPS} {_PAIRED}",
    "After Chen et al. 2019 (landmark velocity difference); own landmarks and scale.",
    unit="% of face height / s",
)
JITTER = Metric(
    "jitter",
    "Head jitter",
    "lower",
    "Mean acceleration of 23 rigid points of the face (eye corners, nose bridge, forehead, "
    "temples) in image x and y over the face's height, of the result over the reference's; 1 is "
    "as steady as the source. The mesh is smoothed within scenes, which dampens both alike.",
    "Own definition.",
)
JITTER_MOUTH = Metric(
    "jitter_mouth",
    "Mouth acceleration",
    "none",
    "Mean acceleration of the lip points, of the result over the reference's; 1 is as lively as "
    f"the source, far above it the mouth trembles, far below it hardly moves. {_LIPS}",
    "Own definition.",
)
LIP_LEAK = Metric(
    "lip_leak",
    "Mouth motion in silence",
    "lower",
    "Mean speed of the result's lip points while the new speech is silent, as a share of that "
    f"while it sounds: 0 rests, 1 moves as much as in speech. {_SILENCE} {_LIPS}",
    "Own definition, after the idea of lip leakage: lips that go on with the source's speech.",
)
SILENCE_OPENING = Metric(
    "silence_opening",
    "Opening in silence",
    "lower",
    "Mean distance between the middle inner lip points of the result while the new speech is "
    "silent, beyond the person's own closed level (mean of the most closed fifth of the "
    f"reference's frames): 0 is closed as this person closes, below 0 tighter. {_SILENCE}",
    "Own definition.",
    unit="% of face height",
)
METRICS = (LIP_DISTANCE, LIP_VELOCITY, JITTER, JITTER_MOUTH, LIP_LEAK, SILENCE_OPENING)

SCHEMA = Schema(
    "metrics_lips",
    {m.name: series(f"{m.title}; NaN where not defined", m.unit) for m in METRICS},
    {},
    "Per frame of the result; the mean of the numbers is the clip's value.",
)


@dataclass(frozen=True)
class _Face:
    """Of one video.

    Attributes:
        seconds: (frame,) from the first frame.
        clock: (frame,) of the container, as the sound's.
        valid: (frame,) the face is seen.
        joined: (frame,) of `models.metrics.lips.neighbours`.
        lips: (frame, 40, 2) canonical.
        rigid: (frame, 23, 2) of the image, in median face heights.
        opening: (frame,) of the inner lips.
    """

    seconds: NDArray[np.float64]
    clock: NDArray[np.float64]
    valid: NDArray[np.bool_]
    joined: NDArray[np.bool_]
    lips: Array
    rigid: Array
    opening: Array

    @property
    def step(self) -> float:
        """Usual time between frames [s]."""
        return float(np.median(np.diff(self.seconds))) if len(self.seconds) > 1 else 0.0


@stage(SCHEMA, version=1)
def lips(
    result: Artifact,
    result_timeline: Artifact,
    *,
    reference: Artifact,
    reference_timeline: Artifact,
    speech: Artifact,
    paired: bool,
) -> Made:
    """All figures of the family.

    Args:
        result: Landmarks.
        reference: Landmarks.
        speech: Waveform that the result shall say.
        paired: The result should equal the reference.
    """
    made, source = _face(result, result_timeline), _face(reference, reference_timeline)
    frames = {m.name: np.full(len(made.seconds), np.nan, np.float32) for m in METRICS}
    reasons: dict[str, str] = {}
    if paired:
        _beside_truth(made, source, frames)
    else:
        for metric in (LIP_DISTANCE, LIP_VELOCITY):
            reasons[metric.name] = "the reference says something else: there is no truth"
    _steadiness(made, source, frames, reasons)
    _in_silence(made, source, speech, frames, reasons)
    values: dict[str, float | None] = {}
    for name, array in frames.items():
        known = np.isfinite(array)
        enough = name not in reasons and known.sum() >= MIN_FRAMES
        values[name] = float(array[known].mean(dtype=np.float64)) if enough else None
        if not enough:
            seen = f"only {known.sum()} frames where it can be measured"
            reasons.setdefault(name, _no_face(made, source) or seen)
            array[:] = np.nan
    return Made(frames, {"values": values, "reasons": reasons})


def _face(landmarks: Artifact, timeline: Artifact) -> _Face:
    clip = load_timeline(timeline)
    valid, mouth = landmarks.read("valid"), landmarks.read("mouth")
    scale = landmarks.read("scale")
    usual = float(np.median(scale[valid])) if valid.any() else 1.0
    blocks = [
        landmarks.read("landmarks", start, min(start + _READ_ROWS, len(valid)))[:, list(RIGID), :2]
        for start in range(0, len(valid), _READ_ROWS)
    ]
    clock = clip.seconds
    return _Face(
        seconds=clock - clock[0],
        clock=clock,
        valid=valid,
        joined=neighbours(clock, valid=valid, scene_start=clip.scene_start),
        lips=mouth[:, len(JAW) :, :2],
        rigid=np.asarray(np.concatenate(blocks) / usual, np.float32),
        opening=opening(mouth),
    )


def _no_face(made: _Face, source: _Face) -> str | None:
    for face, name in ((made, "result"), (source, "reference")):
        if face.valid.sum() < MIN_FRAMES:
            return f"no face in the {name}"
    return None


def _beside_truth(made: _Face, source: _Face, frames: dict[str, Array]) -> None:
    truth = at_seconds(source.lips, source.seconds, source.joined, source.valid, made.seconds)
    off = np.where(made.valid, distance(made.lips, truth), np.nan)
    wrong = velocity(made.lips, made.seconds, made.joined)
    wrong -= velocity(truth, made.seconds, made.joined)
    frames[LIP_DISTANCE.name] = (100 * off).astype(np.float32)
    frames[LIP_VELOCITY.name] = 100 * np.linalg.norm(wrong, axis=-1).mean(-1)


def _steadiness(
    made: _Face, source: _Face, frames: dict[str, Array], reasons: dict[str, str]
) -> None:
    for metric, points in ((JITTER, "rigid"), (JITTER_MOUTH, "lips")):
        own, usual = (
            acceleration(getattr(face, points), face.seconds, face.joined)
            for face in (made, source)
        )
        known = np.isfinite(usual)
        if known.sum() < MIN_FRAMES:
            continue
        if abs(made.step - source.step) > SAME_RATE * source.step:
            reasons[metric.name] = (
                f"the result shows {1 / made.step:.4g} frames a second, the reference "
                f"{1 / source.step:.4g}: their accelerations do not compare"
            )
        elif usual[known].mean() < 1e-6:
            reasons[metric.name] = "the reference does not move"
        else:
            frames[metric.name] = own / usual[known].mean()


def _in_silence(
    made: _Face, source: _Face, speech: Artifact, frames: dict[str, Array], reasons: dict[str, str]
) -> None:
    silent, sounding = silent_and_sounding(_levels(speech), made.clock)
    moving = speed(made.lips, made.seconds, made.joined)
    known = np.isfinite(moving)
    quiet = silent & made.valid
    if made.valid.sum() >= MIN_FRAMES and quiet.sum() < MIN_FRAMES:
        for metric in (LIP_LEAK, SILENCE_OPENING):
            reasons[metric.name] = f"only {quiet.sum()} frames with a face lie in silence"
        return
    if source.valid.sum() >= MIN_FRAMES:
        own = np.sort(source.opening[source.valid])
        closed = own[: max(1, round(CLOSED_FRACTION * len(own)))].mean()
        wide = 100 * (made.opening - closed)
        frames[SILENCE_OPENING.name] = np.where(quiet, wide, np.nan).astype(np.float32)
    usual = moving[known & sounding]
    if len(usual) < MIN_FRAMES or usual.mean() < 1e-6:
        if made.valid.sum() >= MIN_FRAMES:
            reasons[LIP_LEAK.name] = (
                "speech sounds in too few frames with a face"
                if len(usual) < MIN_FRAMES
                else "the mouth does not move while speech sounds"
            )
        return
    # Silence begins and ends between frames: both frames of a step must lie in it.
    rest = silent & np.append(False, silent[:-1])
    frames[LIP_LEAK.name] = np.where(rest & known, moving / usual.mean(), np.nan).astype(np.float32)


def _levels(speech: Artifact) -> NDArray[np.float64]:
    rate, total = int(speech.attributes["rate_hz"]), speech.sizes["sample"]
    length = _SAMPLE_BLOCK // rate * rate
    parts = [
        levels_db(speech.read("sample", start, min(start + length, total)), rate)
        for start in range(0, total, length)
    ]
    return np.concatenate(parts) if parts else np.zeros(0)


def measure(comparison: Comparison) -> Artifact:
    """The family's artifact of one comparison."""
    result, reference = comparison.result, comparison.reference
    return lips(
        result.landmarks,
        result.timeline,
        reference=reference.landmarks,
        reference_timeline=reference.timeline,
        speech=comparison.speech,
        paired=comparison.paired,
    )


FAMILY = Family("lips", "speech", METRICS, measure)
