"""Proposed rows: spans of speech, and who speaks in them."""

import numpy as np
import pytest

from flows.cues.propose import _runs, _speech


def test_speech_is_split_at_pauses() -> None:
    likely = np.zeros(200, np.float32)  # of 32 ms each
    likely[10:40] = likely[45:60] = likely[90:92] = likely[120:150] = 0.9
    (one, two) = _speech(likely)
    assert one == pytest.approx((0.24, 2.0)) and two == pytest.approx((3.76, 4.88))


def test_short_runs_are_of_their_neighbours() -> None:
    speaker = np.repeat([1, 0, 1, 0], [3, 47, 4, 46])
    assert _runs(speaker, 0.0, 4.0) == [(0.0, 4.0, 0)]
    turns = np.repeat([0, 1], [50, 50])
    assert _runs(turns, 0.5, 3.5) == [(0.5, 2.0, 0), (2.0, 3.5, 1)]
