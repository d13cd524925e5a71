"""Which mel each frame hears."""

from fractions import Fraction

import numpy as np
import pytest

from models.audio.mel import MAX_ABS
from tasks.methods.wav2lip import mel_windows

COLUMNS = np.repeat(np.arange(200, dtype=np.float32)[:, None], 80, axis=1)


@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30), Fraction(30000, 1001), Fraction(24)])
def test_windows_begin_where_the_published_procedure_begins_them(fps: Fraction) -> None:
    starts = np.minimum((np.arange(60) * (80 / float(fps))).astype(np.int64), len(COLUMNS) - 16)
    windows = mel_windows(COLUMNS, np.arange(60), 1 / fps)
    assert windows.shape == (60, 80, 16)
    np.testing.assert_array_equal(windows[:, 0, 0], starts)
    np.testing.assert_array_equal(windows[:, 79, 15], starts + 15)


def test_the_end_of_the_speech_is_held_and_then_silence_follows() -> None:
    windows = mel_windows(COLUMNS, np.arange(100), Fraction(1, 25))
    ended = -(-200 * 25 // 80)
    assert (windows[ended - 3 : ended, 0, 15] == 199).all()
    assert (windows[ended:] == -MAX_ABS).all()


def test_speech_shorter_than_a_window() -> None:
    windows = mel_windows(COLUMNS[1:6], np.arange(4), Fraction(1, 25))
    np.testing.assert_array_equal(windows[0, 0, :5], np.arange(1, 6))
    assert (windows[0, :, 5:] == -MAX_ABS).all()
    assert (windows[2:] == -MAX_ABS).all()


def test_variable_rate_frames_hear_their_own_time() -> None:
    ticks = np.array([0, 90, 100, 1000])
    windows = mel_windows(COLUMNS, ticks, Fraction(1, 1000))
    np.testing.assert_array_equal(windows[:, 0, 0], [0, 7, 8, 80])
