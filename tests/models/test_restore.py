"""Face restoration beyond the goldens: geometry, pasting, GFPGAN as it is run."""

import numpy as np
import pytest
import torch

from models.restore import align, gfpgan

TURN = np.array([[0.8, -0.3], [0.3, 0.8]])
MOVE = np.array([120.0, 90.0])


def face_points() -> np.ndarray:
    """FFHQ's mean points, turned, scaled and moved."""
    return (align.FFHQ_POINTS @ TURN.T) * 0.5 + MOVE


def smooth_frame(height: int = 440, width: int = 400) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([60 + x / 4, 60 + y / 4, 120 + (x - y) / 8], -1).astype(np.uint8)


@pytest.mark.parametrize(
    ("affine_of", "target"),
    [(align.ffhq_affine, align.FFHQ_POINTS / 2), (align.gpen_affine, align.gpen_points(256))],
)
def test_a_similarity_is_found_exactly(affine_of, target) -> None:
    points = (target @ TURN.T) * 0.5 + MOVE
    affine = affine_of(points, 256)
    np.testing.assert_allclose(points @ affine[:, :2].T + affine[:, 2], target, atol=1e-3)
    back = align.inverse(affine)
    np.testing.assert_allclose(target @ back[:, :2].T + back[:, 2], points, atol=1e-3)


def test_a_mirrored_face_is_turned_not_mirrored() -> None:
    affine = align.gpen_affine(align.FFHQ_POINTS * (-1, 1))
    assert np.linalg.det(affine[:, :2]) > 0


def test_a_crop_pasted_back_leaves_the_frame() -> None:
    frame = smooth_frame()
    affine = align.ffhq_affine(face_points())
    crop = align.crop_face(frame, affine, border=align.FFHQ_BORDER)
    mask = align.paste_mask(np.ones((512, 512), np.uint8))
    pasted = align.paste_face(frame, crop, affine, mask)
    assert np.abs(pasted.astype(int) - frame).max() <= 2
    painted = align.paste_face(frame, np.zeros_like(crop), affine, mask)
    nose_x, nose_y = face_points()[2].astype(int)
    assert not painted[nose_y, nose_x].any()
    assert np.array_equal(painted[0], frame[0])


def test_a_face_at_the_edge_and_one_outside() -> None:
    frame = smooth_frame(100, 120)
    mask = np.ones((512, 512))
    face = np.zeros((512, 512, 3), np.uint8)
    edge = np.array([[1.0, 0, 412], [0, 1, 0]])  # 100 columns of the crop lie in the frame
    pasted = align.paste_face(frame, face, edge, mask)
    assert not pasted[:, :100].any()
    assert np.array_equal(pasted[:, 101:], frame[:, 101:])
    outside = np.array([[1.0, 0, 0], [0, 1, 2000]])
    assert np.array_equal(align.paste_face(frame, face, outside, mask), frame)
    crop = align.crop_face(frame, outside, border=align.FFHQ_BORDER)
    assert (crop[0, 0] == align.FFHQ_BORDER).all()


def test_a_mask_shows_its_classes_and_no_border() -> None:
    labels = np.zeros((512, 512), np.uint8)
    labels[100:400, 100:400] = 10
    labels[300:400, 100:400] = 17
    mask = align.paste_mask(labels)
    assert mask[200, 250] > 0.99
    assert mask[380, 250] < 0.01
    everything = align.paste_mask(np.ones((512, 512), np.uint8))
    assert not everything[:10].any()
    assert not everything[:, -10:].any()
    assert everything[10:-10, 10:-10].min() > 0.99


@pytest.mark.parametrize("points", [np.zeros((4, 2)), np.full((5, 2), np.nan)])
def test_other_than_five_points_are_refused(points: np.ndarray) -> None:
    with pytest.raises((ValueError, TypeError), match="points"):
        align.ffhq_affine(points)
    with pytest.raises((ValueError, TypeError), match="points"):
        align.gpen_affine(points)


def test_points_that_coincide_are_refused() -> None:
    points = np.full((5, 2), 7.0)
    with pytest.raises(ValueError, match="coincide"):
        align.gpen_affine(points)


@pytest.mark.goldens
def test_gfpgan_runs_in_channels_last_and_repeats_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gfpgan, "SIZE", 32)  # of the same build, only smaller
    network = gfpgan.GfpganRestorer(gfpgan.gfpgan_v1_clean()).eval().requires_grad_(False)
    faces = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    restored = network(faces)
    assert restored.shape == faces.shape
    assert restored.dtype == torch.uint8
    last = network.to(memory_format=torch.channels_last)(faces)
    assert (last.int() - restored.int()).abs().max() <= 1
    with torch.autocast("cpu", torch.bfloat16):
        half = network(faces)
    assert (half.float() - restored.float()).abs().mean() < 4
