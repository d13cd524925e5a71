"""The code of the marks: what is spread is read, and chance keeps to its bound."""

import math

import numpy as np
import pytest

from models.marks.code import LIMIT, Reading, best, read, spread

NAME, CELLS = "a mark", 400


@pytest.mark.parametrize("payload", [0, 1, 0xDEADBEEF, 2**32 - 1])
def test_what_is_spread_is_read_in_its_place(payload: int) -> None:
    noise = np.random.default_rng(0).normal(size=(5, CELLS))
    noise[3] += spread(payload, NAME, CELLS)
    reading = read(noise, NAME)
    assert (reading.payload, reading.places) == (payload, 5)
    assert reading.found


def test_another_mark_s_sequences_say_nothing() -> None:
    assert not read(spread(7, NAME, CELLS)[None], "another mark").found


def test_chance_keeps_to_its_bound() -> None:
    """Of the four best of 256: the bound is for the tail, so that of a lower score is above 1."""
    random = np.random.default_rng(1)
    for kind in (random.normal, random.standard_cauchy):  # whatever a host looks like
        readings = [read(kind(size=(20, CELLS)), NAME) for _ in range(100)]
        assert not any(reading.found for reading in readings)
    scores = np.sort([reading.score for reading in readings])
    for score in scores[::10]:
        assert np.mean(scores >= score) <= Reading(0, float(score), 20).chance


def test_the_limit_is_where_theory_puts_it() -> None:
    one_number = LIMIT / 20 / 2**32 / (1 / (2 * math.erfc(1)))
    score = 8.0
    while math.erfc(score / math.sqrt(2)) / 2 > one_number:
        score += 0.001
    assert Reading(0, score + 0.01, 20).found and not Reading(0, score - 0.01, 20).found
    assert not Reading(0, score + 0.01, 40).found, "who looks in more places must see more"


def test_the_best_of_several_counts_all_their_places() -> None:
    assert best([]) is None
    assert best([Reading(1, 9.0, 20), Reading(2, 10.0, 30)]) == Reading(2, 10.0, 50)
