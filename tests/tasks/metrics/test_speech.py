"""Mouths in speech and silence, and lips that close: on motion whose figures are known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.metrics.closure import Phone, closures, closures_by_chance
from stores.artifacts.source import Source
from tasks.engine.run import Run
from tasks.metrics import closure, phones, speech
from tasks.metrics.speech import talking_and_silent
from tasks.speech.waveform import waveform
from tests.media_factory import EXAMPLE, make_audio
from tests.tasks.face_seen import Known, face, times

FRAMES = 100
SECONDS = np.arange(FRAMES) / 25
WOBBLE = 0.05 * (np.arange(FRAMES) % 2)
"""Opens and closes at each frame."""
SPEECH = EXAMPLE.with_name("jfk.wav")


def voiced(start: float, stop: float) -> Known:
    """A detector that is sure of speech from start to stop [s]."""
    middle = (np.arange(125) + 0.5) * 0.032
    return Known({"probability": ((middle > start) & (middle < stop)).astype(np.float32)})


def split(tmp_path: Path, mouth: Any, heard: Known) -> tuple[dict[str, Any], dict[str, str]]:
    made = speech.speech.body(mouth, times(tmp_path, FRAMES), voiced=heard)
    return made.attributes["values"], made.attributes["reasons"]


def test_a_mouth_that_moves_all_the_time_leaks_wholly(tmp_path: Path, run: Run) -> None:
    values, reasons = split(tmp_path, face(WOBBLE), voiced(0, 2))
    assert values["vad_lip_leak"] == pytest.approx(1, abs=1e-3)
    assert values["vad_speech"] == pytest.approx(50, abs=2)
    assert values["vad_motion"] == pytest.approx(50, abs=2)
    assert reasons == {}


def test_a_mouth_that_rests_in_silence_does_not_leak(tmp_path: Path, run: Run) -> None:
    values, _ = split(tmp_path, face(WOBBLE * (SECONDS < 2)), voiced(0, 2))
    assert values["vad_lip_leak"] == pytest.approx(0, abs=1e-3)
    assert values["vad_motion"] == pytest.approx(100, abs=2)


def test_what_can_not_be_told_is_said(tmp_path: Path, run: Run) -> None:
    blind = face(WOBBLE, valid=np.zeros(FRAMES, bool))
    values, reasons = split(tmp_path, blind, voiced(0, 2))
    assert values["vad_lip_leak"] is None and reasons["vad_motion"] == "no face in the result"
    values, reasons = split(tmp_path, face(WOBBLE), voiced(0, 5))
    assert values["vad_lip_leak"] is None and "lie in silence" in reasons["vad_lip_leak"]
    values, reasons = split(tmp_path, face(0 * WOBBLE), voiced(0, 2))
    assert values["vad_motion"] is None and "does not move" in reasons["vad_motion"]


def test_silence_keeps_away_from_speech() -> None:
    talking, silent = talking_and_silent(voiced(1, 2).arrays["probability"], SECONDS)
    assert SECONDS[talking].min() == pytest.approx(1, abs=0.05)
    assert SECONDS[talking].max() == pytest.approx(2, abs=0.05)
    assert not silent[(SECONDS > 0.85) & (SECONDS < 2.15)].any()
    assert silent[SECONDS < 0.7].all() and silent[SECONDS > 2.3].all()


def test_silero_hears_speech_and_not_a_tone(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("silero_vad")
    heard = speech.voice_activity(waveform(Source.of(SPEECH))).read("probability")
    talking, _ = talking_and_silent(heard, np.array([0.1, 1.0, 2.8, 3.5, 9.0]))
    assert talking.tolist() == [False, True, False, True, True]
    tone = waveform(Source.of(make_audio(tmp_path / "tone.wav", samples=16000)))
    assert speech.voice_activity(tone).read("probability").max() < 0.5


def test_closures_are_found_at_their_phones() -> None:
    opening = np.ones(FRAMES, np.float32)
    opening[[25, 50]] = 0
    phones = [Phone(0.98, 1.04), Phone(1.95, 2.02), Phone(3.0, 3.1), Phone(9.0, 9.1)]
    found = closures(opening, SECONDS, phones)
    np.testing.assert_array_equal(found, [0, 0, 1, np.nan])
    assert np.nanmean(closures_by_chance(opening, SECONDS, phones[:3]) < 0.2) < 0.3
    assert np.isnan(closures(np.full(FRAMES, np.nan, np.float32), SECONDS, phones)).all()


def closing(
    tmp_path: Path, opening: Any, *, sure: float = 0.8
) -> tuple[dict[str, Any], dict[str, str]]:
    """Figures of a mouth beside a person who closes it at 0.5, 1.5, 2.5 and 3.5 s."""
    starts = np.array([0.45, 1.45, 2.45, 3.45], np.float32)
    label = np.full(len(starts), phones.ARPABET.index("B"), np.int32)
    spans = Known(
        {"span": np.stack([starts, starts + 0.1], axis=1), "label": label}, {"sure": sure}
    )
    clock = times(tmp_path, FRAMES)
    made = closure.closure.body(face(opening), clock, reference=face(TALK), phones=spans)
    return made.attributes["values"], made.attributes["reasons"]


TALK = np.where(np.abs((SECONDS + 0.5) % 1) < 0.06, 0, 0.06)


def test_lips_that_close_in_time(tmp_path: Path, run: Run) -> None:
    values, reasons = closing(tmp_path, TALK)
    assert values["closure_rate"] == 100 and values["closure_gain"] > 60 and reasons == {}
    late, _ = closing(tmp_path, np.roll(TALK, 8))
    assert late["closure_rate"] == 0 and late["closure_gain"] <= 0


def test_a_mouth_that_stays_closed_gains_nothing(tmp_path: Path, run: Run) -> None:
    values, _ = closing(tmp_path, 0 * TALK)
    assert (values["closure_rate"], values["closure_gain"]) == (100, 0)


def test_speech_that_is_not_understood_gives_no_figure(tmp_path: Path, run: Run) -> None:
    values, reasons = closing(tmp_path, TALK, sure=0.4)
    assert values == {"closure_rate": None, "closure_gain": None}
    assert "no clear English" in reasons["closure_rate"]


def test_pocketsphinx_finds_closing_phones(run: Run) -> None:
    pytest.importorskip("pocketsphinx")
    samples = waveform(Source.of(SPEECH)).read("sample", 0, 35000)
    heard = phones.phones.body(Known({"sample": samples}))
    found = heard.arrays["label"] == phones.ARPABET.index("M")
    assert (np.abs(heard.arrays["span"][found, 0] - 0.98) < 0.05).any()  # my
    assert 0.1 < heard.attributes["sure"] < 1 and heard.attributes["words"] >= 4


def test_silence_needs_no_closing() -> None:
    pytest.importorskip("pocketsphinx")
    quiet = Known({"sample": np.zeros(8000, np.float32)})
    made = phones.phones.body(quiet)
    assert not np.isin(made.arrays["label"], [phones.ARPABET.index(p) for p in "PBM"]).any()
    assert made.attributes["words"] <= 1


def test_long_speech_is_cut_where_it_is_quiet() -> None:
    samples = np.ones(16000 * 25, np.float32)
    samples[16000 * 19 : 16000 * 20] = 0
    assert 19 <= phones._cut(samples) / 16000 <= 20
