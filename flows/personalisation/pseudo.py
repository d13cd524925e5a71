"""Pseudo labels: a teacher makes the target speak foreign speech, and its face is fitted.

target ── small faces ──────────────┐
target, speech ── teacher ── render ┴─ expression ─ pairs [─ rescaled]
"""

from functools import partial
from typing import Any

from flows.methods import MethodSettings, find_method, method_settings
from models.meta_talk.pseudo_settings import PseudoSettings
from stores.artifacts.artifact import Artifact
from stores.errors import SettingsError
from tasks.methods.expression_pairs import dubbed_pairs, fitted_pairs, spoken_pairs
from tasks.methods.pseudo_expression import pseudo_expression, pseudo_faces
from tasks.methods.pseudo_scale import pseudo_scale, rescaled_pairs
from tasks.result.output_frames import lay_out, output_frames
from tasks.result.settings import SyncSettings
from tasks.source.fitted import Fitted
from tasks.source.seen import Seen
from tasks.source.timeline import load_timeline
from tasks.speech.lips_model import model_key
from tasks.speech.mel import mel
from tasks.speech.speech_features import speech_features
from tasks.speech.speech_windows import speech_windows


def pseudo_weights(settings: PseudoSettings) -> tuple[str, ...]:
    """Names of the weights that the teacher needs, for `find_weights`.

    Raises:
        SettingsError: its settings are no such.
    """
    if settings.method == "speech_to_lips":
        if settings.teacher:
            raise SettingsError("the teacher speech_to_lips has no settings; leave teacher out")
        return ()
    return find_method(settings.method).weights(_teacher(settings))


def pseudo_pairs(
    seen: Seen,
    fitted: Fitted,
    speech: Artifact,
    *,
    speaker: str,
    features: Artifact,
    settings: PseudoSettings,
    until_seconds: float | None = None,
) -> Artifact:
    """Foreign speech → `expression_pairs` of the target.

    Args:
        seen: The target.
        fitted: Its fit.
        speech: `waveform` that it shall say.
        speaker: Whose speech it is.
        features: `speech_windows` or `atnet_features` of the speech.
        settings: Who is the teacher.
        until_seconds: Frames of the target from here on are held out, and not dubbed [s].

    Raises:
        InputError: the face was fitted with another basis than the own one.
        MissingWeights: the teacher's are not there.
    """
    make = partial(_made_pairs, seen, fitted, settings=settings, until_seconds=until_seconds)
    pairs = make(speech, features=features, speaker=speaker)
    if not settings.rescale or seen.waveform is None:
        return pairs
    own = speech_windows(seen.waveform, features="logmel80")
    real = fitted_pairs(own, fitted.fit, timeline=seen.timeline, speaker="target")
    scale = pseudo_scale(make(seen.waveform, features=own, speaker="target"), real)
    return rescaled_pairs(features, pairs, scale=scale)


def _made_pairs(
    seen: Seen,
    fitted: Fitted,
    speech: Artifact,
    *,
    speaker: str,
    features: Artifact,
    settings: PseudoSettings,
    until_seconds: float | None,
) -> Artifact:
    """Pairs as the teacher makes them."""
    if settings.method == "speech_to_lips":
        return spoken_pairs(
            features,
            mel(speech),
            speech_features=speech_features(speech),
            speaker=speaker,
            model=model_key(),
        )
    showing, _ = lay_out(
        seen.timeline, float(speech.attributes["seconds"]), _stretch(seen, speech, until_seconds)
    )
    frames = output_frames(seen.timeline, showing=showing)
    made = pseudo_expression(
        fitted,
        faces=pseudo_faces(seen, face_px=settings.face_px),
        render=find_method(settings.method).run(seen, speech, frames, _teacher(settings)),
        output_frames=frames,
    )
    return dubbed_pairs(
        features, made, timeline=seen.timeline, output_frames=frames, speaker=speaker
    )


def _teacher(settings: PseudoSettings) -> MethodSettings:
    small: dict[str, Any] = {}
    if settings.method == "exemplar":
        small = {"crops": {"max_size": settings.face_px}}
    return method_settings(settings.method, small | settings.teacher)


def _stretch(seen: Seen, speech: Artifact, until_seconds: float | None) -> SyncSettings:
    """Frames as long as the speech, from another place for each; all, to and fro, if too few."""
    clip = load_timeline(seen.timeline)
    length = float(clip.end_pts * clip.time_base)
    until = length if until_seconds is None else min(length, until_seconds)
    spare = until - float(speech.attributes["seconds"])
    start = int(speech.key[:8], 16) / 16**8 * max(0, spare)
    return SyncSettings(mode="bounce", start_seconds=start, end_seconds=until_seconds)
