"""The mark in the picture: found in the face's own coordinates, and nowhere else."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from models.faces.crop.crop import beginning_at
from models.faces.mesh.align import Pose
from models.marks.picture import (
    SIDE,
    PictureMark,
    brightened,
    find_in_picture,
    lights,
)
from tasks.source.landmarks import mean_face

PAYLOAD = 0xCAFE0123
FRAMES, RATE = 60, 25.0


def faces() -> list[NDArray[np.uint8]]:
    """A textured picture that brightens and darkens a little, as a camera sees a still head."""
    random = np.random.default_rng(0)
    still = cv2.GaussianBlur(random.normal(128, 60, (240, 260, 3)), (0, 0), 2)
    grain = [random.normal(2 * np.sin(t / 9), 1.5, still.shape) for t in range(FRAMES)]
    return [np.clip(np.rint(still + each), 0, 255).astype(np.uint8) for each in grain]


@pytest.fixture(scope="module")
def mark() -> PictureMark:
    one = np.ones(FRAMES, np.float32)
    centre = np.tile(np.array([[130, 50, 0]], np.float32), (FRAMES, 1))
    rotation = np.tile(np.eye(3, dtype=np.float32), (FRAMES, 1, 1))
    valid = np.ones(FRAMES, bool)
    valid[10:12] = False
    return PictureMark.of(
        PAYLOAD, Pose(190 * one, rotation, centre), valid, np.arange(FRAMES) / RATE
    )


def marked(
    frame: NDArray[np.uint8], mark: PictureMark, row: int, x0: int = 0, y0: int = 0
) -> NDArray[np.uint8]:
    return brightened(frame, mark.light(row, x0, y0, frame.shape[:2]))


def looks(frames: list[NDArray[np.uint8]], mark: PictureMark) -> NDArray[np.uint8]:
    """The lower face as a detector cuts it out of each frame."""
    cut = [
        cv2.warpAffine(frame, transform, (SIDE, SIDE), flags=cv2.INTER_AREA).mean(axis=2)
        for frame, transform in zip(frames, mark.transforms, strict=True)
    ]
    return np.rint(cut).astype(np.uint8)


def test_it_is_found_from_any_origin_of_time(mark: PictureMark) -> None:
    plain = faces()
    new = [marked(frame, mark, row) for row, frame in enumerate(plain)]
    for shift in (0.0, 17.13):
        reading = find_in_picture(looks(new, mark), mark.seconds + shift, mean_face=mean_face())
        assert reading is not None and reading.found and reading.payload == PAYLOAD
    reading = find_in_picture(looks(plain, mark), mark.seconds, mean_face=mean_face())
    assert reading is not None and not reading.found


def test_it_is_found_with_every_other_frame_left_out(mark: PictureMark) -> None:
    new = [marked(frame, mark, row) for row, frame in enumerate(faces())]
    half = find_in_picture(looks(new, mark)[::2], mark.seconds[::2], mean_face=mean_face())
    assert half is not None and half.payload == PAYLOAD


def test_it_is_45_db_below_full_scale(mark: PictureMark) -> None:
    squares = []
    for row, frame in enumerate(faces()):
        difference = marked(frame, mark, row).astype(int) - frame
        assert not difference.any() or mark.valid[row]
        assert np.abs(difference).max() <= 6
        inside = cv2.warpAffine(
            np.ones((SIDE, SIDE), np.uint8),
            cv2.invertAffineTransform(mark.transforms[row]),
            frame.shape[1::-1],
        )
        squares.append(np.square(difference[inside > 0]).mean())
    assert 10 * np.log10(255**2 / np.mean(squares)) > 45


def test_a_rectangle_is_marked_as_its_frame(mark: PictureMark) -> None:
    frame = faces()[0]
    whole = marked(frame, mark, 3)
    part = marked(np.ascontiguousarray(frame[60:200, 40:230]), mark, 3, 40, 60)
    assert np.abs(part.astype(int) - whole[60:200, 40:230]).max() <= 1
    assert (part == whole[60:200, 40:230]).mean() > 0.99


def test_what_lies_away_from_the_face_stays(mark: PictureMark) -> None:
    corner = np.full((20, 20, 3), 77, np.uint8)
    far = lights(mark.pattern, beginning_at(mark.transforms[0], 900, 900), corner.shape[:2])
    np.testing.assert_array_equal(brightened(corner, far), corner)


def test_too_little_to_look_at_is_told(mark: PictureMark) -> None:
    few = looks(faces(), mark)[:7]
    assert find_in_picture(few, mark.seconds[:7], mean_face=mean_face()) is None
