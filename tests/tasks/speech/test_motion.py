"""The clocks of speech and pictures meet: 25 Hz motion at any frame times."""

import numpy as np

from models.faces.mesh.indices import MOUTH
from tasks.speech.motion import at_times


def ramp(count: int) -> np.ndarray:
    steps = np.arange(count, dtype=np.float32)[:, None, None]
    return np.broadcast_to(steps, (count, len(MOUTH), 3)).copy()


def test_motion_is_interpolated_at_frame_times() -> None:
    found = at_times(ramp(10), np.array([0.0, 0.02, 0.1, 0.36]))
    np.testing.assert_allclose(found[:, 0, 0], [0, 0.5, 2.5, 9])


def test_after_the_speech_there_is_no_motion() -> None:
    found = at_times(ramp(10), np.array([0.4, 0.5, 100.0]))
    assert not found.any()
