"""The mel spectrogram equals Wav2Lip's, whole or in pieces.

The golden holds numbers that the original code produced: three signals, their spectrograms and
the filter bank.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from models.audio.mel import mel_basis, mel_blocks, mel_spectrogram, n_columns

GOLDENS = Path(__file__).parents[1] / "data" / "goldens"
SIGNALS = ("chirp", "noise_burst", "vowel")


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDENS / "wav2lip_mel.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def tolerance() -> dict:
    return json.loads((GOLDENS / "wav2lip_mel.json").read_text())["tolerance"]


def waveform(golden: dict[str, np.ndarray], signal: str) -> np.ndarray:
    return golden[f"in/{signal}"].astype(np.float32) / 32768


@pytest.mark.parametrize("signal", SIGNALS)
def test_equals_the_original(golden: dict, tolerance: dict, signal: str) -> None:
    mel = mel_spectrogram(waveform(golden, signal))
    assert mel.dtype == np.float32
    np.testing.assert_allclose(
        mel.T, golden[f"out/{signal}"], atol=tolerance["atol"], rtol=tolerance["rtol"]
    )


def test_filter_bank_equals_the_original(golden: dict, tolerance: dict) -> None:
    atol = tolerance["const_mel_basis"]["atol"]
    np.testing.assert_allclose(mel_basis(), golden["const/mel_basis"], atol=atol)


@pytest.mark.parametrize("columns", [1, 7, 128, 4096])
def test_blocks_give_the_same_columns(golden: dict, columns: int) -> None:
    sound = waveform(golden, "vowel")
    whole = mel_spectrogram(sound)
    firsts, blocks = zip(*mel_blocks(sound, columns=columns), strict=True)
    assert firsts == tuple(range(0, len(whole), columns))
    np.testing.assert_array_equal(np.concatenate(blocks), whole)
    np.testing.assert_array_equal(mel_spectrogram(sound, start=40, stop=51), whole[40:51])


def test_silence_is_minus_four() -> None:
    mel = mel_spectrogram(np.zeros(16_000, np.float32))
    assert mel.shape == (81, 80) == (n_columns(16_000), 80)
    assert (mel == -4).all()


@pytest.mark.parametrize("samples", [0, 1, 199, 200, 801])
def test_short_sound(samples: int) -> None:
    mel = mel_spectrogram(np.full(samples, 0.1, np.float32))
    assert mel.shape == (n_columns(samples), 80)
    assert np.isfinite(mel).all()


def test_refuses_what_is_no_mono_sound() -> None:
    with pytest.raises(ValueError, match="mix channels down"):
        mel_spectrogram(np.zeros((2, 100), np.float32))
    with pytest.raises(ValueError, match="NaN"):
        mel_spectrogram(np.full(100, np.nan, np.float32))
    with pytest.raises(ValueError, match="not within"):
        mel_spectrogram(np.zeros(100, np.float32), start=5)
