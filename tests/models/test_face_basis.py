"""The shipped face basis, and what it is made with."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from scipy.ndimage import binary_fill_holes
from scipy.spatial import cKDTree

from models.audiodvp.face_model import UNIT, FaceModel, clip_matrix, lower_triangles, of_own
from models.deep3d.basis import FaceBasis
from models.deep3d.face_model import FaceModel as Deep3DFaceModel
from models.deep3d.geometry import euler_rotation, harmonics, vertex_normals
from models.face_basis.albedo import MEAN_SHADE, albedos
from models.face_basis.components import Mirror, coefficients, components, turned
from models.face_basis.own import N_POINTS
from models.face_basis.subdivision import subdivide
from models.faces.mesh.indices import LOWER_INNER_LIP, UPPER_INNER_LIP
from models.rasterizer.visibility import visible_triangles
from tasks.source.face_basis import own_basis

FILE = Path(__file__).parents[2] / "models" / "face_basis" / "face_basis.safetensors"
LEFT_RIGHT = (
    *range(16, -1, -1),
    *range(26, 16, -1),
    *range(27, 31),
    *range(35, 30, -1),
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65),
)
"""Each of the 68 points' partner on the other side."""


@pytest.fixture(scope="module")
def basis() -> FaceBasis:
    return own_basis()


def edges_of(triangles: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Edges (edge, 2) and how many triangles each has."""
    sides = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2))
    return np.unique(sides, axis=0, return_counts=True)


def partners(basis: FaceBasis) -> NDArray[np.int64]:
    """Each vertex' partner across the mean face."""
    mean = basis.mean_shape.reshape(-1, 3).numpy()
    apart, nearest = cKDTree(mean).query(mean * [-1, 1, 1])
    assert apart.max() < 1e-5
    return nearest


def opening(basis: FaceBasis, component: int, size: float) -> float:
    """Height of the mouth with an expression [dm]."""
    shape = (basis.mean_shape + size * basis.expression[:, component]).reshape(-1, 3)
    return float(shape[UPPER_INNER_LIP, 1] - shape[LOWER_INNER_LIP, 1])


def test_subdivision_keeps_planes_sums_and_borders() -> None:
    square = np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]])
    weights, finer = subdivide(square, 5, 2)
    points = weights @ np.array([[-1, -1, 0.5], [1, -1, 0.5], [1, 1, 0.5], [-1, 1, 0.5], [0, 0, 0]])
    assert len(finer) == 4 * 16 and finer.max() + 1 == len(points) == 41
    np.testing.assert_allclose(weights.sum(1), 1)
    np.testing.assert_allclose(points[4, :2], 0, atol=1e-12)
    a, b, c = points[finer][..., :2].swapaxes(0, 1)
    (x, y), (u, v) = (b - a).T, (c - a).T
    assert (x * v - y * u > 0).all()  # as the coarse triangles are turned
    _, number = edges_of(finer)
    assert (number == 1).sum() == 4 * 4 and number.max() == 2


def test_file_is_small_and_whole() -> None:
    assert FILE.stat().st_size <= 3_000_000
    arrays = load_file(FILE)
    assert len(arrays["identity"]) <= 80 and len(arrays["expression"]) <= 64
    assert len(arrays["texture"]) <= 80
    assert all(np.isfinite(array).all() for array in arrays.values())


def test_the_mesh_is_a_sheet_with_a_mouth(basis: FaceBasis) -> None:
    triangles = basis.triangles.numpy()
    edges, number = edges_of(triangles)
    assert basis.n_vertices - len(edges) + len(triangles) == 0  # a disc with one hole
    assert number.max() == 2 and (number == 1).sum() == 4 * (36 + 20)
    directed = triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    assert len(np.unique(directed, axis=0)) == len(directed)  # all turned alike
    around = basis.vertex_triangles.numpy()
    real = around < len(triangles)
    assert real.sum() == 3 * len(triangles)
    vertex = np.broadcast_to(np.arange(len(around))[:, None], around.shape)[real]
    assert (triangles[around[real]] == vertex[:, None]).any(1).all()


def test_normals_point_out_of_the_head(basis: FaceBasis) -> None:
    mean = basis.mean_shape.reshape(1, -1, 3)
    normals = vertex_normals(
        mean, basis.triangles, vertex_triangles=basis.vertex_triangles, by_area=True
    )
    outward = (normals * (mean - torch.tensor([0.0, -0.4, -1.0]))).sum(-1)
    assert (outward > 0).float().mean() > 0.99
    assert normals[0, :, 2].mean() > 0.5


def test_each_component_is_as_its_mirror_image(basis: FaceBasis) -> None:
    across = partners(basis)
    for columns, signs in (
        (basis.identity, (-1, 1, 1)),
        (basis.expression, (-1, 1, 1)),
        (basis.texture, (1, 1, 1)),
    ):
        shapes = columns.T.reshape(columns.shape[1], -1, 3).double()
        shown = shapes[:, across] * torch.tensor(signs)
        size = shapes.flatten(1).norm(dim=1)
        alike = (shown * shapes).flatten(1).sum(1) / size.square().clamp(min=1e-12)
        real = size > 0
        assert real.sum() >= 40
        torch.testing.assert_close(
            alike[real].abs(), torch.ones(int(real.sum())).double(), atol=1e-3, rtol=0
        )
        assert alike[0] > 0


