"""How this speaker moves the mouth, learnt from the source's own speech."""

import numpy as np

from models.audio.mel import COLUMNS_PER_SECOND
from models.speech_to_lips.adapter import Adapter
from models.speech_to_lips.neutral import neutral_mouth, opening_scale
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from tasks.engine.stage import Made, stage
from tasks.source.timeline import load_timeline
from tasks.speech.lips_model import lips_model

SPEAKER = Schema(
    "speaker",
    {
        "neutral": ArraySpec(
            ("mouth_point", "xyz"), "float32", "face heights", "closed, relaxed mouth, canonical"
        ),
        "scale": ArraySpec(("one",), "float32", "", "opening, as a factor of the usual person's"),
        "weight": ArraySpec(("feature", "component"), "float32", "", "correction of the model"),
        "bias": ArraySpec(("component",), "float32", "", "correction of the model"),
    },
    {"xyz": 3},
    "What the source shows of the speaker's own way to move the mouth.",
)


@stage(SPEAKER, version=3)
def speaker(
    landmarks: Artifact,
    timeline: Artifact,
    *,
    mel: Artifact | None,
    features: Artifact | None,
    model: str,
) -> Made:
    """Neutral mouth and opening scale; and the model's fit to the speaker's own speech.

    Args:
        mel: Of the source's own sound; None without.
        features: `speech_features` of the same sound.
        model: `model_key()`, so that the result follows the weights.
    """
    from models.speech_to_lips.adapt import MAX_SECONDS, adapt
    from models.speech_to_lips.recordings import at_ticks
    from models.whisper.encoder import STEPS_PER_SECOND

    valid, mouth = landmarks.read("valid"), landmarks.read("mouth")
    neutral = neutral_mouth(mouth[valid])
    scale = opening_scale(mouth[valid], neutral)
    network = lips_model()
    plain = Adapter.plain(network.size, scale=scale)
    facts: dict[str, object] = {"adapted": False, "reason": "no own speech was given"}
    adapter = plain
    if mel is not None and features is not None:
        times = load_timeline(timeline).seconds
        motion, seen = at_ticks(times[valid], (mouth - neutral)[valid])
        heard = MAX_SECONDS + 1  # what follows the last tick is seen, too
        found = adapt(
            network,
            mel.read("mel", 0, round(heard * COLUMNS_PER_SECOND)),
            speech=features.read("feature", 0, round(heard * STEPS_PER_SECOND)),
            motion=motion,
            seen=seen,
            scale=scale,
        )
        adapter = found.adapter
        facts = {
            "adapted": not adapter.is_plain,
            "reason": found.reason,
            "lag_seconds": found.lag_seconds,
            "correlation": found.correlation,
            "error_before": found.error_before,
            "error_after": found.error_after,
        }
    arrays = adapter.to_arrays() | {"scale": np.reshape(adapter.scale, 1), "neutral": neutral}
    return Made(arrays, facts)
