"""What the expression of the source's face does to the lips, whatever is said."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.audio.mel import COLUMNS_PER_SECOND
from models.faces.mesh.indices import MOUTH
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from tasks.engine.stage import Made, stage
from tasks.source.landmarks import load_pose
from tasks.source.timeline import load_timeline
from tasks.speech.lips_model import TICKS_PER_SECOND, expression_model, lips_model
from tasks.speech.motion import adapter_of, at_times

LIP_EXPRESSION = Schema(
    "lip_expression",
    {
        "mouth": ArraySpec(
            ("frame", "mouth_point", "xyz"),
            "float32",
            "face heights",
            "added to the mouth that speech asks for, canonical",
        ),
    },
    {"mouth_point": len(MOUTH), "xyz": 3},
    "What the upper half of the face says of the lips, one row per source frame.",
)

_FRAMES_AT_ONCE = 2000


@stage(LIP_EXPRESSION, version=1)
def lip_expression(
    landmarks: Artifact,
    timeline: Artifact,
    *,
    speaker: Artifact,
    mel: Artifact | None,
    features: Artifact | None,
    model: str,
) -> Made:
    """Read the face's expression in every frame.

    Args:
        mel: Of the source's own sound; None without.
        features: `speech_features` of the same sound.
        model: `expression_key()`, so that the result follows the weights.
    """
    from models.speech_to_lips.expression import lip_offsets, lips_by_expression

    clip, valid = load_timeline(timeline), landmarks.read("valid")
    wrong, network = None, expression_model()
    if mel is not None and features is not None:
        left = left_by_speech(
            landmarks,
            clip.seconds,
            speaker=speaker,
            mel=mel,
            features=features,
            basis=network.basis,
        )
        wrong = left.wrong if left.fits else None
    found = lips_by_expression(
        network,
        np.concatenate([network.along(part) for part in upper_faces(landmarks, network.points)]),
        valid=valid,
        scene_start=clip.scene_start,
        seconds=clip.seconds,
        frame_rate_hz=float(clip.video.rate),
        wrong=wrong,
    )
    mouth = lip_offsets(network, found)
    return Made({"mouth": mouth}, {"own_speech": wrong is not None})


def upper_faces(landmarks: Artifact, points: NDArray[np.int32]) -> Iterator[NDArray[np.float32]]:
    """Those points of every frame's mesh (frame, point, xyz), canonical, a block at a time."""
    pose, frames = load_pose(landmarks), landmarks.sizes["frame"]
    for start in range(0, frames, _FRAMES_AT_ONCE):
        stop = min(start + _FRAMES_AT_ONCE, frames)
        meshes = landmarks.read("landmarks", start, stop)[:, points]
        yield pose.at(np.arange(start, stop)).to_canonical(meshes)


@dataclass(frozen=True)
class LeftBySpeech:
    """What prediction from the source's own speech leaves over.

    Attributes:
        motion: Components of the observed motion (frame, component) of the first frames.
        wrong: Observed minus predicted, of the same frames.
        fits: Whether the sound fits the picture.
    """

    motion: NDArray[np.float32]
    wrong: NDArray[np.float32]
    fits: bool


def left_by_speech(
    landmarks: Artifact,
    seconds: NDArray[np.float64],
    *,
    speaker: Artifact,
    mel: Artifact,
    features: Artifact,
    basis: NDArray[np.float32],
) -> LeftBySpeech:
    """Predict the source's mouth from its own speech, in the first ten minutes.

    Args:
        seconds: When the source's frames are shown (frame,).
        speaker: Tells the neutral mouth, and how the prediction is adapted.
        mel: Of the source's own sound.
        features: `speech_features` of the same sound.
        basis: Of the components (component, 171).
    """
    from models.speech_to_lips.adapt import MAX_SECONDS
    from models.speech_to_lips.lag import find_lag
    from models.speech_to_lips.neutral import opening
    from models.speech_to_lips.predict import LIVELY, predict_motion
    from models.speech_to_lips.recordings import at_ticks
    from models.whisper.encoder import STEPS_PER_SECOND

    neutral = speaker.read("neutral")
    predicted = predict_motion(
        lips_model(),
        mel.read("mel", 0, round(MAX_SECONDS * COLUMNS_PER_SECOND)),
        speech=features.read("feature", 0, round(MAX_SECONDS * STEPS_PER_SECOND)),
        adapter=adapter_of(speaker),
        edge=LIVELY,
    )
    count = int(np.searchsorted(seconds, len(predicted) / TICKS_PER_SECOND))
    valid = landmarks.read("valid", 0, count)
    mouth = landmarks.read("mouth", 0, count)
    said = neutral + at_times(predicted, seconds[:count])
    fits = False
    if valid.any():
        ticks, seen = at_ticks(seconds[:count][valid], mouth[valid])
        both = min(len(ticks), len(predicted))
        lag = find_lag(opening(neutral + predicted[:both]), opening(ticks[:both]), seen=seen[:both])
        fits = lag.reliable
    shape = (count, basis.shape[1])
    observed, left = ((mouth - each).reshape(shape) @ basis.T for each in (neutral, said))
    return LeftBySpeech(observed, left, fits)
