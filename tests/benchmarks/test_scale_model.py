"""The model of large batches, where its results are known."""

import pytest

from benchmarks.scale_model import (
    COMMAND,
    GETS,
    PUTS,
    SCHEDULER,
    SERVER,
    SHEETS,
    WORKERS,
    Clip,
    simulate,
)

FREE = Clip(stages=((1, 2.0), (1, 0.5), (1, 1.5)), per_range={}, per_clip={})


def test_one_worker_computes_all_the_time() -> None:
    found = simulate(FREE, clips=25, workers=1)
    assert found.seconds == pytest.approx(25 * 4.0)
    assert found.busy[WORKERS] == pytest.approx(1)
    assert found.fullest == WORKERS


def test_workers_share_clips_evenly() -> None:
    found = simulate(FREE, clips=40, workers=10)
    assert found.seconds == pytest.approx(40 * 4.0 / 10)


def test_ranges_go_side_by_side_and_stages_one_after_the_other() -> None:
    clip = Clip(stages=((1, 1.0), (4, 2.0)), per_range={}, per_clip={})
    assert simulate(clip, clips=1, workers=4).seconds == pytest.approx(3)
    assert simulate(clip, clips=1, workers=2).seconds == pytest.approx(5)


def test_what_one_range_costs_everybody_delays_it() -> None:
    clip = Clip(
        stages=((1, 1.0), (1, 1.0)),
        per_range={COMMAND: 0.1, SCHEDULER: 0.01, GETS: 0.002, PUTS: 0.003},
        per_clip={SERVER: 0.2, COMMAND: 0.3},
    )
    assert simulate(clip, clips=1, workers=1).seconds == pytest.approx(2 * 1.115 + 0.5)


@pytest.mark.parametrize("part", [COMMAND, SCHEDULER, GETS, PUTS])
def test_a_part_that_serves_ranges_is_full_at(part: str) -> None:
    clip = Clip(stages=((2, 1.0), (1, 2.0)), per_range={part: 0.02}, per_clip={})
    limit = clip.full_at(part)
    assert limit == pytest.approx(4.0 / 0.06)
    few = simulate(clip, clips=2000, workers=round(limit / 4))
    many = simulate(clip, clips=2000, workers=round(limit * 4))
    assert few.busy[WORKERS] > 0.95
    assert few.busy[part] == pytest.approx(1 / 4, rel=0.1)
    assert many.rate == pytest.approx(1 / 0.06, rel=0.1)
    assert many.fullest == part


@pytest.mark.parametrize("part", [SERVER, SHEETS])
def test_a_part_that_serves_clips_is_full_at(part: str) -> None:
    clip = Clip(stages=((1, 1.0),), per_range={}, per_clip={part: 0.5})
    assert clip.full_at(part) == pytest.approx(2)
    assert simulate(clip, clips=500, workers=50).rate == pytest.approx(2, rel=0.01)


def test_several_commands_share_their_work() -> None:
    clip = Clip(stages=((1, 1.0),), per_range={COMMAND: 0.1}, per_clip={})
    alone = simulate(clip, clips=2000, workers=40)
    four = simulate(clip, clips=2000, workers=40, commands=4)
    assert alone.rate == pytest.approx(10, rel=0.05)
    assert four.rate == pytest.approx(40, rel=0.1)


def test_clips_that_differ_take_as_long_on_average() -> None:
    alike = simulate(FREE, clips=4000, workers=10)
    found = simulate(FREE, clips=4000, workers=10, spread=0.5)
    assert found.seconds == pytest.approx(alike.seconds, rel=0.02)
    assert found.seconds != alike.seconds
    assert found == simulate(FREE, clips=4000, workers=10, spread=0.5)


def test_no_part_is_busier_than_always() -> None:
    clip = Clip(
        stages=((3, 0.2), (1, 0.4)),
        per_range={COMMAND: 0.01, SCHEDULER: 0.004, GETS: 0.001, PUTS: 0.002},
        per_clip={SERVER: 0.02, COMMAND: 0.05},
    )
    found = simulate(clip, clips=3000, workers=64, commands=3)
    assert all(0 < share <= 1 + 1e-9 for share in found.busy.values())
    assert found.seconds >= 3000 * max(clip.worker_seconds / 64, clip.demand(SERVER))
