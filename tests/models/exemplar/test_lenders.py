"""Which frames are borrowed."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models.exemplar.bank import bank_frames, bank_runs
from models.exemplar.lenders import NEAR, REACH, Bank, Choice, NothingLeft, _Search, choose_donors
from models.exemplar.render import mix_donors
from models.exemplar.settings import LenderSettings
from models.exemplar.shapes import lip_descriptor, lip_gap
from models.faces.mesh.indices import MOUTH
from tests.models.exemplar_scene import NEUTRAL, make_bank, opened, still_pose


def first_only(frames: int) -> NDArray[np.bool_]:
    return np.arange(frames) == 0


def choose(amount: NDArray[np.float32], bank: Bank, **options: object) -> NDArray[np.int32]:
    scene_start = options.pop("scene_start", first_only(len(amount)))
    return choice(amount, bank, scene_start=scene_start, **options).rows


def choice(amount: NDArray[np.float32], bank: Bank, **options: object) -> Choice:
    return choose_donors(
        opened(amount)[:, list(MOUTH)],
        bank,
        target_pose=still_pose(len(amount)),
        neutral=NEUTRAL,
        **options,  # type: ignore[arg-type]
    )


def talking(frames: int, *, seed: int = 0) -> NDArray[np.float32]:
    t = np.arange(frames) + 100 * seed
    return (0.05 + 0.03 * np.sin(t / 2.3) + 0.02 * np.sin(t / 1.1 + 1)).astype(np.float32)


def test_the_own_motion_finds_its_own_frames_in_order() -> None:
    amount = talking(80)
    assert choose(amount, make_bank(amount)).tolist() == list(range(80))


def test_going_on_is_preferred_to_slightly_better_jumps() -> None:
    amount = talking(60)
    run = amount + 0.0006
    elsewhere = np.random.default_rng(0).permutation(amount)
    bank = make_bank(np.concatenate([run, elsewhere]).astype(np.float32))
    path = choose(amount, bank)
    assert (np.diff(path) == 1).mean() > 0.9


def test_nothing_is_borrowed_within_the_exclusion() -> None:
    amount = talking(200)
    bank = make_bank(amount)
    path = choose(amount, bank, target_time_s=bank.time_s, exclude_within_s=1.0)
    assert (np.abs(path - np.arange(200)) >= 25).all()
    wanted, borrowed = amount, amount[path]
    assert np.corrcoef(wanted, borrowed)[0, 1] > 0.95


def test_an_exclusion_that_leaves_nothing_says_which_frame() -> None:
    amount = talking(20)
    bank = make_bank(amount)
    with pytest.raises(NothingLeft, match=r"frame 0: the whole bank lies within 1\.0 s"):
        choose(amount, bank, target_time_s=bank.time_s, exclude_within_s=1.0)


def test_a_closed_mouth_borrows_a_closed_mouth() -> None:
    bank = make_bank(np.linspace(0.1, 0, 40).astype(np.float32))
    path = choose(np.zeros(30, np.float32), bank)
    assert (lip_gap(bank.mouth[path]) < lip_gap(NEUTRAL[None]) + 0.004).all()


def test_one_closed_frame_between_open_ones_is_not_smoothed_away() -> None:
    amount = np.full(31, 0.06, np.float32)
    amount[15] = 0
    bank = make_bank(np.concatenate([np.full(40, 0.06), np.zeros(5)]).astype(np.float32))
    assert choose(amount, bank)[15] >= 40


def test_the_share_in_reach_is_of_mouths_that_the_bank_nearly_shows() -> None:
    bank = make_bank(np.linspace(0, 0.03, 40).astype(np.float32))
    found = choice(
        np.repeat([0.015, 0.15], 10).astype(np.float32), bank, scene_start=first_only(20)
    )
    assert (found.nearest[:10] < 0.002).all() and (found.nearest[10:] > 2 * REACH).all()
    everywhere = np.ones(20, bool)
    assert found.in_reach(everywhere) == 0.5
    assert found.in_reach(np.arange(20) < 15) == pytest.approx(2 / 3)
    assert found.in_reach(~everywhere) is None


def test_doubtful_frames_are_borrowed_only_for_want_of_others() -> None:
    amount = np.full(20, 0.05, np.float32)
    good = make_bank(np.array([0.05, 0.052] * 20, np.float32))
    quality = np.tile(np.array([0, 1], np.float32), 20)
    bank = Bank(good.mouth, good.pose, good.time_s, good.run, quality)
    assert (choose(amount, bank) % 2 == 1).all()


def test_a_cut_sets_the_path_free() -> None:
    amount = talking(40)
    bank = make_bank(np.concatenate([amount[:20] + 0.002, amount]).astype(np.float32))
    scene_start = first_only(40)
    scene_start[20] = True
    settings = LenderSettings(jump_cost=1.0)
    path = choose(amount, bank, scene_start=scene_start, settings=settings)
    assert path[20:].tolist() == list(range(40, 60))


def test_work_per_frame_does_not_grow_with_the_bank() -> None:
    widths = []
    for rows in (300, 3000):
        bank = make_bank(talking(rows))
        search = _Search(bank, lip_descriptor(bank.mouth, NEUTRAL), LenderSettings(candidates=16))
        cost = np.random.default_rng(0).uniform(0, 1, (20, rows)).astype(np.float32)
        for row in cost:
            search.step(row, fresh=False)
        widths.append(max(len(rows) for rows in search._rows))
    assert max(widths) <= 3 * 16


def test_an_empty_bank_is_refused() -> None:
    with pytest.raises(ValueError, match="bank is empty"):
        make_bank(np.zeros(0, np.float32))


def test_a_bank_is_thinned_to_runs_spread_over_the_whole_source() -> None:
    usable = np.ones(20000, bool)
    usable[5000:6000] = False
    frames = bank_frames(usable, limit=3000)
    assert 2700 <= len(frames) <= 3000
    assert usable[frames].all()
    assert frames[0] < 100 and frames[-1] > 19900
    assert (np.diff(frames) == 1).mean() > 0.97
    assert bank_frames(usable, limit=20000).tolist() == np.flatnonzero(usable).tolist()


def test_runs_of_a_bank_break_at_gaps_and_cuts() -> None:
    frames = np.array([3, 4, 5, 9, 10, 11], np.int32)
    scene_start = np.zeros(20, bool)
    scene_start[[0, 10]] = True
    assert bank_runs(frames, scene_start).tolist() == [0, 0, 0, 1, 2, 2]


def test_jumps_are_cross_faded_and_runs_and_cuts_are_not() -> None:
    path = np.array([0, 1, 2, 3, 20, 21, 22, 23, 5, 6, 7, 8], np.int32)
    run = np.zeros(40, np.int32)
    scene_start = first_only(12)
    scene_start[8] = True
    mix = mix_donors(path, run, scene_start=scene_start, fade_frames=2)
    assert np.flatnonzero(mix.weight).tolist() == [3, 4]
    assert mix.second[3] == 19 and mix.second[4] == 4
    assert (mix.weight <= 0.5).all()
    assert (mix_donors(path, run, scene_start=scene_start, fade_frames=0).weight == 0).all()


def test_a_jump_avoids_teeth_turning_into_darkness() -> None:
    """Two equal continuations: the one that looks alike between the lips is taken."""
    amount = talking(20)
    halves = [amount[:10], amount[10:], amount[10:]]
    plain = make_bank(np.concatenate(halves), run=np.repeat([0, 1, 2], 10).astype(np.int32))
    interior = np.repeat([[0.8], [0.1], [0.8]], 10, axis=0).astype(np.float32)
    bank = Bank(plain.mouth, plain.pose, plain.time_s, plain.run, plain.quality, interior)
    assert choose(amount, bank).tolist() == [*range(10), *range(20, 30)]


def test_mouths_most_like_the_wanted_one_come_best_first_and_lie_apart() -> None:
    amount = talking(200)
    bank = make_bank(amount)
    found = choice(
        amount,
        bank,
        scene_start=first_only(200),
        target_time_s=bank.time_s,
        exclude_within_s=1.0,
    ).near
    assert found.shape == (200, NEAR)
    assert (np.abs(found - np.arange(200)[:, None]) >= 25).all()
    for row in found.tolist():
        apart = np.abs(np.subtract.outer(row, row))[np.triu_indices(NEAR, 1)]
        assert apart.min() >= 3
    off = np.abs(amount[found] - amount[:, None])
    assert (off[:, 0] <= off[:, 1:].min(1) + 1e-3).mean() > 0.95
    assert off.mean() < 0.2 * np.abs(amount - amount.mean()).mean()


def test_a_bank_of_few_mouths_gives_them_again() -> None:
    bank = make_bank(np.array([0.0, 0.05], np.float32))
    near = choice(np.array([0.05, 0.0], np.float32), bank, scene_start=first_only(2)).near
    assert near.tolist() == [[1] * NEAR, [0] * NEAR]
