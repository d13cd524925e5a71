"""The shipped face basis is made from what clips show."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

from benchmarks.face_basis import (
    TO_BASIS,
    Shapes,
    facing,
    main,
    mirror_points,
    neutral,
    opening,
    regions,
    triangles,
)
from models.face_basis.components import Mirror, coefficients
from models.face_basis.own import N_POINTS, basis_of
from models.faces.mesh.indices import LIPS, LOWER_INNER_LIP, UPPER_INNER_LIP
from stores.shipped import shipped_file
from tasks.source.face_basis import own_basis
from tasks.source.landmarks import mean_face
from tests.media_factory import Rgb, faces, make_video

Floats = NDArray[np.float64]
MIRROR = Mirror(mirror_points(), (-1, 1, 1))


def persons(seed: int, count: int) -> list[Floats]:
    """Faces that differ in width and length, and whose mouths open and smile."""
    rng = np.random.default_rng(seed)
    mean = mean_face()[:N_POINTS].astype(np.float64) * TO_BASIS
    closed = mean.copy()
    closed[LOWER_INNER_LIP, 1] = closed[UPPER_INNER_LIP, 1] - 0.004
    below = np.clip((closed[UPPER_INNER_LIP, 1] - closed[:, 1]) * 4, 0, 1)[:, None]
    below[LOWER_INNER_LIP], below[UPPER_INNER_LIP] = 1, 0
    corners = np.exp(-(((closed - closed[61]) ** 2).sum(1, keepdims=True)) / 0.01)
    smile = MIRROR(corners * [-0.03, 0.02, 0]) + corners * [-0.03, 0.02, 0]
    found = []
    for _ in range(count):
        own = closed * (1 + 0.05 * rng.standard_normal(3))
        jaw = np.abs(rng.standard_normal((60, 1, 1))) * 0.03
        smiles = rng.standard_normal((60, 1, 1)) * 0.3
        noise = rng.standard_normal((60, N_POINTS, 3)) * 1e-4
        found.append(own - below * [0, 1, 0.2] * jaw + smile * smiles + noise)
    return found


def test_shapes_describe_persons_they_were_not_made_of() -> None:
    shapes = Shapes.of(persons(0, 12), MIRROR)
    for person in persons(1, 3):
        of_neutral, of_all = shapes.errors(person)
        assert np.median(of_neutral) < 0.002 and np.median(of_all) < 0.002
        own = neutral(person)
        assert np.linalg.norm(person - own, axis=-1)[:, list(LIPS)].max() > 0.02
        first = coefficients(person - own, shapes.expression, noise=0.002)[:, 0]
        assert np.corrcoef(first, opening(person))[0, 1] < -0.95


def test_the_shipped_basis_has_the_triangles_and_regions_of_its_maker() -> None:
    shipped = load_file(shipped_file("models/face_basis/face_basis.safetensors"))
    found = triangles()
    assert np.array_equal(found, shipped["triangles"])
    mirrored = np.sort(mirror_points()[found])
    assert {tuple(t) for t in mirrored} == {tuple(t) for t in np.sort(found)}
    for name, points in regions(found).items():
        assert np.array_equal(points, shipped[name])


@pytest.mark.dub
def test_a_basis_is_made_of_clips(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["file,person,split,seconds"]
    for number, split in enumerate(("train", "train", "validation")):
        pictures = list(islice(faces(200, 150), 40 * number, 40 * number + 30))

        def draw(index: int, width: int, height: int, shown: Sequence[Rgb] = pictures) -> Rgb:
            return shown[index]

        make_video(tmp_path / f"{number}.mp4", frames=30, size=(200, 150), draw=draw)
        rows.append(f"{number}.mp4,p{number},{split},1.2")
    (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n")
    main(["--clips", str(tmp_path), "-o", str(tmp_path / "basis.safetensors")])
    assert '"persons": 2, "faces": 12, "pictures": 4' in capsys.readouterr().out
    basis = basis_of(load_file(tmp_path / "basis.safetensors"))
    shipped = own_basis()
    assert (basis.mean_shape - shipped.mean_shape).abs().max() < 0.2
    assert 60 < basis.mean_texture.mean() < 200


def test_facing_turns_all_triangles_to_the_viewer() -> None:
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0.5, 0.5, 1]])
    for start in ([0, 1, 4], [4, 1, 0]):
        found = facing(np.array([start, [1, 4, 2], [3, 2, 4], [0, 3, 4]]), square)
        a, b, c = square[found].swapaxes(0, 1)
        assert (np.cross(b - a, c - a)[:, 2] > 0).all()