def test_the_first_expression_opens_the_mouth(basis: FaceBasis) -> None:
    closed, spoken, wide = (opening(basis, 0, size) for size in (0.0, -1.0, -3.0))
    assert closed < 0.03 and spoken > closed + 0.03 and wide > closed + 0.1
    others = [abs(opening(basis, k, -1.0) - closed) for k in range(1, 64)]
    assert spoken - closed > max(others)


def test_landmarks_lie_where_they_should(basis: FaceBasis) -> None:
    points = basis.mean_shape.reshape(-1, 3)[basis.landmarks].numpy()
    np.testing.assert_allclose(points[list(LEFT_RIGHT)] * [-1, 1, 1], points, atol=1e-5)
    assert (np.diff(points[:17, 0]) > 0).all() and points[:, 1].argmin() == 8
    assert (np.diff(points[17:27, 0]) > 0).all() and (np.diff(points[27:31, 1]) < 0).all()
    assert points[:, 2].argmax() == 30
    eyes = points[36:48].reshape(2, 6, 3).mean(1)
    assert np.linalg.norm(eyes[1] - eyes[0]) == pytest.approx(0.6213, abs=1e-3)
    brows, lips = points[17:27, 1].min(), points[48:, 1].max()
    assert brows > eyes[:, 1].max() and lips < points[33, 1]


def test_faces_look_into_both_cameras(basis: FaceBasis) -> None:
    """The subject's right side is left in the picture, the chin is below."""
    own = of_own(basis)
    still = (torch.zeros(1, n, 1) for n in (80, 64, 80, 3, 3, 27))
    audiodvp = FaceModel(own)(*still)
    deep3d = Deep3DFaceModel(basis)(torch.zeros(1, 257))
    down = torch.tensor([1.0, -1])
    for points, normals in (
        (audiodvp.landmarks[0], audiodvp.world_normals),
        (deep3d.landmarks[0] * down, deep3d.normals),
    ):
        assert (points[:17, 0].diff() > 0).all() and points[:, 1].argmax() == 8
        assert (points[36:48, 0].reshape(2, 6).mean(1).diff() > 0).all()
        assert normals[0, :, 2].mean() > 0.5
    flipped = own.mean_shape.reshape(-1, 3) * torch.tensor([-1.0, 1, 1]) / UNIT
    torch.testing.assert_close(flipped, basis.mean_shape.reshape(-1, 3))
    faces = lower_triangles(own).sort(1).values, lower_triangles(basis).sort(1).values
    assert torch.equal(*faces)


def test_regions_are_parts_of_the_face(basis: FaceBasis) -> None:
    height = basis.mean_shape[1::3]
    lower = lower_triangles(basis)
    assert 0.3 < len(lower) / len(basis.triangles) < 0.7
    assert set(basis.landmarks[48:].tolist()) <= set(lower.flatten().tolist())
    assert height[lower].min() == height.min()
    front = set(basis.front_vertices.tolist())
    assert 0.6 < len(front) / basis.n_vertices < 0.95
    assert set(basis.front_triangles.flatten().tolist()) <= front
    assert (
        set(basis.landmarks[17:].tolist()) <= front and not basis.skin[basis.landmarks[36:]].any()
    )
    assert set(torch.nonzero(basis.skin)[:, 0].tolist()) <= front
    assert 0.3 < basis.skin.mean() < 0.8


def test_coarse_and_fine_surface_show_the_same_face(basis: FaceBasis) -> None:
    coarse = own_basis(1)
    assert len(coarse.triangles) == len(basis.triangles) // 4
    assert torch.equal(coarse.landmarks, basis.landmarks)
    faces = [
        (of.mean_shape + of.identity[:, 0] - 2 * of.expression[:, 0]).reshape(-1, 3)
        for of in (coarse, basis)
    ]
    colors = [(of.mean_texture + of.texture[:, 1]).reshape(-1, 3) for of in (coarse, basis)]
    n = coarse.n_vertices
    torch.testing.assert_close(faces[0][:N_POINTS], faces[1][:N_POINTS], atol=1e-5, rtol=0)
    assert (faces[0] - faces[1][:n]).norm(dim=1).max() < 0.02
    assert torch.equal(colors[0], colors[1][:n])


