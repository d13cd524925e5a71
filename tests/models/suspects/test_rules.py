"""Each rule on made arrays: it finds what it is for, in its place, and nothing in what is usual."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.faces.crop.crop import crop_transforms
from models.faces.mesh.align import Pose
from models.faces.mesh.indices import MOUTH
from models.metrics.articulation import Phone, width
from models.suspects import lips, picture, place, sound
from models.suspects.suspect import CLASSES, Suspect, heaviest, runs, weight

FRAMES = 100
SECONDS = np.arange(FRAMES) / 25
ALL = np.ones(FRAMES, bool)


def at(*rows: int) -> NDArray[np.bool_]:
    """A mask that holds at some rows."""
    return np.isin(np.arange(FRAMES), rows)


def values(level: float, rows: Any = (), other: float = 0.0) -> NDArray[np.float32]:
    found = np.full(FRAMES, level, np.float32)
    found[list(rows)] = other
    return found


def only(found: list[Suspect], kind: str) -> Suspect:
    assert [each.kind for each in found] == [kind]
    assert found[0].kind in CLASSES and 0.2 <= found[0].weight <= 1
    return found[0]


def test_runs_are_joined_and_weights_rise_with_the_excess() -> None:
    assert runs(at(3, 4, 6, 20)) == [(3, 5), (6, 7), (20, 21)]
    assert runs(at(3, 4, 6, 20), joined=1) == [(3, 7), (20, 21)]
    assert runs(~ALL) == []
    assert weight(1.0) == 0.2 and weight(2.0) == 0.6 and weight(50.0) < 1
    found = [Suspect("jump", 5, 6, 0.3, ""), Suspect("seam", 9, 10, 0.7, "")]
    assert [each.kind for each in heaviest(found)] == ["seam", "jump"]


def test_rows_without_a_face_or_with_a_hidden_mouth() -> None:
    seen, made = ~at(10, 11, 12), ~at(10, 11, 12, 40, 41)
    gone = only(place.no_face(seen, SECONDS), "no_face")
    assert (gone.start, gone.stop) == (10, 13)
    assert gone.reason == (
        "no usable face in the source at 0.40 s: 3 frames passed through as they were"
    )
    hidden = only(place.covered(seen, made, SECONDS), "covered")
    assert (hidden.start, hidden.stop) == (40, 42)
    assert place.no_face(ALL, SECONDS) == [] and place.covered(ALL, ALL, SECONDS) == []


def test_a_box_that_jumps_for_a_frame() -> None:
    turning = np.stack([3 * np.sin(SECONDS), SECONDS], axis=1).astype(np.float32) * 20
    scale = values(100)
    usable = ~at(0, FRAMES - 1)
    assert place.box_jumps(turning, scale, usable, SECONDS) == []
    turning[30] += 15
    jump = only(place.box_jumps(turning, scale, usable, SECONDS), "box_jump")
    assert jump.start <= 30 < jump.stop
    assert "21 % of the face's height at 1.20 s" in jump.reason
    assert place.box_jumps(turning, scale, usable & ~at(29, 30, 31), SECONDS) == []


def test_a_mouth_pasted_elsewhere() -> None:
    turned = np.tile(np.eye(3, dtype=np.float32), (FRAMES, 1, 1))
    moved = np.stack([SECONDS * 9, SECONDS, 0 * SECONDS], axis=1).astype(np.float32)
    pose = Pose(values(120), turned, moved)
    transform = crop_transforms(pose, size=96)
    assert place.pasted_off(transform, 96, pose, ALL, SECONDS) == []
    transform[60:70, 0, 2] += 9.6
    off = only(place.pasted_off(transform, 96, pose, ALL, SECONDS), "box_jump")
    assert (off.start, off.stop) == (60, 70)
    assert "10 % of the face's height from its usual place at 2.40 s" in off.reason
    transform[~at(3)] = 0
    assert place.pasted_off(transform, 96, pose, at(3), SECONDS) == []


@pytest.mark.parametrize(("need", "label"), [(n, p) for n in lips.NEEDS for p in n.phones])
def test_sounds_that_the_lips_do_not_make(need: lips.Need, label: str) -> None:
    phones = [Phone(0.98, 1.04), Phone(1.98, 2.04), Phone(2.9, 2.96)]
    measured = values(0.08, range(24, 28), 0.01)
    measured[70:] = np.nan  # no face: not judged
    found = only(
        lips.needed(need, measured, (0.01, 0.08), SECONDS, phones, [label, label, label]), need.kind
    )
    assert (found.start, found.stop) == (49, 52)
    assert "8.0 % of the face" in found.reason
    assert f"during /{label.lower()}/ at 1.98 s" in found.reason
    assert lips.needed(need, measured, (0.01, 0.08), SECONDS, phones, ["K"] * 3) == []


def test_a_mouth_is_as_wide_as_its_corners_are_apart() -> None:
    mouth = np.zeros((2, len(MOUTH), 3), np.float32)
    mouth[1, MOUTH.index(61), 0], mouth[1, MOUTH.index(291), 0] = -0.2, 0.3
    np.testing.assert_allclose(width(mouth), [0, 0.5])


def test_a_mouth_that_does_not_rest_in_silence() -> None:
    silent = at(*range(20, 60))
    speed, closed = values(0.3, range(20, 60), 0.05), values(0.4, range(20, 60), 0.1)
    assert lips.restless(closed, speed, silent, ~silent, SECONDS) == []
    wide = values(0.4, range(30, 40), 0.9)
    stands = only(lips.restless(wide, speed, silent, ~silent, SECONDS), "silence")
    assert (stands.start, stands.stop) == (30, 40)
    assert stands.reason == "mouth 90 % of this person's range open in silence at 1.20 s"
    speed[44:50] = 0.6
    moves = only(lips.restless(closed, speed, silent, ~silent, SECONDS), "silence")
    assert (moves.start, moves.stop) == (44, 50)
    assert "2.0 times as fast as in speech" in moves.reason
    assert lips.restless(values(np.nan), values(np.nan), silent, ~silent, SECONDS) == []


def test_a_picture_that_jumps_is_no_fast_mouth() -> None:
    usual, step = values(4, range(80, 100), 8), values(4, range(31, 35), 14)
    step[[30, 35]] = 9
    still = values(0.1, range(0, 100, 5), 1.0)
    for asked in (None, still):
        assert picture.jumps(step, usual, asked, ALL, SECONDS) == [], "six fast frames"
    step[62] = 24
    for asked in (None, still):
        jump = only(picture.jumps(step, usual, asked, ALL, SECONDS), "jump")
        assert (jump.start, jump.stop) == (62, 63)
        assert "24 levels in one frame at 2.48 s, by 4 in those beside it" in jump.reason
        cut = picture.jumps(step, usual, asked, ~at(62), SECONDS)
        assert cut == [], "a cut, or no mouth made anew"
    step[62], still[62] = 13, 1.0
    assert picture.jumps(step, usual, still, ALL, SECONDS) == [], "the speech asks for it"
    still[62] = 0.1
    assert only(picture.jumps(step, usual, still, ALL, SECONDS), "jump").start == 62
    nothing = values(np.nan)
    assert picture.jumps(nothing, nothing, None, ALL, SECONDS) == []


def test_a_border_that_shows_for_some_frames() -> None:
    seam = only(picture.seams(values(1.1, range(50, 60), 3), ALL, SECONDS), "seam")
    assert (seam.start, seam.stop) == (50, 60)
    assert "3.0 times as sharp" in seam.reason
    assert picture.seams(values(1.1, [50], 3), ALL, SECONDS) == []
    assert picture.seams(values(np.nan), ALL, SECONDS) == []


def test_the_face_of_another_person() -> None:
    strange = only(picture.strangers(values(0.02, range(10, 20), 0.4), ALL, SECONDS), "identity")
    assert (strange.start, strange.stop) == (10, 20)
    rows = np.arange(0, FRAMES, 12)
    distance = np.full(len(rows), 0.2, np.float32)
    distance[3:5] = 0.7, np.nan
    far = only(picture.distant(distance, rows, SECONDS[rows]), "identity")
    assert (far.start, far.stop) == (36, 37)
    assert "0.70 from the source's at 1.44 s" in far.reason


def test_a_late_sound_is_found_over_all_of_it_and_a_part_in_its_place() -> None:
    draw = np.random.default_rng(3)
    walk = np.cumsum(draw.normal(size=(500, 8)), axis=0)
    smooth = np.stack([np.convolve(each, np.ones(5) / 5, "same") for each in walk.T], axis=1)
    asked = (0.02 * smooth).astype(np.float32)
    seconds = np.arange(500) / 25
    seen = np.ones(500, np.float32)
    assert sound.out_of_step(asked, asked, seen, seconds) == []
    late = only(sound.out_of_step(asked, np.roll(asked, -3, axis=0), seen, seconds), "sound")
    assert (late.start, late.stop) == (0, 500)
    assert "the sound is 118 ms late from 0.00 to 20.00 s" in late.reason
    part = asked.copy()
    part[250:] = np.roll(asked, 5, axis=0)[250:]
    half = only(sound.out_of_step(asked, part, seen, seconds), "sound")
    assert "the picture is 200 ms late" in half.reason
    assert half.start >= 150
    assert sound.out_of_step(asked[:20], asked[:20], seen[:20], seconds) == []
