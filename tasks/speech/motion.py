"""How this speaker's mouth moves, and how it shall move for the new speech.

The network's modules are imported where they are used: importing torch costs seconds, which a run
served from the store does not have to spend.
"""

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from models.faces.mesh.indices import MOUTH
from models.speech_to_lips.adapter import Adapter
from models.speech_to_lips.neutral import neutral_mouth, opening_scale
from stores.artifacts.artifact import Artifact
from stores.artifacts.keys import file_key
from stores.artifacts.schema import ArraySpec, Schema
from stores.shipped import shipped_file
from tasks.engine.stage import Made, stage
from tasks.source.timeline import load_timeline

if TYPE_CHECKING:
    from models.speech_to_lips.network import SpeechToLips

TICKS_PER_SECOND = 25
"""Clock of the motion that the network predicts."""

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


def model_key() -> str:
    """Content key of the shipped weights: new weights make new motion."""
    return file_key(_weights_file("speech_to_lips"))


def listener_key() -> str:
    """The same of the weights that only listen."""
    return file_key(_weights_file("from_mel"))


@stage(SPEAKER, version=2)
def speaker(
    landmarks: Artifact,
    timeline: Artifact,
    mel: Artifact | None,
    speech: Artifact | None,
    model: str,
) -> Made:
    """Neutral mouth and opening scale; and the model's fit to the speaker's own speech.

    Args:
        mel: Of the source's own sound; None without.
        speech: Features of the same sound.
        model: `model_key()`, so that the result follows the weights.
    """
    from models.speech_to_lips.adapt import adapt
    from models.speech_to_lips.recordings import at_ticks

    valid, mouth = landmarks.read("valid"), landmarks.read("mouth")
    neutral = neutral_mouth(mouth[valid])
    scale = opening_scale(mouth[valid], neutral)
    network = lips_model()
    plain = Adapter.plain(network.size, scale=scale)
    facts: dict[str, object] = {"adapted": False, "reason": "no own speech was given"}
    adapter = plain
    if mel is not None and speech is not None:
        times = load_timeline(timeline).seconds
        motion, seen = at_ticks(times[valid], (mouth - neutral)[valid])
        found = adapt(
            network,
            mel.read("mel"),
            speech=speech.read("feature"),
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


@stage(MOTION, version=2)
def motion(
    mel: Artifact,
    speech: Artifact,
    speaker: Artifact,
    output_frames: Artifact,
    timeline: Artifact,
) -> Made:
    """Predict the mouth from the new speech, at each output frame's time.

    Args:
        mel: Of the new speech.
        speech: Features of it.
    """
    from models.speech_to_lips.predict import predict_motion

    learnt = {name: speaker.read(name) for name in ("weight", "bias")}
    adapter = Adapter.from_arrays(learnt | {"scale": speaker.read("scale").reshape(())})
    predicted = predict_motion(
        lips_model(), mel.read("mel"), speech=speech.read("feature"), adapter=adapter
    )
    tick_seconds = float(load_timeline(timeline).time_base)
    times = output_frames.read("pts") * tick_seconds
    neutral = speaker.read("neutral")
    notes = []
    if not speaker.attributes["adapted"]:
        notes.append(f"not adapted to the speaker: {speaker.attributes['reason']}")
    return Made(
        {"mouth": neutral + at_times(predicted, times), "neutral": neutral}, {"notes": notes}
    )


def at_times(motion: NDArray[np.float32], seconds: NDArray[np.float64]) -> NDArray[np.float32]:
    """Motion (tick, 57, 3) at 25 Hz → (frame, 57, 3) at given times; none beyond its end."""
    position = np.clip(seconds * TICKS_PER_SECOND, 0, None)
    left = np.floor(position).astype(np.int64)
    share = (position - left).astype(np.float32)[:, None, None]
    ended = np.concatenate([motion, np.zeros((2, *motion.shape[1:]), np.float32)])
    last = len(ended) - 1
    mixed = (1 - share) * ended[np.minimum(left, last)] + share * ended[np.minimum(left + 1, last)]
    return np.asarray(mixed, np.float32)


def _weights_file(name: str) -> Path:
    return shipped_file(f"models/speech_to_lips/{name}.safetensors")


def lips_model() -> "SpeechToLips":
    """The shipped network that decides how lips move; it hears Whisper's features."""
    return _model("speech_to_lips")


def listening_model() -> "SpeechToLips":
    """The shipped network that judges whether lips fit; it hears log-mel, and makes no mouth.

    So what is dubbed is not measured by what dubbed it.
    """
    return _model("from_mel")


@cache
def _model(name: str) -> "SpeechToLips":
    """A shipped network, loaded once, on one thread."""
    import torch

    from models.speech_to_lips.predict import load_model

    torch.set_num_threads(1)  # the network is small: threads would wait for each other
    with safe_open(_weights_file(name), framework="numpy") as file:
        weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        config = json.loads(file.metadata()["config"])
    return load_model(weights, config)
