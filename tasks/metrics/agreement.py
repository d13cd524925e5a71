"""Family `agreement`: does the mouth move as the speech asks, without outside weights?"""

import numpy as np
from numpy.typing import NDArray

from models.metrics.metric import Metric
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from tasks.engine.stage import Made, stage
from tasks.metrics.family import Comparison, Family
from tasks.source.timeline import load_timeline
from tasks.speech.lips_model import listener_key, listening_model
from tasks.speech.mel import mel

Array = NDArray[np.float32]

_HOW = (
    "The motion that the shipped speech-to-lips model expects from the new speech against the "
    "motion seen in the result's landmarks (57 points of jaw and lips, head pose taken out, x, y "
    "and z), both 25 times a second: velocities of the model's first 8 components of motion, "
    "correlated over all of them at once."
)
_LAG = (
    "The lag at which correlation times the root of the ticks compared is highest, searched to "
    "0.8 s either way, a parabola through the peak; above 0 the picture is later than the sound. A "
    "steady offset of some hundredths of a second is the model's own: compare with the source."
)
_SOURCE = "Own definition; models/metrics/agreement.py, measured in benchmarks/agreement.py."

AGREEMENT = Metric(
    "agreement",
    "Agreement with the speech",
    "higher",
    f"{_HOW} At the lag where they fit best. -1..1. Real talkers mostly have 0.35 to 0.65; with "
    "the speech of someone else 5 s still find 0.2 to 0.3 at some lag, longer clips less.",
    _SOURCE,
)
IN_STEP = Metric(
    "agreement_in_step",
    "Agreement in step",
    "higher",
    f"{_HOW} With no lag: sound and picture as they are shown. -1..1.",
    _SOURCE,
)
LAG = Metric(
    "agreement_lag", "Lag of the picture", "zero", f"{_HOW} {_LAG}", _SOURCE, digits=3, unit="s"
)
LAG_FRAMES = Metric(
    "agreement_lag_frames",
    "Lag of the picture, frames",
    "zero",
    f"`agreement_lag` times the result's usual frame rate. {_LAG}",
    _SOURCE,
    digits=1,
    unit="frames",
)
CONFIDENCE = Metric(
    "agreement_confidence",
    "Confidence of the lag",
    "higher",
    "Chance that the lag is right within 0.04 s, 0..1, from the height of the peak and its lead "
    "over all others; fitted to pieces of 2 to 6 s of real talkers, half of them with the speech "
    "of someone else.",
    _SOURCE,
)
METRICS = (AGREEMENT, IN_STEP, LAG, LAG_FRAMES, CONFIDENCE)

SCHEMA = Schema(
    "metrics_agreement",
    {
        "curve": ArraySpec(
            ("lag",), "float32", "", "correlation at lags from -0.8 to 0.8 s by 0.04; NaN: unknown"
        )
    },
    {},
    "Agreement of seen and expected motion; no figures per frame.",
)


@stage(SCHEMA, version=2)
def agreement(landmarks: Artifact, timeline: Artifact, *, mel: Artifact, model: str) -> Made:
    """All figures of the family.

    Args:
        landmarks: Of the result.
        timeline: Of the result.
        mel: Of the speech, on the result's clock.
        model: `listener_key()`, so that the figures follow the weights.
    """
    from models.metrics.agreement import MAX_LAG_TICKS, agree

    valid = landmarks.read("valid")
    seconds = load_timeline(timeline).seconds
    step = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 1.0
    try:
        if not valid.any():
            raise ValueError("no face in the result")
        expected, motion, seen = motions(landmarks.read("mouth")[valid], seconds[valid], mel)
        found = agree(expected, motion, seen=seen)
    except ValueError as error:
        curve = np.full(2 * MAX_LAG_TICKS + 1, np.nan, np.float32)
        empty = {m.name: None for m in METRICS}
        reasons = {m.name: str(error) for m in METRICS}
        return Made({"curve": curve}, {"values": empty, "reasons": reasons})
    values: dict[str, float | None] = {
        AGREEMENT.name: found.correlation,
        IN_STEP.name: found.in_step,
        LAG.name: found.lag_seconds,
        LAG_FRAMES.name: found.lag_seconds / step,
        CONFIDENCE.name: found.confidence,
    }
    reasons = {}
    if not found.moves:
        for metric in (LAG, LAG_FRAMES, CONFIDENCE):
            values[metric.name] = None
            reasons[metric.name] = "the mouth does not move"
    return Made({"curve": found.curve.astype(np.float32)}, {"values": values, "reasons": reasons})


def motions(
    mouth: Array, seconds: NDArray[np.float64], mel: Artifact
) -> tuple[Array, Array, Array]:
    """Expected and seen motion (tick, component), and where it is seen (tick,), for `agree`.

    Args:
        mouth: (frame, 57, 3) canonical, frames with a face only.
        seconds: (frame,) their times on the speech's clock.
        mel: Of the speech.
    """
    from models.speech_to_lips.predict import predict_motion
    from models.speech_to_lips.recordings import at_ticks

    network = listening_model()
    basis = network.basis
    asked = predict_motion(network, mel.read("mel"))
    shown, seen = at_ticks(seconds, mouth)
    expected, motion = (m.reshape(len(m), -1) @ basis.T for m in (asked, shown))
    return expected, motion, seen


def measure(comparison: Comparison) -> Artifact:
    """The family's artifact of one comparison."""
    result = comparison.result
    return agreement(
        result.landmarks, result.timeline, mel=mel(comparison.speech), model=listener_key()
    )


FAMILY = Family("agreement", "speech", METRICS, measure)
