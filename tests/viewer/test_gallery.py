"""Faces above their captions."""

import numpy as np

from viewer.gallery import gallery


def test_faces_of_any_shape_stand_in_rows_above_captions() -> None:
    red, wide = np.zeros((90, 60, 3), np.uint8), np.zeros((40, 400, 3), np.uint8)
    red[..., 0] = 255
    wide[..., 2] = 255
    drawn = gallery([(red, "track:0"), (wide, "track:1"), (red, "track:2")], columns=2)
    height, width = drawn.shape[0] // 2, drawn.shape[1] // 2
    assert drawn.shape == (2 * height, 2 * width, 3) and width == 200
    tiles = [drawn[:height, :width], drawn[:height, width:], drawn[height:, :width]]
    for tile, colour in zip(tiles, ([255, 0, 0], [0, 0, 255], [255, 0, 0]), strict=True):
        np.testing.assert_array_equal(tile[100, 100], colour)
        assert (tile[200:] < 128).any(), "a caption"
    assert (drawn[height:, width:] == 255).all(), "nothing where no face is left"


def test_one_face_is_one_tile() -> None:
    assert gallery([(np.zeros((50, 50, 3), np.uint8), "track:0")]).shape[1] == 200
