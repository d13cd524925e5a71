"""The agreement of speech and mouth: lags that are known, and clips that can't tell."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.audio.mel import mel_spectrogram
from models.faces.mesh.indices import MOUTH
from models.metrics.agreement import MAX_LAG_TICKS, agree
from models.speech_to_lips.predict import predict_motion
from stores.media.audio import decode_audio
from tasks.engine.run import Run
from tasks.metrics.agreement import FAMILY, agreement
from tasks.source.landmarks import mean_face
from tasks.speech.lips_model import listener_key, listening_model
from tests.media_factory import EXAMPLE
from tests.tasks.face_seen import Known, times

TICKS = 200
SEEN = np.ones(TICKS, np.float32)


def motion(seed: int, ticks: int = TICKS + 40) -> np.ndarray:
    """Smooth random motion of the size of a talking mouth's."""
    noise = np.random.default_rng(seed).standard_normal((ticks + 4, 8))
    window = np.hanning(7)[1:-1]
    smooth = [np.convolve(column, window, "valid") for column in noise.T]
    return 0.03 * np.stack(smooth, 1).astype(np.float32)


@pytest.mark.parametrize("lag", [-15, -1, 0, 1, 7, 15])
def test_the_lag_is_found_under_noise_and_on_an_offset(lag: int) -> None:
    truth = motion(0)
    expected, shown = truth[20:220], truth[20 - lag : 220 - lag]
    clear = agree(expected, shown + 0.5, seen=SEEN)
    assert clear.lag_ticks == pytest.approx(lag, abs=0.1)
    assert clear.correlation == pytest.approx(1, abs=0.02)
    assert clear.confidence > 0.99
    noisy = agree(expected, shown + 1.5 * motion(1)[:TICKS], seen=SEEN)
    assert noisy.lag_ticks == pytest.approx(lag, abs=1)
    assert 0.4 < noisy.correlation < 0.7


def test_half_a_tick_is_seen() -> None:
    truth = motion(0)
    between = (truth[19:219] + truth[20:220]) / 2
    assert agree(truth[20:220], between, seen=SEEN).lag_ticks == pytest.approx(0.5, abs=0.1)


def test_motion_of_someone_else_agrees_with_nothing() -> None:
    found = [agree(motion(2 * i)[:TICKS], motion(2 * i + 1)[:TICKS], seen=SEEN) for i in range(8)]
    assert np.mean([f.in_step for f in found]) == pytest.approx(0, abs=0.05)
    assert max(f.correlation for f in found) < 0.35


def test_a_mouth_that_rests_agrees_with_nothing() -> None:
    trembling = 1e-4 * np.random.default_rng(0).standard_normal((TICKS, 8)).astype(np.float32)
    for rest in (0 * trembling, trembling):
        found = agree(motion(0)[:TICKS], rest, seen=SEEN)
        assert not found.moves
        assert abs(found.correlation) < 0.05


def test_unseen_moments_do_not_count() -> None:
    truth = motion(0)
    shown, seen = truth[17:217].copy(), SEEN.copy()
    shown[50:120], seen[50:120] = 9, 0
    assert agree(truth[20:220], shown, seen=seen).lag_ticks == pytest.approx(3, abs=0.1)
    with pytest.raises(ValueError, match="less than 2 s"):
        agree(truth[20:220], shown, seen=SEEN * (np.arange(TICKS) < 40))
    with pytest.raises(ValueError, match="no speech"):
        agree(0 * truth[20:220], shown, seen=seen)
    with pytest.raises((ValueError, TypeError), match="component"):
        agree(truth, shown[:, :4], seen=seen)


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return decode_audio(EXAMPLE.with_name("jfk.wav"), rate=16000, mono=True, stop=6.0)[:, 0]


def talker(speech: np.ndarray) -> Known:
    """A face that does what the model asks for, twice as far, on a smile."""
    asked = predict_motion(listening_model(), mel_spectrogram(speech))[:150]
    mouth = mean_face()[list(MOUTH)] * np.float32(1.1) + 2 * asked
    return Known({"mouth": mouth.astype(np.float32), "valid": np.ones(len(mouth), bool)})


def values(tmp_path: Path, face: Known, speech: np.ndarray) -> tuple[dict[str, Any], Any]:
    mel = Known({"mel": mel_spectrogram(speech)})
    made = agreement.body(face, times(tmp_path, 150), mel=mel, model=listener_key())
    assert set(made.attributes["values"]) == {m.name for m in FAMILY.metrics}
    assert made.arrays["curve"].shape == (2 * MAX_LAG_TICKS + 1,)
    return made.attributes["values"], made.attributes["reasons"]


def test_a_face_that_follows_the_speech(tmp_path: Path, run: Run, speech: np.ndarray) -> None:
    found, reasons = values(tmp_path, talker(speech), speech)
    assert found["agreement"] == found["agreement_in_step"] == pytest.approx(1, abs=0.05)
    assert found["agreement_lag"] == pytest.approx(0, abs=0.004)
    assert not reasons
    late = np.concatenate([np.zeros(4 * 640, np.float32), speech])[: len(speech)]
    found, _ = values(tmp_path, talker(speech), late)
    assert found["agreement_lag"] == pytest.approx(-0.16, abs=0.01)
    assert found["agreement_lag_frames"] == pytest.approx(-4, abs=0.25)
    assert found["agreement_in_step"] < 0.5


def test_what_can_not_be_told_says_why(tmp_path: Path, run: Run, speech: np.ndarray) -> None:
    face = talker(speech)
    still = Known({**face.arrays, "mouth": np.repeat(face.read("mouth", 0, 1), 150, 0)})
    found, reasons = values(tmp_path, still, speech)
    assert found["agreement"] == pytest.approx(0, abs=0.01)
    assert found["agreement_lag"] is None
    assert reasons["agreement_lag"] == "the mouth does not move"
    hidden = Known({**face.arrays, "valid": np.zeros(150, bool)})
    for unclear, sound, reason in (
        (hidden, speech, "no face"),
        (face, 0 * speech, "no speech"),
        (Known({**face.arrays, "valid": np.arange(150) < 30}), speech, "less than 2 s"),
    ):
        found, reasons = values(tmp_path, unclear, sound)
        assert set(found.values()) == {None}
        assert reason in reasons["agreement"]
