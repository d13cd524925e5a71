"""Mouths in speech and silence, and lips that close: on motion whose figures are known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.faces.mesh.indices import JAW
from models.metrics.articulation import CLASSES, Phone, SoundClass, by_chance, least_within
from stores.artifacts.source import Source
from tasks.engine.run import Run
from tasks.metrics import articulation, phones, speech
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


def test_the_least_value_is_found_within_each_phone() -> None:
    opening = np.ones(FRAMES, np.float32)
    opening[[25, 50]] = 0
    phones = [Phone(0.98, 1.04), Phone(1.95, 2.02), Phone(3.0, 3.1), Phone(9.0, 9.1)]
    found = least_within(opening, SECONDS, phones)
    np.testing.assert_array_equal(found, [0, 0, 1, np.nan])
    assert np.nanmean(by_chance(opening, SECONDS, phones[:3]) < 0.2) < 0.3
    assert np.isnan(least_within(np.full(FRAMES, np.nan, np.float32), SECONDS, phones)).all()


def spoken(
    tmp_path: Path, amount: Any, sounds: SoundClass = CLASSES[0], *, sure: float = 0.8
) -> tuple[float | None, float | None, str]:
    """Rate, gain and reason of a mouth, for sounds at 0.5, 1.5, 2.5 and 3.5 s."""
    starts = np.array([0.45, 1.45, 2.45, 3.45], np.float32)
    label = np.full(len(starts), phones.ARPABET.index(sounds.phones[-1]), np.int32)
    spans = Known(
        {"span": np.stack([starts, starts + 0.1], axis=1), "label": label}, {"sure": sure}
    )
    clock = times(tmp_path, FRAMES)
    result, person = moving(amount), moving(TALK)
    made = articulation.articulation.body(result, clock, reference=person, phones=spans)
    values, reasons = made.attributes["values"], made.attributes["reasons"]
    others = {name for other in CLASSES if other != sounds for name in names(other)}
    assert all(values[name] is None for name in others) and reasons.keys() >= others
    rate, gain = names(sounds)
    return values[rate], values[gain], reasons.get(rate, "")


def names(sounds: SoundClass) -> tuple[str, str]:
    return f"{sounds.name}_rate", f"{sounds.name}_gain"


def moving(amount: Any) -> Known:
    """A mouth that opens, chin and all, and widens at both sides, by an amount [face heights]."""
    known = face(amount)
    known.arrays["mouth"][:, : len(JAW), 1] += amount[:, None].astype(np.float32)
    across = known.arrays["mouth"][:, :, 0]
    across += (np.sign(across) * amount[:, None]).astype(np.float32)
    return known


TALK = np.where(np.abs((SECONDS + 0.5) % 1) < 0.06, 0, 0.06)
"""Down at 0.5, 1.5, 2.5 and 3.5 s."""

each_class = pytest.mark.parametrize("sounds", CLASSES, ids=lambda each: each.name)


@each_class
def test_a_mouth_that_does_what_sounds_need_in_time(
    tmp_path: Path, run: Run, sounds: SoundClass
) -> None:
    rate, gain, reason = spoken(tmp_path, TALK, sounds)
    assert rate == 100 and gain is not None and gain > 60 and reason == ""
    rate, gain, _ = spoken(tmp_path, np.roll(TALK, 8), sounds)
    assert rate == 0 and gain is not None and gain <= 0


@each_class
def test_a_mouth_that_stays_as_it_is_gains_nothing(
    tmp_path: Path, run: Run, sounds: SoundClass
) -> None:
    assert spoken(tmp_path, 0 * TALK, sounds) == (100, 0, "")


def test_speech_that_is_not_understood_gives_no_figure(tmp_path: Path, run: Run) -> None:
    rate, gain, reason = spoken(tmp_path, TALK, sure=0.4)
    assert rate is gain is None and "no clear English" in reason


def test_each_class_has_phones_of_its_own_that_are_heard() -> None:
    used = [phone for sounds in CLASSES for phone in sounds.phones]
    assert len(set(used)) == len(used) and set(used) <= set(phones.ARPABET)


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