def test_no_view_has_a_hole() -> None:
    """1000 views of the face with its mouth filled, of one subdivision, which is as many edges."""
    arrays = load_file(FILE)
    weights, triangles = subdivide(arrays["triangles"].astype(np.int64), N_POINTS, 1)
    points = weights @ arrays["mean_shape"].astype(np.float64)
    edges, number = edges_of(triangles)
    border = edges[number == 1]
    middle = points[[UPPER_INNER_LIP, LOWER_INNER_LIP]].mean(0)
    near = np.abs(points[border] - middle) < [0.4, 0.15, 1]
    border = border[near.all(axis=(1, 2))]
    assert len(border) == 2 * 20
    filled = np.concatenate([triangles, np.insert(border, 2, len(points), axis=1)])
    torch.manual_seed(0)
    angles = (torch.rand(1000, 3) - 0.5) * torch.tensor([0.8, 1.2, 6])
    world = torch.from_numpy(np.vstack([points, middle])).float() @ euler_rotation(angles).mT
    world = world + (torch.rand(1000, 1, 3) - 0.5) * 0.2
    clip = torch.cat([world, torch.ones_like(world[..., :1])], -1) @ clip_matrix().T
    found = visible_triangles(clip, torch.from_numpy(filled), 48)
    for mask in found.image(torch.ones(len(found.pixel), 1))[:, 0].numpy() > 0:
        assert mask.sum() > 200 and np.array_equal(binary_fill_holes(mask), mask)


def _made_up(rng: np.random.Generator, mirror: Mirror, count: int) -> NDArray[np.float64]:
    """Directions that are alike (the first half) or turned round in the mirror."""
    found = rng.standard_normal((count, len(mirror.point), 3))
    sign = np.where(np.arange(count) < count / 2, 1, -1)[:, None, None]
    return (found + sign * mirror(found)) / 2


@pytest.fixture
def mirror() -> Mirror:
    return Mirror(np.array([1, 0, 3, 2, 4, 5]), (-1, 1, 1))


def test_components_are_those_that_samples_were_made_of(mirror: Mirror) -> None:
    rng = np.random.default_rng(0)
    true = _made_up(rng, mirror, 4)
    drawn = rng.standard_normal((500, 4))
    samples = np.tensordot(drawn, true, 1)
    found = components(samples, np.ones(500), mirror, 10)
    assert len(found.offset) == 4 and sorted(found.sign) == [-1, -1, 1, 1]
    np.testing.assert_allclose(
        mirror(found.offset), found.offset * found.sign[:, None, None], atol=1e-12
    )
    own = coefficients(samples, found, noise=1e-6)
    np.testing.assert_allclose(np.tensordot(own, found.offset, 1), samples, atol=1e-6)
    np.testing.assert_allclose(np.square(own).mean(0), 1, atol=0.1)
    # a sample that counts for nothing changes nothing
    more = np.concatenate([samples, rng.standard_normal((5, 6, 3))])
    again = components(more, np.repeat([1.0, 0.0], [500, 5]), mirror, 10)
    np.testing.assert_allclose(
        again.offset @ again.offset.swapaxes(1, 2),
        found.offset @ found.offset.swapaxes(1, 2),
        atol=1e-9,
    )


def test_turned_components_span_the_same_and_part_the_first_from_the_rest(mirror: Mirror) -> None:
    rng = np.random.default_rng(1)
    samples = np.tensordot(rng.standard_normal((400, 6)), _made_up(rng, mirror, 6), 1)
    found = components(samples, np.ones(400), mirror, 6)
    direction = rng.standard_normal(6) * (found.sign > 0)
    first = turned(found, direction)
    own, before = (coefficients(samples, each, noise=1e-6) for each in (first, found))
    wanted = before @ direction
    assert np.corrcoef(own[:, 0], wanted)[0, 1] > 0.9999
    assert np.abs(own[:, 1:].T @ wanted).max() < 0.1 * 400 * wanted.std()
    np.testing.assert_allclose(np.tensordot(own, first.offset, 1), samples, atol=1e-6)
    np.testing.assert_allclose(
        mirror(first.offset), first.offset * first.sign[:, None, None], atol=1e-12
    )


def test_albedo_is_found_under_any_light() -> None:
    rng = np.random.default_rng(0)
    normals = rng.standard_normal((400, 3))
    normals[:, 2] = np.abs(normals[:, 2]) + 0.3
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    normals = np.concatenate([normals, normals * [-1, 1, 1]])
    across = np.roll(np.arange(800), 400)
    skin = np.tile(np.arange(400) < 300, 2)
    true = np.where(skin[:, None], [180.0, 130, 110], [90.0, 50, 60])
    lit, waves = [], harmonics(torch.from_numpy(normals[None])).numpy()[0]
    for _ in range(4):
        light = rng.uniform(-0.25, 0.25, (9, 1)) * [1, 1, 1]
        light[0], light[3:] = 1, light[3:] / 3
        shade = waves @ light
        lit.append(true * shade / shade[skin].mean() * MEAN_SHADE)
    found = albedos(
        np.stack(lit),
        np.stack([waves] * 4),
        np.ones((4, 800)),
        person=np.array([0, 0, 1, 1]),
        skin=skin,
        mirror=across,
    )
    assert np.abs(found / true - 1).max() < 0.1
    spread = np.stack(lit)[:, skin].std(1).mean()
    assert found[:, skin].std(1).mean() < 0.2 * spread
