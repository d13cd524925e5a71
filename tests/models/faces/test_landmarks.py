"""From boxes to FAN's squares and from its heatmaps back to the frame."""

import numpy as np
import torch

from models.faces.landmarks import decode


def test_points_come_back_to_where_they_were_in_the_frame() -> None:
    centres, scales = decode.square_of_box(np.array([[40, 30, 140, 160], [10, 10, 70, 90]], float))
    heatmaps = np.zeros((2, 3, 64, 64), np.float32)
    places = np.array([[[10, 20], [0, 63], [32, 31]], [[5, 5], [40, 2], [63, 0]]])
    for face, points in enumerate(places):
        for point, (x, y) in enumerate(points):
            heatmaps[face, point, y, x] = 1 + point
    points, scores = decode.peaks(heatmaps)
    np.testing.assert_array_equal(points, places + 0.5)
    np.testing.assert_array_equal(scores, [[1, 2, 3], [1, 2, 3]])
    frame = decode.to_frame(points, centres, scales)
    corner = centres - 100 * scales[:, None]
    expected = corner[:, None] + points * (200 / 64 * scales)[:, None, None]
    np.testing.assert_allclose(frame, expected)


def test_mirroring_twice_changes_nothing() -> None:
    heatmaps = torch.rand(2, 68, 64, 64)
    assert torch.equal(decode.mirrored(decode.mirrored(heatmaps)), heatmaps)
    left_eye_corner, right_eye_corner = 36, 45
    assert torch.equal(
        decode.mirrored(heatmaps)[:, left_eye_corner], heatmaps[:, right_eye_corner].flip(-1)
    )


def test_what_lies_outside_the_frame_is_black() -> None:
    frame = np.full((100, 100, 3), 200, np.uint8)
    centres, scales = decode.square_of_box(np.array([[-30, 30, 40, 100]], float))
    square = decode.crop(frame, centres[0], float(scales[0]))
    assert square.shape == (256, 256, 3)
    assert (square[128, :60] == 0).all() and (square[128, -80:] == 200).all()
