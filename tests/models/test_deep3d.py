"""The parametric face on a basis read from a file, the cut for its regressor, and ArcFace.

That they equal the published code is proved with the goldens.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import loadmat, savemat

from models.audiodvp import face_model as audiodvp
from models.deep3d import alignment, losses
from models.deep3d.basis import FaceBasis
from models.deep3d.face_model import N_COEFFICIENTS, FaceModel, split
from models.deep3d.regressor import Regressor
from models.faces.recognition.arcface import IResNet
from tests.annotations import unchecked

VERTICES = 100


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    """A strip of triangles in the published layout: double precision, indices from 1."""
    rng = np.random.default_rng(0)
    triangles = np.arange(VERTICES - 2)[:, None] + [1, 2, 3]
    around = np.full((VERTICES, 8), len(triangles) + 1)
    for vertex in range(VERTICES):
        meeting = np.flatnonzero((triangles == vertex + 1).any(1)) + 1
        around[vertex, : len(meeting)] = meeting
    return {
        "meanshape": rng.normal(0, 0.5, (1, 3 * VERTICES)),
        "idBase": rng.normal(0, 0.01, (3 * VERTICES, 80)),
        "exBase": rng.normal(0, 0.01, (3 * VERTICES, 64)),
        "meantex": rng.uniform(50, 200, (1, 3 * VERTICES)),
        "texBase": rng.normal(0, 3, (3 * VERTICES, 80)),
        "tri": triangles,
        "point_buf": around,
        "keypoints": np.arange(1, 69)[None],
        "frontmask2_idx": np.arange(1, 51)[:, None],
        "tri_mask2": triangles[:48],
        "skinmask": np.ones((1, VERTICES)),
    }


@pytest.fixture(scope="module")
def basis(arrays: dict[str, np.ndarray]) -> FaceBasis:
    return FaceBasis.from_arrays(arrays)


@pytest.fixture
def face_points() -> np.ndarray:
    """68 points with the five of the mean face at 50 px/dm, at (120, 80), y up."""
    points = np.zeros((68, 2))
    left, right, nose, *mouth = alignment.STANDARD_POINTS[:, :2] * 50.0 + [120, 80]
    points[[36, 39]], points[[42, 45]], points[30], points[[48, 54]] = left, right, nose, mouth
    return points


def test_basis_from_a_mat_file(
    tmp_path: Path, arrays: dict[str, np.ndarray], basis: FaceBasis
) -> None:
    savemat(tmp_path / "BFM_model_front.mat", arrays)
    read = FaceBasis.from_arrays(loadmat(tmp_path / "BFM_model_front.mat"))
    assert read.n_vertices == VERTICES
    assert torch.equal(read.identity, basis.identity)
    assert torch.equal(read.vertex_triangles, basis.vertex_triangles)
    assert read.landmarks.tolist() == list(range(68))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"exBase": np.zeros((64, 3 * VERTICES))}, "expression of a face basis"),
        ({"keypoints": np.full((1, 68), VERTICES + 1)}, "landmarks of a face basis points outside"),
        ({"point_buf": np.zeros((VERTICES, 8))}, "vertex_triangles of a face basis points outside"),
        ({"meantex": np.zeros((1, VERTICES))}, "mean_texture"),
    ],
)
def test_basis_refuses(arrays: dict[str, np.ndarray], change: dict[str, Any], message: str) -> None:
    with unchecked(), pytest.raises(ValueError, match=message):
        FaceBasis.from_arrays(arrays | change)


def test_basis_names_what_is_missing() -> None:
    with pytest.raises(ValueError, match="without exBase, frontmask2_idx"):
        FaceBasis.from_arrays({})


def test_zero_coefficients_are_the_mean_face(basis: FaceBasis) -> None:
    face = FaceModel(basis)(torch.zeros(2, N_COEFFICIENTS))
    torch.testing.assert_close(face.shape.mean((0, 1)), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(face.albedo[1].flatten() * 255, basis.mean_texture)
    torch.testing.assert_close(face.world, face.shape)
    # 1 dm at the camera's distance of 10 dm is 101.5 px; up is up
    at, depth = face.world[0, 5], 10 - face.world[0, 5, 2]
    torch.testing.assert_close(face.projection[0, 5], 112 + 1015 * at[:2] / depth)


def test_gradients_reach_every_coefficient(basis: FaceBasis) -> None:
    model = FaceModel(basis)
    coefficients = torch.zeros(3, N_COEFFICIENTS, requires_grad=True)
    face = model(coefficients)
    target = torch.zeros_like(face.landmarks)
    loss = losses.landmark_loss(face.landmarks, target) + face.color.square().sum()
    loss = loss + losses.reflectance_loss(face.albedo, model.skin)
    (gradient,) = torch.autograd.grad(loss, coefficients)
    assert gradient.isfinite().all()
    assert (gradient != 0).any(0).all()


def test_autocast_does_not_move_the_face(basis: FaceBasis) -> None:
    model = FaceModel(basis)
    coefficients = torch.randn(1, N_COEFFICIENTS, generator=torch.Generator().manual_seed(0))
    want = model(coefficients).landmarks
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(model(coefficients).landmarks, want)


def test_equal_images_have_finite_gradients() -> None:
    image = torch.rand(1, 3, 4, 4, requires_grad=True)
    loss = losses.photo_loss(image, image.detach(), torch.ones(1, 1, 4, 4))
    (gradient,) = torch.autograd.grad(loss, image)
    assert gradient.isfinite().all()


def test_face_model_has_no_weights(basis: FaceBasis) -> None:
    model = FaceModel(basis)
    assert not model.state_dict() and not list(model.parameters())
    with unchecked(), pytest.raises(ValueError, match=r"257\) coefficients, not \(1, 256\)"):
        split(torch.zeros(1, 256))


def test_audiodvp_faces_do_not_depend_on_the_batch(basis: FaceBasis) -> None:
    """Not even on a batch of three, the length of the axes of its vectors."""
    model = audiodvp.FaceModel(basis)
    generator = torch.Generator().manual_seed(0)
    shared = [torch.randn(1, 80, 1, generator=generator) for _ in range(2)]
    delta, light = (torch.randn(3, n, 1, generator=generator) for n in (64, 27))
    pose = [0.1 * torch.randn(3, 3, 1, generator=generator) for _ in range(2)]
    together = model(shared[0], delta, shared[1], *pose, light)
    for i in range(3):
        one = slice(i, i + 1)
        alone = model(shared[0], delta[one], shared[1], *(p[one] for p in pose), light[one])
        torch.testing.assert_close(together.color[one], alone.color, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(together.landmarks[one], alone.landmarks)
    assert 0 < len(model.lower_triangles) < len(basis.triangles)
    with pytest.raises(ValueError, match="not on a mesh of 100 vertices"):
        audiodvp.of_published(basis)


def test_alignment_gives_faces_one_size(face_points: np.ndarray) -> None:
    image = np.zeros((200, 240, 3), np.uint8)
    image[200 - 80 - 6 : 200 - 80 + 6, 120 - 6 : 120 + 6] = 255  # about the face's origin
    aligned = alignment.align(image, face_points)
    np.testing.assert_allclose(aligned.transform, [240, 200, 102 / 50, 120, 80], rtol=1e-6)
    mouth = aligned.landmarks[[48, 54]]
    np.testing.assert_allclose(np.ptp(mouth[:, 0]), 102 * 0.50063547, rtol=1e-4)
    rows, columns = np.nonzero(aligned.image[..., 0] > 128)
    # the published cut truncates to whole pixels
    assert abs(rows.mean() - 111.5) < 1.5 and abs(columns.mean() - 111.5) < 1.5


def test_alignment_is_black_outside_the_image(face_points: np.ndarray) -> None:
    image = np.full((200, 240, 3), 255, np.uint8)
    aligned = alignment.align(image, face_points - [110, 0])
    assert aligned.image.shape == (224, 224, 3)
    assert (aligned.image[:, :80] == 0).all() and (aligned.image[:, 112] == 255).any()


def test_alignment_refuses_what_is_no_face() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(ValueError, match="px wide"):
        alignment.align(image, np.full((68, 2), 30.0))
    with unchecked(), pytest.raises(ValueError, match=r"\(68, 2\) landmarks, not \(5, 2\)"):
        alignment.align(image, np.zeros((5, 2)))
    with pytest.raises(ValueError, match="ArcFace"):
        alignment.arcface_transform(np.full((68, 2), 30.0), 64)


def test_arcface_transform_of_its_own_template() -> None:
    template = alignment.TEMPLATE * [1, -1] + [0, 111]
    points = np.zeros((68, 2))
    points[[36, 39]], points[[42, 45]], points[30], points[48], points[54] = template
    kept = points.copy()
    found = alignment.arcface_transform(points, 112)
    np.testing.assert_allclose(found, [[1, 0, 0], [0, 1, 0]], atol=1e-4)
    np.testing.assert_array_equal(points, kept)


def test_a_fresh_regressor_sees_the_mean_face() -> None:
    network = Regressor().eval()
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        found = network(torch.rand(1, 3, 64, 64))
    assert found.shape == (1, N_COEFFICIENTS) and (found == 0).all()


def test_arcface_of_another_depth() -> None:
    network = IResNet((1, 1, 1, 1), num_features=8)
    network(torch.rand(2, 3, 112, 112)).square().sum().backward()
    without = [name for name, value in network.named_parameters() if value.grad is None]
    assert without == ["features.weight"]
    with pytest.raises((ValueError, TypeError), match="112"):
        network(torch.rand(2, 3, 96, 96))
    with pytest.raises(ValueError, match="4 stages, but 3"):
        IResNet((1, 1, 1))
