"""How far a stage's mouths are from the source's: on mouths whose figures are known."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.motion import compare
from tasks.engine.run import Run
from tests.tasks.face_seen import face, times

FRAMES = 50


def test_half_the_swing_has_half_the_acceleration(tmp_path: Path, run: Run) -> None:
    swing = 0.03 * (1 + np.sin(np.arange(FRAMES) / 2))
    own, half = face(swing), face(0.5 * swing)
    clip = SimpleNamespace(seen=SimpleNamespace(timeline=times(tmp_path, FRAMES), landmarks=own))
    known = np.ones(FRAMES, bool)
    same = compare(clip, own.read("mouth"), known)  # type: ignore[arg-type]
    assert same == pytest.approx((1, 1, 0))
    ratio, correlation, distance = compare(clip, half.read("mouth"), known)  # type: ignore[arg-type]
    assert ratio == pytest.approx(0.5, abs=1e-3) and correlation == pytest.approx(1, abs=1e-3)
    assert 0 < distance < 100 * swing.mean()
    assert compare(clip, half.read("mouth"), np.arange(FRAMES) < 30) != (
        ratio,
        correlation,
        distance,
    )  # type: ignore[arg-type]
