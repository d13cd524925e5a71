"""Family `speech`: mouth motion inside and outside of speech, as silero-vad hears speech.

The plain gate of `lip_leak` takes music and noise for speech; a network told what speech is does
not.
"""

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.audio.mel import SAMPLE_RATE
from models.faces.mesh.indices import JAW
from models.metrics.lips import neighbours, speed
from models.metrics.metric import Metric
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import Schema, series
from tasks.engine.stage import Made, stage
from tasks.metrics.family import Comparison, Family
from tasks.metrics.frames import blank, measured, metric_schema
from tasks.source.timeline import load_timeline

if TYPE_CHECKING:
    import torch

WINDOW = 512
"""Samples that the detector hears at once."""

_LIKELY = 0.5
"""Probability from which a window is speech."""
_MARGIN_S = 0.2
"""Mouths open before they sound and close after: so much around speech is neither."""
_MIN_FRAMES = 5
_BLOCK = 2048 * WINDOW

_SPEECH = (
    f"Speech is where silero-vad 6 gives windows of {WINDOW} samples at 16 kHz a probability of "
    f"{_LIKELY:g} or more; silence begins {_MARGIN_S:g} s away from it."
)
_MOTION = (
    "Motion is the mean speed of the result's 40 lip points in canonical coordinates (head pose "
    "taken out), from frame to frame."
)
_SILERO = "snakers4/silero-vad (MIT); own definition"

METRICS = (
    Metric(
        "vad_speech",
        "Speech in the sound",
        "none",
        f"Share of the result's frames at which the new speech is heard. {_SPEECH}",
        _SILERO,
        digits=1,
        unit="% of frames",
    ),
    Metric(
        "vad_motion",
        "Mouth motion in speech",
        "none",
        "Share of the mouth's whole path that it covers while the new speech is heard; to be read "
        "beside vad_speech, which it equals for a mouth that moves at random, or only trembles. "
        f"{_MOTION} {_SPEECH}",
        _SILERO,
        digits=1,
        unit="% of motion",
    ),
    Metric(
        "vad_lip_leak",
        "Mouth motion outside speech",
        "lower",
        "Motion in silence over motion in speech: 0 rests, 1 moves as much as in speech. "
        f"{_MOTION} {_SPEECH}",
        _SILERO,
    ),
)

VOICED = Schema(
    "voice_activity",
    {"probability": series(f"of speech, {WINDOW} samples each", dim="window")},
    {},
    "What silero-vad hears.",
)

SPEECH = metric_schema(
    "metrics_speech",
    ["vad_lip_leak"],
    "Mouth motion in silence, as a share of the mean motion in speech.",
)


@stage(VOICED, version=1)
def voice_activity(waveform: Artifact) -> Made:
    """Let the detector hear a waveform, block by block."""
    import torch

    model = _detector()
    total = waveform.sizes["sample"]
    heard = []
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of TorchScript, in which it comes
        for start in range(0, total, WINDOW * (_BLOCK // WINDOW)):
            samples = waveform.read("sample", start, min(start + _BLOCK, total))
            padded = np.pad(samples, (0, -len(samples) % WINDOW))
            for window in torch.from_numpy(padded).reshape(-1, 1, WINDOW):
                heard.append(float(model(window, SAMPLE_RATE)))
    return Made({"probability": np.array(heard, np.float32)})


@stage(SPEECH, version=1)
def speech(landmarks: Artifact, timeline: Artifact, *, voiced: Artifact) -> Made:
    """Split the result's mouth motion by what is heard at its frames.

    Args:
        landmarks: Of the result.
        timeline: Of the result.
        voiced: Of the speech that it shall say.
    """
    clip = load_timeline(timeline)
    valid = landmarks.read("valid")
    joined = neighbours(clip.seconds, valid=valid, scene_start=clip.scene_start)
    moving = speed(landmarks.read("mouth")[:, len(JAW) :, :2], clip.seconds, joined)
    talking, silent = talking_and_silent(voiced.read("probability"), clip.seconds)
    silent &= np.append(False, silent[:-1])  # both frames of a step lie in silence
    known = np.isfinite(moving)
    leak, motion = blank(len(clip)), None
    reasons = dict.fromkeys(("vad_lip_leak", "vad_motion"), "no face in the result")
    inside = moving[known & talking]
    if known.any():
        path = float(np.nansum(moving))
        spoken = len(inside) >= _MIN_FRAMES and inside.mean() > 1e-6
        if spoken:
            motion = 100 * float(inside.sum()) / path
            if (known & silent).sum() >= _MIN_FRAMES:
                leak[known & silent] = moving[known & silent] / inside.mean()
        reasons = {
            "vad_motion": "the mouth does not move while speech is heard",
            "vad_lip_leak": "too few frames with a face lie in silence"
            if spoken
            else "the mouth does not move while speech is heard",
        }
    share = 100 * float(talking.mean())
    return measured({"vad_lip_leak": leak}, reasons, vad_speech=share, vad_motion=motion)


def talking_and_silent(
    probability: NDArray[np.float32], seconds: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Frames (frame,) at which speech is heard, and those well away from it.

    Args:
        probability: (window,) of speech, from time 0; silence before and after it.
        seconds: (frame,) times.
    """
    margin = int(np.ceil(_MARGIN_S * SAMPLE_RATE / WINDOW))
    spoken = np.pad(probability >= _LIKELY, margin + 1)
    near = np.convolve(spoken, np.ones(2 * margin + 1), "same") > 0
    at = np.floor(seconds * SAMPLE_RATE / WINDOW).astype(np.int64) + margin + 1
    at = np.clip(at, 0, len(spoken) - 1)
    return spoken[at], ~near[at]


def _detector() -> "torch.jit.ScriptModule":
    """The network in the wheel; importing the package would set torch's threads."""
    import torch

    package = find_spec("silero_vad")
    assert package is not None and package.submodule_search_locations
    file = Path(package.submodule_search_locations[0]) / "data" / "silero_vad.jit"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        model: torch.jit.ScriptModule = torch.jit.load(  # type: ignore[no-untyped-call]
            str(file), map_location="cpu"
        )
    return model.eval()


def _measure(comparison: Comparison) -> Artifact:
    result = comparison.result
    return speech(result.landmarks, result.timeline, voiced=voice_activity(comparison.speech))


FAMILY = Family("speech", "speech", METRICS, _measure, package=("silero_vad", "metrics"))
