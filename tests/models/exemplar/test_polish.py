"""The polishing network: what it is shown, what it says, and what becomes of the mouth."""

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.exemplar.polish import (
    INPUTS,
    MOUTH_CENTRE,
    MOUTH_SIDE,
    MOUTH_SPAN,
    OUTPUTS,
    REFERENCES,
    PolishNetwork,
    contours,
    correction,
    differences,
    mouth_squares,
    moved_points,
    network_inputs,
    polished,
    small_mask,
    small_mouth,
    warped_references,
)
from models.exemplar.polish_network import Polish
from models.exemplar.polish_network import correction as torch_correction
from models.exemplar.render import canonical_to_crop
from models.exemplar.settings import PolishSize
from models.faces.crop.lower_face import lower_face
from models.faces.crop.rendered import Rendered
from models.faces.mesh.align import Pose
from models.faces.mesh.indices import MOUTH
from tests.models.exemplar_scene import MEAN_FACE, Scene, make_scene, texture

SMALL = PolishSize(fine=3, middle=5, coarse=4, coarse_layers=2)
WHOLE = np.full((MOUTH_SIDE, MOUTH_SIDE), 255, np.uint8)
CLOSED, OPEN = 0, 1


@pytest.fixture(scope="module")
def scene() -> Scene:
    return make_scene(np.array([0.0, 0.06], np.float32))


def picture(seed: int) -> NDArray[np.uint8]:
    return texture(MOUTH_SIDE, MOUTH_SIDE, seed=seed)


def lively(size: PolishSize) -> Polish:
    """A network whose output follows its input, unlike a new one's."""
    torch.manual_seed(0)
    network = Polish(size)
    torch.nn.init.normal_(network.out.weight, 0, 0.1)
    return network


@pytest.mark.parametrize("size", [SMALL, PolishSize(), PolishSize(coarse_layers=1)])
def test_opencv_runs_the_network_that_torch_trained(size: PolishSize) -> None:
    trained = lively(size)
    own = PolishNetwork({n: v.numpy() for n, v in trained.state_dict().items()}, size)
    given = np.random.default_rng(0).normal(0, 1, (2, INPUTS, MOUTH_SIDE, MOUTH_SIDE))
    with torch.no_grad():
        wanted = trained(torch.from_numpy(given).float()).numpy()
    assert wanted.std((0, 2, 3)).min() > 0.01
    for inputs, output in zip(given.astype(np.float32), wanted, strict=True):
        np.testing.assert_allclose(own(inputs), output, atol=1e-5)


def test_it_is_small_enough() -> None:
    assert sum(p.numel() for p in Polish().parameters()) < 1_500_000


def test_torch_and_numpy_correct_alike() -> None:
    drawn = np.random.default_rng(0)
    output = drawn.normal(0, 0.2, (OUTPUTS, MOUTH_SIDE, MOUTH_SIDE)).astype(np.float32)
    mask = drawn.integers(0, 256, WHOLE.shape).astype(np.uint8)
    references = np.stack([picture(n) for n in range(1, 1 + REFERENCES)])
    more = differences(picture(0), references, mask)
    own = correction(output, more, mask)
    batch = [torch.from_numpy(each)[None] for each in (output, more, mask[None] / np.float32(255))]
    np.testing.assert_allclose(own.transpose(2, 0, 1), torch_correction(*batch)[0] * 255, atol=1e-3)


def test_shares_of_the_references_mix_them_in() -> None:
    references = np.stack([picture(n) for n in range(1, 1 + REFERENCES)])
    more = differences(picture(0), references, WHOLE)
    output = np.zeros((OUTPUTS, MOUTH_SIDE, MOUTH_SIDE), np.float32)
    output[1] = 0.25
    added = correction(output, more, WHOLE)
    wanted = cv2.GaussianBlur(0.25 * (references[1].astype(float) - picture(0)), (3, 3), 0)
    np.testing.assert_allclose(added[1:-1, 1:-1], wanted[1:-1, 1:-1], atol=1e-3)
    output[1], output[REFERENCES] = 0, 0.1
    added = correction(output, more, WHOLE)[1:-1, 1:-1]
    wanted = np.broadcast_to([0.1 * 0.25 * 255, 0, 0], added.shape)
    np.testing.assert_allclose(added, wanted, rtol=1e-5)


def test_what_shows_nothing_is_mixed_in_nowhere() -> None:
    references = np.stack([picture(n) for n in range(1, 1 + REFERENCES)])
    references[2, :20] = 0
    mask = WHOLE.copy()
    mask[:, :9] = 0
    more = differences(picture(0), references, mask)
    assert not more[2, :, :20].any() and more[1, :, :20, 9:].any()
    assert not more[..., :9].any()


def test_the_network_sees_no_skin_colour() -> None:
    def seen(offset: int) -> NDArray[np.float32]:
        patch, before, after, *others = (
            np.clip(picture(n), 60, 190) + np.uint8(offset) for n in range(3 + REFERENCES)
        )
        more = differences(patch, np.stack(others), WHOLE)
        lips = np.stack([WHOLE, WHOLE])
        return network_inputs(patch, before, after, more, lips, WHOLE)

    np.testing.assert_allclose(seen(0), seen(40), atol=1e-4)
    assert seen(0).shape == (INPUTS, MOUTH_SIDE, MOUTH_SIDE)


