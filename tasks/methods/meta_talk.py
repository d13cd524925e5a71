"""Meta Talk's first half: the expression that speech asks for, and the mouth that goes with it."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from models.audiodvp.expression import AudioToExpression
from models.face_basis.own import FACE_HEIGHT
from models.faces.mesh.indices import MOUTH
from models.meta_talk.rest import rested, resting
from models.speech_to_lips.neutral import neutral_mouth
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from tasks.engine.stage import Made, stage
from tasks.methods.meta_talk_faces import basis_of
from tasks.source.timeline import load_timeline
from tasks.speech.motion import MOTION
from tasks.weights.networks import load_network, network_of

if TYPE_CHECKING:
    from models.meta_talk.expression import SpeechToExpression

META_TALK_EXPRESSION = Schema(
    "meta_talk_expression",
    {
        "delta": ArraySpec(
            ("frame", "coefficient"), "float32", "standard deviations", "wanted expression"
        ),
    },
    {"coefficient": 64},
    "The expression that speech asks for, one row per output frame.",
)


@stage(META_TALK_EXPRESSION, version=1)
def meta_talk_expression(
    features: Artifact,
    sound_levels: Artifact,
    *,
    fit: Artifact,
    timeline: Artifact,
    output_frames: Artifact,
    weights: Artifact,
    smooth: float,
) -> Made:
    """Predict the expression from the new speech, at each output frame's time.

    Args:
        features: `speech_windows` or `atnet_features` of the new speech.
        sound_levels: Of it.
        fit: Of the video, which says how the mouth rests.
        weights: From speech to expression.
        smooth: Standard deviation of the filter over time [ticks]; 0 is none.
    """
    from scipy.ndimage import gaussian_filter1d

    from models.meta_talk.features import TICKS_PER_SECOND

    delta = _predicted(_speech_network(weights), features)
    if smooth:
        delta = gaussian_filter1d(delta, smooth, axis=0, mode="nearest")
    rest = resting(fit.read("delta"), fit.read("valid"))
    delta = rested(delta, _quiet(sound_levels.read("speech"), len(delta)), rest)
    seconds = output_frames.read("pts") * float(load_timeline(timeline).time_base)
    ticks = np.arange(len(delta) + 1)
    ended = np.concatenate([delta, rest[None]])  # after the end of the speech
    at = seconds * TICKS_PER_SECOND
    found = np.stack([np.interp(at, ticks, ended[:, n]) for n in range(ended.shape[1])], 1)
    return Made({"delta": found.astype(np.float32)})


def _speech_network(weights: Artifact) -> "SpeechToExpression":
    """The network with its weights; AudioDVP's as published knows no range of its training."""
    from models.meta_talk.expression import SpeechToExpression
    from models.meta_talk.expression_settings import ExpressionSize

    network = load_network(weights)
    if network_of(weights) == "audiodvp_expression":
        whole = SpeechToExpression(ExpressionSize(features="atnet"))
        assert isinstance(network, AudioToExpression)
        whole.expression = network
        whole.delta_spread.fill_(torch.inf)
        network = whole.eval()
    assert isinstance(network, SpeechToExpression)
    return network


def _predicted(network: "SpeechToExpression", features: Artifact) -> NDArray[np.float32]:
    """Expressions at all ticks (tick, 64), block by block."""
    from models.meta_talk.expression import BLOCK, predict

    half, ticks = network.size.window // 2, features.sizes["tick"]
    found = [np.zeros((0, 64), np.float32)]
    for start in range(0, ticks, BLOCK):
        first, stop = max(start - half, 0), min(start + BLOCK, ticks)
        heard = features.read("feature", first, min(stop + half, ticks))
        found.append(predict(network, heard)[start - first : stop - first])
    return np.concatenate(found)


def _quiet(speech: NDArray[np.bool_], ticks: int) -> NDArray[np.bool_]:
    """Whether a tick's 40 ms are silent (tick,), of whether each 20 ms may be speech."""
    padded = np.zeros(2 * ticks, bool)
    padded[: len(speech)] = speech[: 2 * ticks]
    return np.asarray(~padded.reshape(ticks, 2).any(1))


@stage(META_TALK_EXPRESSION, version=1)
def fitted_expression(fit: Artifact, *, output_frames: Artifact) -> Made:
    """The video's own expressions at the output's frames: what a perfect prediction would be."""
    return Made({"delta": fit.read("delta")[output_frames.read("source_frame")]})


@stage(MOTION, version=1)
def meta_talk_mouth(
    expression: Artifact, *, person: Artifact, fit: Artifact, landmarks: Artifact
) -> Made:
    """The wanted mouth as the exemplar method takes it: canonical, in face heights.

    Expressions are counted from the mouth at rest, which the fit and the landmarks both know.
    """
    basis = basis_of(person)
    offsets = basis.expression.reshape(basis.n_vertices, 3, -1)[list(MOUTH)].numpy()
    apart = expression.read("delta") - resting(fit.read("delta"), fit.read("valid"))
    moved = np.einsum("pck,fk->fpc", offsets, apart) / FACE_HEIGHT
    neutral = neutral_mouth(landmarks.read("mouth")[landmarks.read("valid")])
    mouth = neutral + moved * np.array([1, -1, -1])
    return Made({"mouth": mouth.astype(np.float32), "neutral": neutral}, {"notes": []})
