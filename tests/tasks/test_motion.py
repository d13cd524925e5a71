"""The clocks of speech and pictures meet: 25 Hz motion at any frame times, and back."""

import numpy as np

from models.face_mesh.indices import MOUTH
from tasks.motion import _at_ticks, at_times


def ramp(count: int) -> np.ndarray:
    steps = np.arange(count, dtype=np.float32)[:, None, None]
    return np.broadcast_to(steps, (count, len(MOUTH), 3)).copy()


def test_motion_is_interpolated_at_frame_times() -> None:
    found = at_times(ramp(10), np.array([0.0, 0.02, 0.1, 0.36]))
    np.testing.assert_allclose(found[:, 0, 0], [0, 0.5, 2.5, 9])


def test_after_the_speech_there_is_no_motion() -> None:
    found = at_times(ramp(10), np.array([0.4, 0.5, 100.0]))
    assert not found.any()


def test_observed_motion_is_taken_to_the_clock() -> None:
    seconds = np.array([0.0, 0.03, 0.07, 0.1, 0.13, 0.5])
    motion = np.broadcast_to(seconds[:, None, None], (6, len(MOUTH), 3)).astype(np.float32)
    valid = np.array([True, True, True, False, True, True])
    ticks, seen = _at_ticks(motion, valid, seconds)
    np.testing.assert_allclose(ticks[:, 0, 0], np.arange(13) / 25, atol=1e-6)
    assert seen[:4].tolist() == [1, 1, 0, 0], "no guess next to a frame without a face"
    assert not seen[4:12].any(), "no guess across a gap"
