"""A driver's features at the output's moments, and the frame that shows who it is."""

import numpy as np
import pytest

from models.stylegan2_face.driving import HELD_SECONDS, at_moments, smoothed, still_frame

SECONDS = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 1.5, 1.6])
"""0.4 s was shown for 1.1 s."""
FEATURES = 10 * SECONDS.astype(np.float32)[:, None]


def driven(
    *moments: float, usable: str = "1111111", cut: int = 0, still: bool = False
) -> list[float | None]:
    """What is known at these moments, in s: a feature is its time."""
    starts = np.arange(len(SECONDS)) == 0
    starts[cut] = True
    found, known = at_moments(
        FEATURES,
        SECONDS,
        np.array(moments, np.float64),
        usable=np.array([each == "1" for each in usable]),
        scene_start=starts,
        still=still,
    )
    assert not found[~known].any()
    pairs = zip(found[:, 0], known, strict=True)
    return [round(float(value) / 10, 5) if there else None for value, there in pairs]


def test_between_frames_features_are_mixed() -> None:
    assert driven(0, 0.1, 0.14, 0.4) == [0, 0.1, 0.14, 0.4]


def test_over_a_cut_the_last_ones_hold() -> None:
    assert driven(0.14, 0.19, 0.2, 0.24, cut=2) == [0.1, 0.1, 0.2, 0.24]


@pytest.mark.parametrize("usable", ["1111111", "1111101"])
def test_what_is_not_seen_holds_for_half_a_second(usable: str) -> None:
    assert driven(0.5, 0.4 + HELD_SECONDS, 0.92, usable=usable) == [0.4, 0.4, None]
    assert driven(1.5, 1.6, usable=usable) == ([1.5, 1.6] if usable[5] == "1" else [None, 1.6])


def test_a_gone_face_holds_and_comes_back() -> None:
    assert driven(0.05, 0.1, 0.25, 0.3, usable="1001111") == [0, 0, 0, 0.3]


def test_before_a_first_face_nothing_is_known() -> None:
    assert driven(0, 0.1, 0.2, usable="0011111") == [None, None, 0.2]
    assert driven(0, usable="0000000") == [None]


def test_a_late_beginning_and_the_end() -> None:
    early = SECONDS + 0.3
    known = {"usable": np.ones(7, bool), "scene_start": np.arange(7) == 0}
    found, there = at_moments(FEATURES, early, np.array([0.0, 0.31]), **known)
    assert there.all() and found[0] == 0
    _, there = at_moments(FEATURES, SECONDS + 0.6, np.zeros(1), **known)
    assert not there.any()
    assert driven(1.6, 2.1, 2.2) == [1.6, 1.6, None]


def test_a_picture_is_always_shown() -> None:
    assert driven(100.0, still=True) == [1.6]


def test_smoothing_stays_within_scenes() -> None:
    seconds = np.arange(20) / 25
    features = (np.arange(20) >= 10).astype(np.float32)[:, None]
    starts = np.isin(np.arange(20), (0, 10))
    known = {"usable": np.ones(20, bool), "sigma_seconds": 0.08}
    np.testing.assert_allclose(smoothed(features, seconds, scene_start=starts, **known), features)
    soft = smoothed(features, seconds, scene_start=starts & (np.arange(20) == 0), **known)[:, 0]
    assert 0.5 < soft[10] < 0.7 and (np.diff(soft) >= 0).all() and np.ptp(soft) > 0.99
    kept = smoothed(features, seconds, scene_start=starts, **(known | {"sigma_seconds": 0.0}))
    np.testing.assert_array_equal(kept, features)


def test_the_still_frame_is_frontal_and_closed() -> None:
    turn, opening = np.float32([30, 5, 4, 6, 0]), np.float32([0, 0.1, 0.02, 0.01, 0.2])
    assert still_frame(turn, opening, np.ones(5, bool)) == 2
    assert still_frame(turn, opening, np.array([True, True, False, False, False])) == 0
