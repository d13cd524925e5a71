"""The talking face's benchmark counts holes on skin alone, and reads eyes as anyone would."""

from pathlib import Path

import numpy as np

from benchmarks.stylegan2_face import (
    betrayed,
    eye_opening,
    followed,
    holes,
    one_each,
    skin_of,
)
from models.stylegan2_face.alignment import EYES
from stores.dataset_index import ClipPart
from tasks.source.landmarks import mean_face


def _points() -> np.ndarray:
    face = mean_face()[:, :2]
    return (face * np.float32(110) + np.float32([64, 64]) - face.mean(0) * 110)[None]


def test_holes_are_counted_on_the_skin() -> None:
    points = _points()[0]
    skin = skin_of(points, 128)
    for group in EYES:
        x, y = np.rint(points[list(group)].mean(0)).astype(int)
        assert not skin[y, x]
    assert 0.1 < skin.mean() < 0.6
    flat = np.full((128, 128, 3), 150, np.uint8)
    assert holes(flat, skin) == 0
    spots = np.argwhere(skin)[::97]
    flat[tuple(spots.T)] = 180
    flat[0, 0] = 0
    assert holes(flat, skin) == len(spots)
    flat[tuple(spots.T)] = 170
    assert holes(flat, skin) == 0


def test_closed_eyes_have_no_height() -> None:
    points = _points()
    wide = eye_opening(points)
    assert 0.2 < wide[0] < 0.5
    closed = points.copy()
    for _, up, upper, _, lower, low in EYES:
        closed[:, [low, lower]] = closed[:, [up, upper]]
    assert eye_opening(closed)[0] == 0


def test_a_driver_that_stands_still_is_not_judged() -> None:
    driver = np.sin(np.arange(40, dtype=np.float32))
    assert followed(2 * driver + 1, driver, 0.5) > 0.99
    assert np.isnan(followed(driver, driver, 0.8))


def test_each_person_comes_first() -> None:
    parts = [
        ClipPart(row, person, "validation", 0, 9, 1.0, 0.0, 0.0, Path("x.mp4"), "0", {})
        for row, person in enumerate("aabca")
    ]
    assert [part.row for part in one_each(parts)] == [0, 2, 3, 1, 4]


def test_an_opening_is_read_only_out_of_what_holds_it() -> None:
    drawn = np.random.default_rng(0)
    openings = [drawn.random(40).astype(np.float32) for _ in range(8)]
    weights = drawn.standard_normal((1, 6))
    holding = [
        (each[:, None] @ weights + drawn.standard_normal(6)).astype(np.float32) for each in openings
    ]
    blind = [drawn.standard_normal((40, 6)).astype(np.float32) for _ in openings]
    assert betrayed(holding, openings) > 0.95
    assert betrayed(blind, openings) < 0.1
