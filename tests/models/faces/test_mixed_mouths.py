"""Mouths of one face that are cross-faded."""

import numpy as np

from models.faces.crop.rendered import SHIFT_GRID, Rendered, mixed


def mouth(level: int, mask: int) -> Rendered:
    patch = np.full((64, 64, 3), level, np.uint8)
    covered = np.zeros((64, 64), np.uint8)
    covered[20:40, 20:40] = mask
    return Rendered(patch, covered, np.full((SHIFT_GRID, SHIFT_GRID, 2), level, np.float32))


def test_shares_are_of_mask_and_shift_and_colours_meet() -> None:
    made = mixed([(mouth(100, 200), 0.5), (mouth(200, 200), 0.25)])
    assert made.mask[30, 30] == 150 and made.mask[0, 0] == 0
    assert made.patch[30, 30, 0] == made.patch[0, 0, 0] == 133
    assert made.own_shift[0, 0, 0] == 100


def test_a_whole_share_is_the_mouth_itself() -> None:
    one = mouth(100, 200)
    made = mixed([(one, 1.0)])
    for before, after in zip(vars(one).values(), vars(made).values(), strict=True):
        np.testing.assert_array_equal(before, after)
