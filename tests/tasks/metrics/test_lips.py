"""Lips beside the true ones, steadiness, and silence: on motion whose figures are known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.metrics.lips import levels_db, silent_and_sounding
from stores.artifacts.source import Source
from tasks.engine.run import Run
from tasks.metrics.family import Comparison
from tasks.metrics.lips import FAMILY, lips
from tasks.metrics.match import match
from tasks.source.faces import faces
from tasks.source.landmarks import landmarks
from tasks.source.seen import Seen
from tasks.source.timeline import timeline
from tasks.source.track import follow_person
from tasks.speech.waveform import waveform
from tests.media_factory import make_audio, make_video
from tests.tasks.face_seen import Known, face, sound, times

FRAMES = 100
SECONDS = np.arange(FRAMES) / 25
TALK = 0.03 + 0.03 * np.sin(2 * np.pi * 2 * SECONDS)
NOISE = np.random.default_rng(0).standard_normal(4 * 16000)
SPEECH = 0.1 * NOISE


def measured(
    tmp_path: Path, result: Known, reference: Known, speech: Any = SPEECH, paired: bool = True
) -> tuple[dict[str, Any], dict[str, str], dict[str, Any]]:
    clock = times(tmp_path, FRAMES)
    made = lips.body(
        result,
        clock,
        reference=reference,
        reference_timeline=clock,
        speech=sound(speech),
        paired=paired,
    )
    return made.attributes["values"], made.attributes["reasons"], dict(made.arrays)


def test_the_same_face_is_perfect(tmp_path: Path, run: Run) -> None:
    talker = face(TALK, head=0.01 * np.sin(SECONDS)[:, None] * np.ones(3))
    values, reasons, arrays = measured(tmp_path, talker, talker)
    assert values["lip_distance"] == values["lip_velocity"] == 0
    assert [values["jitter"], values["jitter_mouth"]] == pytest.approx([1, 1])
    assert set(values) == {m.name for m in FAMILY.metrics} == set(arrays)
    assert set(reasons) == {"lip_leak", "silence_opening"}


def test_distance_and_velocity_have_their_units(tmp_path: Path, run: Run) -> None:
    moved = face(TALK)
    moved.arrays["mouth"][..., 0] += 0.02
    values, _, _ = measured(tmp_path, moved, face(TALK))
    assert values["lip_distance"] == pytest.approx(2, abs=1e-3)
    assert values["lip_velocity"] == pytest.approx(0, abs=1e-3)
    drifting = face(TALK)
    drifting.arrays["mouth"][..., 1] += 0.1 * SECONDS[:, None]
    values, _, arrays = measured(tmp_path, drifting, face(TALK))
    assert values["lip_velocity"] == pytest.approx(10, abs=1e-2)
    assert np.isnan(arrays["lip_velocity"][0])
    np.testing.assert_allclose(arrays["lip_distance"], 10 * SECONDS, atol=1e-3)


def test_frames_between_the_references_are_compared_with_what_lies_between(
    tmp_path: Path, run: Run
) -> None:
    slow, fast = times(tmp_path, 50), times(tmp_path, 100, rate=50)
    ramp = face(0.001 * np.arange(100))
    made = lips.body(
        ramp,
        fast,
        reference=face(0.002 * np.arange(50)),
        reference_timeline=slow,
        speech=sound(SPEECH),
        paired=True,
    )
    values, reasons = made.attributes["values"], made.attributes["reasons"]
    assert values["lip_distance"] == pytest.approx(0, abs=1e-3)
    assert values["lip_velocity"] == pytest.approx(0, abs=2e-2)
    assert values["jitter"] is None and "do not compare" in reasons["jitter"]


def test_a_face_unseen_counts_nowhere(tmp_path: Path, run: Run) -> None:
    seen = np.ones(FRAMES, bool)
    seen[40:50] = False
    values, _, arrays = measured(tmp_path, face(TALK, valid=seen), face(TALK))
    assert values["lip_distance"] == 0
    assert np.isnan(arrays["lip_distance"][40:50]).all()
    assert np.isnan(arrays["lip_velocity"][40:51]).all()
    for pair in ((face(TALK, valid=seen & False), face(TALK)), (face(TALK), None)):
        reference = pair[1] or face(TALK, valid=seen & False)
        values, reasons, _ = measured(tmp_path, pair[0], reference)
        assert values["lip_distance"] is None
        assert "no face in the re" in reasons["lip_distance"]
        assert values["silence_opening"] is None


def test_trembling_is_seen(tmp_path: Path, run: Run) -> None:
    head = 0.02 * np.sin(2 * np.pi * SECONDS)[:, None] * np.array([1.0, 0, 0])
    shake = head + 0.002 * np.random.default_rng(1).standard_normal((FRAMES, 3))
    values, _, _ = measured(tmp_path, face(TALK, head=shake), face(TALK, head=head))
    assert values["jitter"] > 2
    assert values["jitter_mouth"] == pytest.approx(1)
    values, _, _ = measured(tmp_path, face(TALK / 2, head=head), face(TALK, head=head))
    assert values["jitter"] == pytest.approx(1)
    assert 0.4 < values["jitter_mouth"] < 0.6


def test_unpaired_clips_have_no_truth(tmp_path: Path, run: Run) -> None:
    values, reasons, _ = measured(tmp_path, face(TALK), face(TALK[::-1]), paired=False)
    assert values["lip_distance"] is values["lip_velocity"] is None
    assert "no truth" in reasons["lip_velocity"]
    assert values["jitter_mouth"] is not None


def test_motion_in_silence(tmp_path: Path, run: Run) -> None:
    speech = SPEECH.copy()
    speech[2 * 16000 :] *= 1e-4
    source = face(np.where(SECONDS < 2, TALK, 0.01))
    still = face(np.where(SECONDS < 2, TALK, 0.01))
    values, _, arrays = measured(tmp_path, still, source, speech)
    assert values["lip_leak"] == pytest.approx(0, abs=1e-3)
    assert values["silence_opening"] == pytest.approx(
        1 - 100 * np.sort(np.where(SECONDS < 2, TALK, 0.01))[:20].mean(), abs=0.05
    )
    assert np.isfinite(arrays["silence_opening"]).nonzero()[0].min() == round(2.24 * 25)
    leaking = face(np.where(SECONDS < 2, TALK, 0.01 + TALK / 2))
    values, _, _ = measured(tmp_path, leaking, source, speech)
    assert values["lip_leak"] == pytest.approx(0.5, abs=0.03)
    values, reasons, _ = measured(tmp_path, still, source, 0 * SPEECH)
    assert values["lip_leak"] is None and "too few" in reasons["lip_leak"]
    assert values["silence_opening"] is not None


def test_silence_needs_time_and_a_gap_in_level() -> None:
    speech = np.concatenate([NOISE[:16000], np.zeros(16000), NOISE[:16000]]) * 0.1
    seconds = np.arange(80) / 25
    silent, sounding = silent_and_sounding(levels_db(speech.astype(np.float32), 16000), seconds)
    np.testing.assert_array_equal(
        silent.nonzero()[0], [i for i, s in enumerate(seconds) if 1.24 <= s < 1.8 or s > 3.24]
    )
    assert (sounding == ((seconds < 1) | ((seconds >= 2) & (seconds < 3)))).all()
    noisy = speech + 0.01 * NOISE[:48000]
    silent, _ = silent_and_sounding(levels_db(noisy.astype(np.float32), 16000), seconds)
    assert not silent[seconds < 3].any()


def test_a_real_face_beside_itself(tmp_path: Path, run: Run) -> None:
    path = make_video(tmp_path / "face.mp4", frames=25, size=(400, 300), real_faces=True)
    clip = timeline(Source.of(path))
    found = faces(Source.of(path), clip)
    face_seen = landmarks(found, follow_person(Source.of(path), clip, found), timeline=clip)
    speech = waveform(Source.of(make_audio(tmp_path / "tone.wav")))
    seen = Seen(Source.of(path), clip, face_seen, None)
    comparison = Comparison(seen, seen, match(clip, clip), speech, True)
    values = FAMILY.measure(comparison).attributes["values"]
    assert values["lip_distance"] == values["lip_velocity"] == 0
    assert values["jitter"] == pytest.approx(1)
    assert FAMILY.missing() is None
