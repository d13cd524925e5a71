"""What IP-LAP sees and hears around a frame, and which frames it knows a person by."""

from fractions import Fraction

import numpy as np
import pytest

from models.ip_lap.references import choose_references, lip_distance, reference_count
from models.ip_lap.windows import face_runs, mel_windows, pose_windows

MEL = np.repeat(np.arange(200, dtype=np.float32)[:, None], 80, axis=1)


def test_windows_hear_what_the_published_procedure_gives_them() -> None:
    frames = 60
    windows = mel_windows(MEL, np.arange(frames), Fraction(1, 25))
    assert windows.shape == (frames, 5, 80, 16)
    for middle in range(frames):
        for tick, index in enumerate(range(middle - 2, middle + 3)):
            start = int(max(0, index - 2) * 80.0 / 25)
            wanted = np.append(MEL[:, 0], np.full(40, -4))[start : start + 16]
            if start + 16 <= len(MEL):
                np.testing.assert_array_equal(windows[middle, tick, 5], wanted)


def test_other_rates_hear_their_own_times_and_silence_at_the_end() -> None:
    windows = mel_windows(MEL, np.array([0, 1001, 30_030, 150_000]), Fraction(1, 30_000))
    first = windows[:, 2, 0, 0]
    assert first.tolist() == [0, 0, int(80 * (1.001 - 0.08)), -4]
    assert (windows[3] == -4).all()


def test_ticks_between_frames_are_between_them() -> None:
    seconds = np.arange(8) / 50
    points = np.broadcast_to(np.arange(8, dtype=np.float32)[:, None, None], (8, 131, 2))
    sizes = np.stack([np.arange(8), 10 * np.arange(8)], axis=1)
    windows, near = pose_windows(points, sizes, seconds, run=np.zeros(8, np.int64))
    assert windows[3, :, 0, 0].tolist() == [0, 1, 3, 5, 7]
    assert near[3, :, 1].tolist() == [0, 10, 30, 50, 70]
    windows, _ = pose_windows(points, sizes, seconds * 2 / 3 * 2, run=np.zeros(8, np.int64))
    np.testing.assert_allclose(windows[4, :, 0, 0], [1, 2.5, 4, 5.5, 7], atol=1e-5)


def test_windows_stop_at_cuts_and_gaps() -> None:
    valid = np.array([1, 1, 0, 1, 1, 1], bool)
    cuts = np.array([1, 0, 0, 0, 0, 1], bool)
    run = face_runs(valid, cuts)
    assert run.tolist() == [0, 0, -1, 1, 1, 2]
    points = np.broadcast_to(np.arange(6, dtype=np.float32)[:, None, None], (6, 131, 2))
    windows, _ = pose_windows(points, np.ones((6, 2), np.int64), np.arange(6) / 25, run=run)
    assert windows[..., 0, 0].tolist() == [
        [0, 0, 0, 1, 1],
        [0, 0, 1, 1, 1],
        [0, 0, 0, 0, 0],
        [3, 3, 3, 4, 4],
        [3, 3, 4, 4, 4],
        [5, 5, 5, 5, 5],
    ]


def test_references_go_from_closed_to_open() -> None:
    mouth = np.zeros((50, 57, 3), np.float32)
    mouth[:, :, 1] = np.random.default_rng(0).uniform(0, 1, (50, 57))
    distance = lip_distance(mouth)
    usable = np.arange(50) % 3 > 0
    chosen = choose_references(distance, usable, 15)
    assert usable[chosen].all()
    assert (np.diff(distance[chosen]) > 0).all()
    assert distance[chosen[0]] == distance[usable].min()
    assert distance[chosen[-1]] == distance[usable].max()
    assert len(choose_references(distance, usable, 1)) == 1
    assert len(np.unique(choose_references(distance, usable, 64))) == usable.sum()
    assert reference_count(25, 10) == 25
    assert [reference_count("fifth", n) for n in (3, 100, 9000)] == [1, 20, 64]
    with pytest.raises(ValueError, match="no frame"):
        choose_references(distance, usable & False, 3)
