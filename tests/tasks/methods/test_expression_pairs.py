"""Pairs of speech and expression, from a fit and from the shipped network."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.audio.mfcc import SAMPLE_RATE
from models.meta_talk.expression_losses import mouth_offsets
from stores.artifacts.artifact import Artifact
from stores.artifacts.builder import Derivation
from stores.artifacts.schema import ArraySpec, Schema, series
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from tasks.engine.open_run import open_run
from tasks.engine.stage import Made, stage
from tasks.methods.expression_pairs import (
    EXPRESSION_PAIRS,
    dubbed_pairs,
    fitted_pairs,
    spoken_pairs,
)
from tasks.methods.pseudo_expression import PSEUDO_EXPRESSION
from tasks.methods.pseudo_scale import pseudo_scale, rescaled_pairs
from tasks.result.output_frames import Showing, output_frames
from tasks.source.face_basis import own_basis, own_basis_key
from tasks.source.timeline import timeline
from tasks.speech.lips_model import model_key
from tasks.speech.mel import mel
from tasks.speech.speech_features import speech_features
from tasks.speech.speech_windows import speech_windows
from tasks.speech.waveform import waveform
from tests.flows.conftest import cut_wav
from tests.media_factory import EXAMPLE, make_video

FIT = Schema(
    "face_fit",
    {
        "delta": ArraySpec(("frame", "expression"), "float32"),
        "valid": series("a fit", dtype="bool"),
    },
    {"expression": 64},
)


def fit_of(store: Store, frames: int, schema: Schema = FIT, **more: Any) -> Artifact:
    """A fit whose first coefficient counts frames; the third is not valid."""
    made_of = Derivation.of(schema, 1, {"person": ("face_fit_person", "one")}, {})
    builder = store.builder(made_of, {"frame": frames})
    builder.prepare()
    delta = np.repeat(np.arange(frames, dtype=np.float32)[:, None], 64, 1)
    builder.write_whole({"delta": delta, "valid": np.arange(frames) != 2} | more)
    builder.commit({"basis_key": "of the fit"}, seconds=0.0)
    return store.get(schema.kind, made_of.key)


def test_frames_of_a_fit_are_paired_with_ticks_of_the_speech(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with open_run(store):
        heard = waveform(Source.of(cut_wav(EXAMPLE.with_name("jfk.wav"), tmp_path, 0.0, 1.0)))
        windows = speech_windows(heard, features="logmel80")
        assert windows.sizes["tick"] == 25
        film = make_video(tmp_path / "film.mp4", frames=12, size=(16, 16))
        found = fitted_pairs(
            windows,
            fit_of(store, 12),
            timeline=timeline(Source.of(film)),
            speaker="me",
        )
    valid = found.read("valid")
    assert np.flatnonzero(valid).tolist() == [0, 1, *range(3, 12)]
    assert found.read("delta")[valid, 5].tolist() == [0, 1, *range(3, 12)]
    told = {"labels": "real", "speaker": "me", "basis": "of the fit", "person": "one"}
    assert found.attributes == told
    assert found.manifest.inputs["features"] == (windows.kind, windows.key)


def test_doubtful_frames_of_a_dubbed_target_are_holes(tmp_path: Path) -> None:
    error = np.where(np.arange(16) == 9, 3.5, 1).astype(np.float32)
    store = Store(tmp_path / "store")
    with open_run(store):
        heard = waveform(Source.of(cut_wav(EXAMPLE.with_name("jfk.wav"), tmp_path, 0.0, 1.0)))
        windows = speech_windows(heard, features="logmel80")
        film = timeline(Source.of(make_video(tmp_path / "film.mp4", frames=6, size=(16, 16))))
        to_and_fro = Showing(frames=6, count=16, repeat="bounce", end=film.attributes["end_pts"])
        found = dubbed_pairs(
            windows,
            fit_of(store, 16, PSEUDO_EXPRESSION, landmark_error=error),
            timeline=film,
            output_frames=output_frames(film, showing=to_and_fro),
            speaker="other",
        )
    valid = found.read("valid")
    assert np.flatnonzero(valid).tolist() == [0, 1, *range(3, 9), *range(10, 16)]
    np.testing.assert_allclose(found.read("delta")[:, 7], np.where(valid, np.arange(25), 0))
    told = {"labels": "pseudo", "speaker": "other", "basis": "of the fit", "person": "one"}
    assert found.attributes == told
    assert found.manifest.inputs["features"] == (windows.kind, windows.key)


@stage(EXPRESSION_PAIRS, version=1)
def spread_pairs(factor: float, *, mean: float, hole: int, person: str | None) -> Made:
    """Pairs that spread so far about a mean, without one tick."""
    delta = np.random.default_rng(0).standard_normal((60, 64)).astype(np.float32)
    valid = np.arange(60) != hole
    delta[hole] = -mean / factor
    facts = {"labels": "pseudo", "speaker": "me", "basis": "own", "person": person}
    return Made({"delta": factor * delta + mean, "valid": valid}, facts)


def test_a_teacher_that_moves_too_little_is_scaled(tmp_path: Path) -> None:
    with open_run(Store(tmp_path / "store")):
        made = spread_pairs(0.5, mean=0.25, hole=4, person=None)
        real = spread_pairs(1.0, mean=-1.0, hole=5, person="one")
        scale = pseudo_scale(made, real)
        heard = waveform(Source.of(cut_wav(EXAMPLE.with_name("jfk.wav"), tmp_path, 0.0, 1.0)))
        found = rescaled_pairs(speech_windows(heard, features="logmel80"), made, scale=scale)
    assert scale.attributes == {"ticks": 58, "person": "one"}
    valid = found.read("valid")
    np.testing.assert_array_equal(valid, made.read("valid"))
    np.testing.assert_allclose(
        found.read("delta")[valid & real.read("valid")],
        real.read("delta")[valid & real.read("valid")],
        atol=1e-5,
    )
    assert not found.read("delta")[~valid].any()
    told = {"person": "one", "ratio": [2.0] * 64, "offset": [-1.5] * 64}
    assert found.attributes == dict(made.attributes) | told


@pytest.mark.dub
def test_lips_that_speech_asks_for_become_expressions(tmp_path: Path) -> None:
    with open_run(Store(tmp_path / "store")):
        heard = waveform(Source.of(cut_wav(EXAMPLE.with_name("jfk.wav"), tmp_path, 0.0, 3.0)))
        found = spoken_pairs(
            speech_windows(heard, features="logmel80"),
            mel(heard),
            speech_features=speech_features(heard),
            speaker="jfk",
            model=model_key(),
        )
        loud = heard.read("sample")
    assert found.attributes["basis"] == own_basis_key() and found.attributes["person"] is None
    delta, ticks = found.read("delta"), found.sizes["tick"]
    assert found.read("valid").sum() >= ticks - 1
    energy = np.square(loud[: ticks * 640].reshape(-1, SAMPLE_RATE // 25)).mean(1)
    assert np.corrcoef(-delta[: len(energy), 0], np.log(energy + 1e-6))[0, 1] > 0.3
    lips = np.tensordot(delta, mouth_offsets(own_basis(1)).numpy(), 1)
    assert 2 < np.linalg.norm(lips, axis=-1).max() < 40  # mm
