"""The mel spectrogram whole or in pieces, and what it refuses.

That it equals Wav2Lip's is proved with the goldens.
"""

import numpy as np
import pytest
from librosa import filters

from models.audio import mel
from models.audio.mel import Ends, mel_spectrogram, n_columns
from models.audio.mel_bank import mel_bank


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    """1.6 s of a chirp over noise."""
    seconds = np.arange(25_600) / 16_000
    noise = np.random.default_rng(0).normal(0, 0.02, len(seconds))
    return np.float32(0.3 * np.sin(2 * np.pi * (200 + 900 * seconds) * seconds) + noise)


@pytest.mark.parametrize("columns", [1, 7, 128, 4096])
@pytest.mark.parametrize("ends", ["zeros", "reflect"])
def test_blocks_give_the_same_columns(
    sound: np.ndarray, columns: int, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = mel_spectrogram(sound, ends=ends)
    monkeypatch.setattr(mel, "BLOCK", columns)
    np.testing.assert_array_equal(mel_spectrogram(sound, ends=ends), whole)


def test_ends_differ_in_two_columns_each(sound: np.ndarray) -> None:
    same = (mel_spectrogram(sound) == mel_spectrogram(sound, ends="reflect")).all(axis=1)
    assert same[2:-2].all()
    assert not same[:2].any() and not same[-2:].any()


def test_silence_is_minus_four() -> None:
    silence = mel_spectrogram(np.zeros(16_000, np.float32))
    assert silence.shape == (81, 80) == (n_columns(16_000), 80)
    assert (silence == -4).all()


@pytest.mark.parametrize("samples", [0, 1, 199, 200, 801])
@pytest.mark.parametrize("ends", ["zeros", "reflect"])
def test_short_sound(samples: int, ends: Ends) -> None:
    columns = mel_spectrogram(np.full(samples, 0.1, np.float32), ends=ends)
    assert columns.shape == (n_columns(samples), 80)
    assert np.isfinite(columns).all()


def test_refuses_what_is_no_mono_sound() -> None:
    with pytest.raises(ValueError, match="mix channels down"):
        mel_spectrogram(np.zeros((2, 100), np.float32))
    with pytest.raises(ValueError, match="NaN"):
        mel_spectrogram(np.full(100, np.nan, np.float32))


@pytest.mark.parametrize(
    ("window", "bands", "range_hz"), [(400, 80, (0.0, 8000.0)), (800, 80, (55.0, 7600.0))]
)
def test_the_bank_is_librosas(window: int, bands: int, range_hz: tuple[float, float]) -> None:
    low, high = range_hz
    wanted = filters.mel(sr=16_000, n_fft=window, n_mels=bands, fmin=low, fmax=high)
    np.testing.assert_array_equal(mel_bank(16_000, window, bands, low, high), wanted)
