"""Which frames are shown when lengths differ, on times that are not regular."""

import numpy as np
import pytest

from stores.errors import SettingsError
from tasks.result.output_frames import _cut, _fit
from tasks.result.settings import SyncSettings

PTS = np.array([3, 10, 18, 30], np.int64)
END = 40


def fit(speech: int, mode: str) -> tuple[list[int], list[int], int]:
    rows, pts, end = _fit(np.arange(4), PTS, END, speech, mode)
    return rows.tolist(), pts.tolist(), end


def test_silence_keeps_the_video() -> None:
    for speech in (5, 40, 1000):
        assert fit(speech, "silence") == ([0, 1, 2, 3], [3, 10, 18, 30], 40)


def test_cut_off_takes_the_shorter() -> None:
    assert fit(19, "cut_off") == ([0, 1, 2], [3, 10, 18], 19)
    assert fit(500, "cut_off") == ([0, 1, 2, 3], [3, 10, 18, 30], 40)
    with pytest.raises(SettingsError, match="before the first frame"):
        fit(2, "cut_off")


def test_loop_starts_again_with_every_duration_kept() -> None:
    rows, pts, end = fit(80, "loop")
    assert rows == [0, 1, 2, 3, 0, 1, 2, 3, 0]
    assert np.diff(pts).tolist() == [7, 8, 12, 10, 7, 8, 12, 10]
    assert end == 80


def test_bounce_plays_backwards_with_durations_of_the_frames_shown() -> None:
    rows, pts, _ = fit(80, "bounce")
    assert rows == [0, 1, 2, 3, 3, 2, 1, 0, 0]
    assert np.diff(pts).tolist() == [7, 8, 12, 10, 10, 12, 8, 7]


def test_short_speech_cuts_a_loop() -> None:
    assert fit(19, "loop") == ([0, 1, 2], [3, 10, 18], 19)


def test_a_part_begins_at_time_zero() -> None:
    tick = 0.1
    rows, pts, end = _cut(PTS, END, tick, SyncSettings(start_seconds=0.9, end_seconds=2.5))
    assert (rows.tolist(), pts.tolist(), end) == ([1, 2], [0, 8], 15)
    rows, pts, end = _cut(PTS, END, tick, SyncSettings(end_seconds=1.9))
    assert (rows.tolist(), pts.tolist(), end) == ([0, 1, 2], [3, 10, 18], 19)
    with pytest.raises(SettingsError, match="no frame lies between"):
        _cut(PTS, END, tick, SyncSettings(start_seconds=9))
