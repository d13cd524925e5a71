"""Pairs of speech and expression that Meta Talk and AudioDVP are trained on."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.deep3d.basis import N_EXPRESSION
from models.faces.smooth import smooth_landmarks
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema, series
from tasks.engine.stage import Made, stage
from tasks.result.output_frames import scene_starts
from tasks.source.face_basis import own_basis, own_basis_key
from tasks.source.timeline import load_timeline
from tasks.speech.lips_model import lips_model

EXPRESSION_PAIRS = Schema(
    "expression_pairs",
    {
        "delta": ArraySpec(
            ("tick", "coefficient"),
            "float32",
            "standard deviations",
            "expression at tick t / 25 s; 0 where it is not known",
            chunk=1500,
            shard=45_000,
        ),
        "valid": series("the expression is known", dtype="bool", dim="tick"),
    },
    {"coefficient": N_EXPRESSION},
    "One row per tick of the input `features`. Attributes: `labels` real (the speech of the fitted "
    "video) or pseudo, `speaker`, `basis` (key) and `person` (key of `face_fit_person`, whose face "
    "it is; none: anyone's); if rescaled, also `ratio` and `offset` by coefficient.",
)


@stage(EXPRESSION_PAIRS, version=1)
def fitted_pairs(
    features: Artifact,
    face_fit: Artifact,
    *,
    timeline: Artifact,
    speaker: str,
) -> Made:
    """Expressions of a video's frames at the ticks of its speech.

    Args:
        features: `speech_windows` or `atnet_features` of the video's own speech.
        face_fit: Of the video.
        timeline: Of that video.
        speaker: Who speaks.
    """
    clip = load_timeline(timeline)
    arrays = _at_ticks(
        features,
        clip.seconds,
        face_fit.read("delta"),
        valid=face_fit.read("valid"),
        scene_start=clip.scene_start,
    )
    return Made(arrays, {"labels": "real", "speaker": speaker, **_whose(face_fit)})


@stage(EXPRESSION_PAIRS, version=1)
def dubbed_pairs(
    features: Artifact,
    made: Artifact,
    *,
    timeline: Artifact,
    output_frames: Artifact,
    speaker: str,
) -> Made:
    """Expressions that a teacher gave a target, at the ticks of the speech that it was given.

    Frames whose landmarks do not fit are left out.

    Args:
        features: `speech_windows` or `atnet_features` of that speech.
        made: `pseudo_expression` of the dubbed target.
        timeline: Of the target.
        output_frames: What the teacher dubbed.
        speaker: Who speaks.
    """
    from models.meta_talk.labels import believable

    clip = load_timeline(timeline)
    valid = believable(made.read("landmark_error"), made.read("valid"))
    starts = scene_starts(clip.scene_start, output_frames.read("source_frame"))
    smooth = smooth_landmarks(
        made.read("delta"), valid, scene_start=starts, frame_rate_hz=float(clip.video.rate)
    )
    seconds = output_frames.read("pts") * float(clip.time_base)
    arrays = _at_ticks(features, seconds, smooth, valid=valid, scene_start=starts)
    return Made(arrays, {"labels": "pseudo", "speaker": speaker, **_whose(made)})


def _at_ticks(
    features: Artifact,
    seconds: NDArray[np.float64],
    delta: NDArray[np.float32],
    *,
    valid: NDArray[np.bool_],
    scene_start: NDArray[np.bool_],
) -> dict[str, NDArray[Any]]:
    """Arrays of the schema, from expressions of frames."""
    from models.meta_talk.labels import at_ticks

    ticks = features.sizes["tick"]
    found, known = at_ticks(seconds, delta, valid=valid, scene_start=scene_start, ticks=ticks)
    return {"delta": found, "valid": known}


def _whose(fit: Artifact) -> dict[str, str]:
    """Attributes that tell whose expressions those of a fit are."""
    _, person = fit.manifest.inputs["person"]
    return {"basis": fit.attributes["basis_key"], "person": person}


@stage(EXPRESSION_PAIRS, version=1)
def spoken_pairs(
    features: Artifact,
    mel: Artifact,
    *,
    speech_features: Artifact,
    speaker: str,
    model: str,
) -> Made:
    """Expressions of the own basis that the shipped network from speech to lips asks for.

    They need no video, and fit any face of that basis.

    Args:
        features: `speech_windows` or `atnet_features` of the speech.
        mel: Of the same speech.
        speech_features: Likewise.
        speaker: Who speaks.
        model: `model_key()`, so that the result follows the weights.
    """
    from models.meta_talk.labels import mouth_expression
    from models.speech_to_lips.predict import predict_motion

    motion = predict_motion(lips_model(), mel.read("mel"), speech=speech_features.read("feature"))
    ticks = features.sizes["tick"]
    found = mouth_expression(motion[:ticks], own_basis(1))
    delta = np.zeros((ticks, N_EXPRESSION), np.float32)
    delta[: len(found)] = found
    facts = {"labels": "pseudo", "speaker": speaker, "basis": own_basis_key(), "person": None}
    return Made({"delta": delta, "valid": np.arange(ticks) < len(found)}, facts)
