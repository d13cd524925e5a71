"""Planes and RGB pictures made smaller: sizes, places and averages."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from stores.media.pixels import resized, shrunk, warped

Picture = npt.NDArray[Any]

SIDES = (61, 94)
"""Neither side is a multiple of the factors below [px]."""


def ramp(kind: str) -> Picture:
    """A picture that rises by 2 codes a column and 1 a row: averaging keeps a ramp as it is."""
    rows, columns = np.indices(SIDES)
    codes = rows + 2 * columns
    if kind == "plane of 10 bits":
        return (4 * codes).astype(np.uint16)
    if kind == "RGB":
        return np.repeat(codes[..., None], 3, axis=2).astype(np.uint8)
    return codes.astype(np.uint8)


KINDS = pytest.mark.parametrize("kind", ["plane", "plane of 10 bits", "RGB"])


@KINDS
@pytest.mark.parametrize("times", [1, 2, 3])
def test_shrunk_averages_blocks(kind: str, times: int) -> None:
    picture = ramp(kind)
    small = shrunk(picture, times)

    assert small.dtype == picture.dtype
    assert small.shape[:2] == (-(-SIDES[0] // times), -(-SIDES[1] // times))
    down, across = SIDES[0] // times, SIDES[1] // times
    inside = picture[: down * times, : across * times].astype(float)
    blocks = inside.reshape(down, times, across, times, -1).mean((1, 3))
    assert np.abs(small[:down, :across].reshape(blocks.shape) - blocks).max() <= 0.5


@KINDS
@pytest.mark.parametrize("scale", [0.7, 1.0, 1.9, 3.2])
def test_warped_takes_samples_at_their_places(kind: str, scale: float) -> None:
    picture = ramp(kind)
    size = 12
    matrix = np.array([[scale, 0.0, 10.25], [0.0, scale, 8.5]])
    square = warped(picture, matrix, size, 0)

    centres = scale * (np.arange(size) + 0.5)
    wanted = (centres[:, None] + 8.5) + 2 * (centres[None, :] + 10.25)
    unit = 4 if picture.dtype == np.uint16 else 1
    assert square.dtype == picture.dtype
    assert square.shape == (size, size, *picture.shape[2:])
    found = square.reshape(size, size, -1) / unit
    # Rounded when averaged and when interpolated, at places to 1/32 of an averaged sample.
    assert np.abs(found - wanted[..., None]).max() <= 1.2


def test_warped_beyond_the_picture_is_outside() -> None:
    far = np.array([[2.0, 0.0, 500.0], [0.0, 2.0, 500.0]])
    for kind in ("plane", "RGB"):
        assert (warped(ramp(kind), far, 8, 16) == 16).all()


@pytest.mark.parametrize("side", [(20, 31), (61, 94), (122, 188)])
def test_resized_keeps_a_ramp(side: tuple[int, int]) -> None:
    picture = ramp("plane")
    other = resized(picture, side[1], side[0])

    rows = (np.arange(side[0]) + 0.5) * SIDES[0] / side[0] - 0.5
    columns = (np.arange(side[1]) + 0.5) * SIDES[1] / side[1] - 0.5
    wanted = rows[:, None] + 2 * columns[None, :]
    # The border's samples are repeated beyond it.
    inside = (slice(3, -3), slice(3, -3))
    assert other.shape == side
    assert np.abs(other[inside] - wanted[inside]).max() <= 1.2
