"""What prediction from the source's own speech leaves over at its lips."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from models.faces.mesh.indices import MOUTH
from stores.artifacts.artifact import Artifact
from tasks.source.landmarks import mean_face
from tasks.speech import lip_expression
from tasks.speech.lip_expression import LeftBySpeech, left_by_speech
from tasks.speech.lips_model import lips_model

NEUTRAL = mean_face()[list(MOUTH)]
TICKS = 100


def held(**arrays: np.ndarray) -> Artifact:
    """An artifact that holds arrays."""

    def read(name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        return arrays[name][start:stop]

    return cast(Artifact, SimpleNamespace(read=read))


def left(monkeypatch: pytest.MonkeyPatch, predicted: np.ndarray, mouth: np.ndarray) -> LeftBySpeech:
    """Of mouths (frame, 57, 3) at 25 frames a second, and a prediction (tick, 57, 3)."""

    def predict(*given: Any, **more: Any) -> np.ndarray:
        return predicted

    monkeypatch.setattr("models.speech_to_lips.predict.predict_motion", predict)
    monkeypatch.setattr(lip_expression, "adapter_of", lambda speaker: None)
    return left_by_speech(
        held(valid=np.ones(len(mouth), np.bool_), mouth=mouth),
        np.arange(len(mouth)) / 25,
        speaker=held(neutral=NEUTRAL),
        mel=held(mel=np.zeros((1, 80), np.float32)),
        features=held(feature=np.zeros((1, 512), np.float16)),
        basis=lips_model().basis,
    )


def talk(seed: int) -> np.ndarray:
    """Motion (tick, 57, 3) that opens the mouth at random times."""
    rng = np.random.default_rng(seed)
    opened = np.convolve(rng.normal(0, 1, TICKS), np.hanning(7), "same").astype(np.float32)
    components = np.zeros((TICKS, len(lips_model().basis)), np.float32)
    components[:, 0] = 0.05 * np.abs(opened)
    return np.asarray((components @ lips_model().basis).reshape(TICKS, len(MOUTH), 3), np.float32)


def test_observed_less_predicted(monkeypatch: pytest.MonkeyPatch) -> None:
    said, lasting = talk(0), 0.3 * talk(1)[:1]
    found = left(monkeypatch, said, NEUTRAL + said + lasting)
    assert found.fits
    wanted = lasting.reshape(1, -1) @ lips_model().basis.T
    np.testing.assert_allclose(found.wrong, np.repeat(wanted, TICKS, 0), atol=1e-5)
    observed = (said + lasting).reshape(TICKS, -1) @ lips_model().basis.T
    np.testing.assert_allclose(found.motion, observed, atol=1e-5)


def test_another_voice_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not left(monkeypatch, talk(0), NEUTRAL + talk(5)).fits


def test_only_frames_that_were_heard_count(monkeypatch: pytest.MonkeyPatch) -> None:
    said = talk(0)
    assert len(left(monkeypatch, said[:60], NEUTRAL + said).wrong) == 60
    assert left(monkeypatch, said[:0], NEUTRAL + said).wrong.shape == (0, len(lips_model().basis))
