"""Crops: copied where they can be, else sampled at the right place and without aliasing."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from models.faces.crop.crop import (
    box_transforms,
    cut,
    face_squares,
    native_crops,
    pixel_matrix,
    whole_box,
)
from tasks.source.face_crops import face_transforms
from tests.models.exemplar_scene import still_pose, texture

Floats = NDArray[np.float32]


def box_transform(x0: int, y0: int, side: int, size: int) -> Floats:
    box = np.array([[x0, y0, x0 + side, y0 + side]])
    return box_transforms(box, np.array([True]), size=size)[0]


def sampled(image: NDArray[np.uint8], transform: Floats, size: int) -> NDArray[np.int64]:
    """The crop as a cubic warp gives it, whatever the transform."""
    found = cv2.warpAffine(
        image,
        pixel_matrix(transform),
        (size, size),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return found.astype(np.int64)


@pytest.mark.parametrize(("x0", "y0", "side"), [(40, 20, 100), (-30, 180, 128), (10, -25, 120)])
def test_a_square_of_whole_pixels_is_resized_to_what_a_warp_gives(
    x0: int, y0: int, side: int
) -> None:
    image, transform = texture(), box_transform(x0, y0, side, 112)
    assert whole_box(transform, 112) is not None
    apart = np.abs(cut(image, transform, 112) - sampled(image, transform, 112))
    assert apart.max() <= 6 and apart.mean() < 0.5, "the warp knows places to 1/32 px alone"


def test_a_crop_of_the_frames_own_size_is_a_copy_and_edges_go_on() -> None:
    image = texture(60, 80)
    for x0, y0 in ((10, 5), (-20, 40), (70, -30), (200, 7), (-90, 300)):
        rows = np.clip(np.arange(y0, y0 + 32), 0, 59)
        columns = np.clip(np.arange(x0, x0 + 32), 0, 79)
        copy = cut(image, box_transform(x0, y0, 32, 32), 32)
        np.testing.assert_array_equal(copy, image[rows[:, None], columns])


def test_a_much_smaller_crop_is_made_of_means() -> None:
    image = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    blocks = image.reshape(32, 4, 32, 4, 3).mean((1, 3))
    np.testing.assert_allclose(cut(image, box_transform(0, 0, 128, 32), 32), blocks, atol=1)


@pytest.mark.parametrize("side", [170, 300, 500])
def test_a_turned_crop_shows_a_spot_where_it_lies_and_noise_as_grey(side: int) -> None:
    transform = box_transform(50, 30, side, 96)
    turn = np.array([[0.9, -0.3], [0.3, 0.9]], np.float32) / np.float32(np.hypot(0.9, 0.3))
    transform[:, :2] = turn * (96 / side)
    assert whole_box(transform, 96) is None
    y, x = np.mgrid[:600, :600] + 0.5
    there = np.linalg.solve(transform[:, :2], np.array([45.3, 40.8]) - transform[:, 2])
    spot = 255 * np.exp(-((x - there[0]) ** 2 + (y - there[1]) ** 2) / (2 * (side / 20) ** 2))
    seen = cut(np.dstack([spot] * 3).astype(np.uint8), transform, 96)[..., 0].astype(float)
    rows, columns = np.mgrid[:96, :96] + 0.5
    centre = [(seen * each).sum() / seen.sum() for each in (columns, rows)]
    np.testing.assert_allclose(centre, (45.3, 40.8), atol=0.1)
    checks = ((x.astype(int) + y.astype(int)) % 2 * 255).astype(np.uint8)
    inner = cut(np.dstack([checks] * 3), transform, 96)[30:60, 30:60]
    assert np.abs(inner.astype(float) - 127.5).max() < 40


def test_squares_of_faces_are_of_whole_pixels() -> None:
    pose = still_pose(5)
    pose.scale[:] = [80.3, 79.1, 96.7, 101.2, 60.5]
    pose.translation[:, 0] += np.linspace(0, 3.3, 5, dtype=np.float32)
    valid = np.ones(5, np.bool_)
    size, native = native_crops(pose, valid, max_size=64)
    assert size == 64
    for transforms, side in ((native, size), (face_transforms(pose, valid, size=96), 96)):
        boxes = [whole_box(each, side) for each in transforms]
        assert None not in boxes
        assert len({box.x1 - box.x0 for box in boxes if box}) > 1, "faces of several sizes"
    corners = np.array([[0, 0, 1], [1, 0, 1], [0, 1, 1], [1, 1, 1]], np.float32)
    held = face_squares(pose, native) @ corners.T
    assert held.min() > -1 and held.max() < size + 1, "the aligned crop lies inside"