def test_the_square_follows_place_size_and_roll() -> None:
    angles = np.array([0.0, 0.5, -0.3])
    zero, one = np.zeros(3), np.ones(3)
    c, s = np.cos(angles), np.sin(angles)
    turned = np.stack([c, -s, zero, s, c, zero, zero, zero, one], 1).reshape(3, 3, 3)
    pose = Pose(
        np.array([100, 150, 300], np.float32),
        turned.astype(np.float32),
        np.array([[80, 60, 0], [10, 20, 0], [0, 0, 0]], np.float32),
    )
    transforms = np.zeros((3, 2, 3), np.float32)
    transforms[:2, 0, 0] = transforms[:2, 1, 1] = (1, 0.5)
    transforms[:2, :, 2] = (7, 3)
    squares = mouth_squares(pose, transforms)
    x, y, z = MOUTH_CENTRE
    for corner in (0.0, MOUTH_SPAN / 2):
        at = np.broadcast_to(np.array([x + corner, y + corner, z], np.float32), (3, 1, 3))
        placed = pose.to_image(at)[:2, 0, :2]
        for frame in (0, 1):
            crop = transforms[frame, :, :2] @ placed[frame] + transforms[frame, :, 2]
            found = squares[frame, :, :2] @ crop + squares[frame, :, 2]
            wanted = MOUTH_SIDE * (0.5 + corner / MOUTH_SPAN)
            np.testing.assert_allclose(found, wanted, atol=1e-3)
    assert not squares[2].any(), "where there is no face"


def test_the_contours_are_those_of_the_lips_that_are_drawn(scene: Scene) -> None:
    square = mouth_squares(scene.pose, scene.transforms)[CLOSED]
    linear = canonical_to_crop(scene.pose, scene.transforms)[CLOSED]
    points = scene.crop_landmarks[CLOSED]
    shut, opened = (
        contours(moved_points(points, moved, linear), square)
        for moved in (np.zeros((57, 3), np.float32), scene.mouth[OPEN] - scene.mouth[CLOSED])
    )
    assert (opened[0] > 0).sum() > (shut[0] > 0).sum() + 20
    assert (opened[0] >= opened[1]).all(), "the inner lips lie within the outer ones"
    at = scene.crop_landmarks[OPEN][list(MOUTH), :2] @ square[:, :2].T + square[:, 2]
    rows = np.flatnonzero(opened[0].max(1) > 127)
    assert rows.max() + 1 == pytest.approx(at[17:, 1].max(), abs=1.5)


def test_a_reference_with_the_same_lips_stays_where_it_is(scene: Scene) -> None:
    square = mouth_squares(scene.pose, scene.transforms)[CLOSED]
    linear = canonical_to_crop(scene.pose, scene.transforms)[CLOSED]
    own = small_mouth(scene.crop, square)

    def placed(frame: int) -> NDArray[np.float32]:
        points = scene.crop_landmarks[frame].copy()
        points[:, :2] = points[:, :2] @ square[:, :2].T + square[:, 2]
        return points

    def warped(moved: NDArray[np.float32], frame: int) -> NDArray[np.uint8]:
        lent = [(own, placed(frame))]
        return warped_references(
            lower_face(MEAN_FACE), scene.crop_landmarks[CLOSED], moved, linear, square, lent
        )[0]

    inside = np.s_[24:56, 16:48]
    still = np.zeros((57, 3), np.float32)
    np.testing.assert_allclose(warped(still, CLOSED)[inside], own[inside], atol=2)
    # The open mouth's own lips are asked for, so its picture too stays as it is.
    opened = scene.mouth[OPEN] - scene.mouth[CLOSED]
    lips = np.s_[28:44, 22:42]
    moved = np.abs(warped(still, OPEN)[lips].astype(int) - own[lips]).mean()
    kept = np.abs(warped(opened, OPEN)[lips].astype(int) - own[lips]).mean()
    assert kept < 0.5 * moved


def test_detail_stays_and_nothing_beyond_the_mask_changes(scene: Scene) -> None:
    size = 256
    noise = np.random.default_rng(0).integers(90, 110, (size, size, 3)).astype(np.uint8)
    mask = np.zeros((size, size), np.uint8)
    mask[80:200, 60:196] = 255
    rendered = Rendered(noise, mask, np.zeros((32, 32, 2), np.float32))
    square = np.array([[0.25, 0, 0], [0, 0.25, 0]], np.float32)
    assert small_mask(mask, square)[30, 30] == 255
    added = np.zeros((MOUTH_SIDE, MOUTH_SIDE, 3), np.float32)
    added[25:45, 20:45] = (20, -10, 0)
    new = polished(rendered, added, square)
    assert (new.mask == mask).all()
    change = new.patch.astype(int) - noise
    assert not change[mask == 0].any()
    np.testing.assert_array_equal(
        change[120:160, 100:160], np.broadcast_to([20, -10, 0], (40, 60, 3))
    )
    inner = np.s_[120:160, 100:160, 0]
    before, after = (
        cv2.Laplacian(p[inner].astype(float), cv2.CV_64F).var() for p in (noise, new.patch)
    )
    assert after == pytest.approx(before)
