"""How the mouth shall move for the new speech."""

import numpy as np
from numpy.typing import NDArray

from models.faces.mesh.indices import MOUTH
from models.speech_to_lips.adapter import Adapter
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from tasks.engine.stage import Made, stage
from tasks.source.timeline import load_timeline
from tasks.speech.lips_model import TICKS_PER_SECOND, lips_model

MOTION = Schema(
    "motion",
    {
        "mouth": ArraySpec(
            ("frame", "mouth_point", "xyz"), "float32", "face heights", "wanted mouth, canonical"
        ),
        "neutral": ArraySpec(("mouth_point", "xyz"), "float32", "face heights", "closed mouth"),
    },
    {"mouth_point": len(MOUTH), "xyz": 3},
    "The mouth that speech asks for, one row per output frame.",
)


def adapter_of(speaker: Artifact) -> Adapter:
    """What fits the model to the speaker."""
    learnt = {name: speaker.read(name) for name in ("weight", "bias")}
    return Adapter.from_arrays(learnt | {"scale": speaker.read("scale").reshape(())})


@stage(MOTION, version=5)
def motion(
    mel: Artifact,
    features: Artifact,
    *,
    speaker: Artifact,
    expression: Artifact | None,
    output_frames: Artifact,
    timeline: Artifact,
) -> Made:
    """Predict the mouth from the new speech, at each output frame's time.

    Args:
        mel: Of the new speech.
        features: `speech_features` of it.
        expression: `lip_expression` of the source; None: speech alone shapes the lips.
    """
    from models.speech_to_lips.predict import LIVELY, predict_motion

    predicted = predict_motion(
        lips_model(),
        mel.read("mel"),
        speech=features.read("feature"),
        adapter=adapter_of(speaker),
        edge=LIVELY,
    )
    tick_seconds = float(load_timeline(timeline).time_base)
    times = output_frames.read("pts") * tick_seconds
    neutral = speaker.read("neutral")
    notes = []
    if not speaker.attributes["adapted"]:
        notes.append(f"not adapted to the speaker: {speaker.attributes['reason']}")
    mouth = at_times(predicted, times)
    mouth += neutral
    if expression is not None:
        mouth += expression.read("mouth")[output_frames.read("source_frame")]
    return Made({"mouth": mouth, "neutral": neutral}, {"notes": notes})


_FRAMES_AT_ONCE = 4000


def at_times(motion: NDArray[np.float32], seconds: NDArray[np.float64]) -> NDArray[np.float32]:
    """Motion (tick, 57, 3) at 25 Hz → (frame, 57, 3) at given times; none beyond its end."""
    ended = np.concatenate([motion, np.zeros((2, *motion.shape[1:]), np.float32)])
    last, mixed = len(ended) - 1, np.empty((len(seconds), *motion.shape[1:]), np.float32)
    for start in range(0, len(seconds), _FRAMES_AT_ONCE):
        part = slice(start, start + _FRAMES_AT_ONCE)
        position = np.clip(seconds[part] * TICKS_PER_SECOND, 0, None)
        left = np.floor(position).astype(np.int64)
        share = (position - left).astype(np.float32)[:, None, None]
        now, then = ended[np.minimum(left, last)], ended[np.minimum(left + 1, last)]
        mixed[part] = (1 - share) * now + share * then
    return mixed
