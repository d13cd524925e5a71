"""Whose mouth moves as the sound asks."""

import numpy as np
import pytest

from models.metrics.who_speaks import NOBODY, who_speaks

TICKS = 200


def walk(seed: int) -> np.ndarray:
    """Motion (tick, 8) that no other is like."""
    steps = np.random.default_rng(seed).normal(size=(TICKS, 8)) * 0.02
    return np.cumsum(steps, axis=0).astype(np.float32)


@pytest.mark.parametrize("lag", [0, 3])
def test_speakers_take_turns(lag: int) -> None:
    asked, first, second = walk(0), walk(1), walk(2)
    late = np.roll(asked, lag, axis=0)
    first[:100] = 0.5 * late[:100] + 0.3 * first[:100]
    second[100:] = 0.5 * late[100:] + 0.3 * second[100:]
    seen, speech = np.ones(TICKS, np.float32), np.ones(TICKS, bool)
    speech[95:105] = False
    found = who_speaks(asked, [first, second], [seen, seen], speech=speech)
    assert (found[:95] == 0).all() and (found[105:] == 1).all()


def test_faces_may_end_before_the_sound() -> None:
    asked = walk(0)
    moved, seen = [asked[:-1], walk(1)[:-30]], [np.ones(n, np.float32) for n in (TICKS - 1, 170)]
    found = who_speaks(asked, moved, seen, speech=np.ones(TICKS, bool))
    assert (found[:-1] == 0).all() and found[-1] == NOBODY


def test_who_is_not_seen_does_not_speak() -> None:
    asked = walk(0)
    there, gone = np.ones(TICKS, np.float32), np.zeros(TICKS, np.float32)
    there[150:] = 0
    found = who_speaks(asked, [walk(1), asked], [there, gone], speech=np.ones(TICKS - 20, bool))
    assert (found[:150] == 0).all() and (found[150:] == NOBODY).all()
