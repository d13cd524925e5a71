"""What large batches would take, where the result is known."""

import math

import pytest

from benchmarks.scale import COMMAND, GETS, PUTS, SCHEDULER, SERVER, SHEETS, Clip

CLIP = Clip(10.0, {COMMAND: 0.2, SCHEDULER: 0.05, GETS: 0.3, PUTS: 0.1})


def test_few_workers_compute_all_the_time() -> None:
    assert CLIP.rate(10) == pytest.approx(1.0)
    assert Clip(4.0, {}).rate(1) == pytest.approx(0.25)


def test_the_fullest_part_sets_the_pace() -> None:
    assert CLIP.full_at(GETS) == pytest.approx(10 / 0.3)
    assert CLIP.rate(33) == pytest.approx(3.3)
    assert CLIP.rate(34) == CLIP.rate(1000) == pytest.approx(1 / 0.3)
    assert math.isinf(CLIP.full_at(SERVER))


def test_commands_and_prefixes_share_their_work_and_nothing_else_does() -> None:
    shared = Clip(10.0, {**CLIP.demand, SERVER: 0.4, SHEETS: 0.6}).shared(2, 3)
    assert shared.demand == pytest.approx(
        {COMMAND: 0.1, SCHEDULER: 0.05, GETS: 0.1, PUTS: 0.1 / 3, SERVER: 0.4, SHEETS: 0.3}
    )


@pytest.mark.parametrize("workers", [1, 20, 100, 1000])
def test_enough_is_as_few_as_leave_all_at_most_six_tenths_busy(workers: int) -> None:
    commands, prefixes = CLIP.enough(workers)
    shared = CLIP.shared(commands, prefixes)
    assert all(workers / shared.full_at(part) <= 0.6 + 1e-9 for part in (COMMAND, GETS, PUTS))
    if commands > 1:
        assert workers / CLIP.shared(commands - 1, 1).full_at(COMMAND) > 0.6
    if prefixes > 1:
        assert workers / CLIP.shared(1, prefixes - 1).full_at(GETS) > 0.6
