"""Faces that were drawn from the face model are found again; and the parts of the fit."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from models.audiodvp.face_model import FaceModel, of_own
from models.deep3d.geometry import euler_rotation
from models.face_basis.own import N_POINTS
from models.face_fit.coefficients import MOVING, Coefficients, render
from models.face_fit.crop import SIDE, fit_transforms, linked
from models.face_fit.mesh import MeshFit, angles
from models.face_fit.photometric import (
    Target,
    first_light,
    fit,
    landmark_error,
    photo_error,
    prior,
    steadiness,
)
from models.faces.crop.crop import to_crop
from models.faces.mesh.align import Pose
from tasks.inference.threads import one_thread
from tasks.source.face_basis import own_basis
from tasks.source.landmarks import mean_face


@pytest.fixture(scope="module")
def model() -> FaceModel:
    one_thread()
    return FaceModel(of_own(own_basis(1)))


@pytest.fixture(scope="module")
def mesh(model: FaceModel) -> MeshFit:
    return MeshFit(model, torch.arange(N_POINTS))


def drawn(seed: int, frames: int, *, neutral: int) -> Coefficients:
    """A random person who looks about and speaks; the mouth is closed in the first frames."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator)

    delta = normal(frames, 64).cumsum(0)
    delta = (delta - delta.mean(0)) / delta.std(0)
    delta[:neutral] = 0
    gamma = 0.05 * normal(27) + 0.02 * normal(frames, 27)
    return Coefficients(
        alpha=normal(80),
        beta=torch.cat([0.7 * normal(40), torch.zeros(40)]),
        delta=delta,
        gamma=gamma,
        rotation=normal(frames, 3) * torch.tensor([0.1, 0.15, 0.1]),
        translation=normal(frames, 3) * torch.tensor([0.1, 0.1, 0.3]),
    )


@dataclass(frozen=True)
class Found:
    """What the fit makes of drawn faces.

    Attributes:
        mesh: From the points alone.
        photometric: From the pictures too.
        target: What was to be matched.
    """

    mesh: Coefficients
    photometric: Coefficients
    target: Target


def fitted(
    model: FaceModel, mesh: MeshFit, true: Coefficients, neutral: int, side: int, steps: int
) -> Found:
    """As the stages do it."""
    points = true.face(model).screen[:, :N_POINTS]
    generator = torch.Generator().manual_seed(1)
    off = 0.05 * torch.randn(true.rotation.shape, generator=generator)
    rotation = euler_rotation(true.rotation + off)
    frames = len(points)
    linked = torch.zeros(frames, dtype=torch.bool)
    target = Target(render(model, true, side).image, points[:, model.landmarks], linked)
    alpha = mesh.person(points[:neutral], rotation[:neutral])
    closed_form = replace(Coefficients.nobody(), alpha=alpha)
    closed_form = closed_form.of(mesh.frames(points, rotation, alpha))
    start = replace(closed_form, gamma=first_light(model, closed_form, target.pictures))
    person = fit(model, target, start, iterations=steps, free=MOVING | {"alpha", "beta"})
    start = person.of(mesh.frames(points, rotation, person.alpha))
    start = replace(start, gamma=first_light(model, start, target.pictures))
    return Found(closed_form, fit(model, target, start, iterations=12, free=MOVING), target)


def turned_off(found: Coefficients, true: Coefficients) -> float:
    """Mean angle between rotations [deg]."""
    between = euler_rotation(found.rotation).mT @ euler_rotation(true.rotation)
    cosine = (between.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2
    return float(torch.rad2deg(cosine.clamp(-1, 1).acos()).mean())


def check_found_again(model: FaceModel, true: Coefficients, found: Found) -> None:
    for faces in (found.mesh, found.photometric):
        assert landmark_error(model, faces, found.target.landmarks).max() <= 0.5
        assert turned_off(faces, true) <= 1
        openings = torch.stack([faces.delta[:, 0], true.delta[:, 0]])
        assert torch.corrcoef(openings)[0, 1] >= 0.98
    error = photo_error(model, found.photometric, found.target.pictures)
    assert -20 * error.log10().mean() >= 30, "PSNR within the face [dB]"


def test_a_face_is_found_again(model: FaceModel, mesh: MeshFit) -> None:
    true = drawn(0, 5, neutral=2)
    check_found_again(model, true, fitted(model, mesh, true, 2, 48, 40))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_many_faces_are_found_again(model: FaceModel, mesh: MeshFit, seed: int) -> None:
    true = drawn(100 + seed, 50, neutral=10)
    check_found_again(model, true, fitted(model, mesh, true, 10, 128, 80))


def test_points_tell_the_expression_where_the_pose_is_known(
    model: FaceModel, mesh: MeshFit
) -> None:
    true = drawn(2, 6, neutral=0)
    points = true.face(model).screen[:, :N_POINTS]
    placed = mesh.frames(points, euler_rotation(true.rotation), true.alpha)
    still = replace(placed, rotation=euler_rotation(true.rotation), translation=true.translation)
    delta = mesh.expression(points, still, true.alpha)
    assert landmark_error(model, replace(true, delta=delta), points[:, model.landmarks]).max() < 0.1
    torch.testing.assert_close(delta[:, 0], true.delta[:, 0], atol=0.05, rtol=0)


def test_angles_undo_the_rotation() -> None:
    true = (torch.rand(50, 3, generator=torch.Generator().manual_seed(0)) - 0.5) * 2.5
    torch.testing.assert_close(angles(euler_rotation(true)), true, atol=1e-5, rtol=1e-5)


def test_light_is_found_at_once_where_albedo_is_known(model: FaceModel) -> None:
    true = drawn(3, 4, neutral=0)
    found = first_light(model, true, render(model, true, 128).image)
    shaded = [replace(true, gamma=gamma).face(model).color for gamma in (found, true.gamma)]
    facing = true.face(model).world_normals[..., 2] > 0.5
    assert (shaded[0] - shaded[1])[facing].abs().mean() < 0.02


def test_frames_are_tied_to_their_scene_alone(model: FaceModel, mesh: MeshFit) -> None:
    valid = np.array([True, True, False, True, True, True])
    cuts = np.array([True, False, False, False, True, False])
    follows = linked(valid, cuts)
    assert follows.tolist() == [False, True, False, False, False, True]
    true = drawn(4, 6, neutral=0)
    jumping = replace(true, delta=true.delta + 5 * torch.tensor([0, 0, 0, 0, 1, 1.0])[:, None])
    ties = torch.from_numpy(follows)
    assert steadiness(true, ties) == pytest.approx(float(steadiness(jumping, ties)), rel=1e-5)
    assert steadiness(jumping, torch.ones(6, dtype=torch.bool)) > 2 * steadiness(true, ties)
    target = Target(render(model, true, 64).image, true.face(model).landmarks.detach(), ties)
    both = fit(model, target, true, iterations=3, free=MOVING, temporal=100.0)
    rows = slice(4, 6)
    part = Target(target.pictures[rows], target.landmarks[rows], torch.tensor([False, True]))
    alone = fit(model, part, true.at(rows), iterations=3, free=MOVING, temporal=100.0)
    torch.testing.assert_close(both.at(rows).delta, alone.delta, atol=1e-4, rtol=0)


def test_only_what_is_free_changes(model: FaceModel) -> None:
    true = drawn(5, 2, neutral=0)
    target = Target(
        render(model, true, 64).image,
        true.face(model).landmarks + 1,
        torch.zeros(2, dtype=torch.bool),
    )
    found = fit(model, target, true, iterations=2, free=frozenset({"delta"}))
    same = [torch.equal(getattr(found, name), value) for name, value in vars(true).items()]
    assert dict(zip(vars(true), same, strict=True)) == {
        name: name != "delta" for name in vars(true)
    }


def test_prior_is_the_published_one() -> None:
    sizes = {"delta": 64, "gamma": 27, "rotation": 3, "translation": 3}
    frames = {name: torch.ones(5, size) for name, size in sizes.items()}
    ones = Coefficients(alpha=torch.ones(80), beta=torch.ones(80), **frames)
    published = 3e-4 * (80 + 1.7e-3 * 80 + 0.8 * 5 * 64)  # of a batch of 5
    assert float(prior(ones)) == pytest.approx(5 * published)


@pytest.mark.parametrize("mode", ["track", "fixed"])
def test_the_square_holds_two_faces(mode: str) -> None:
    scale = np.array([100, 100, 50, 50], np.float32)
    translation = np.array([[200, 150, 0]] * 2 + [[90, 80, 0]] * 2, np.float32)
    pose = Pose(scale, np.repeat(np.eye(3, dtype=np.float32)[None], 4, 0), translation)
    valid, cuts = np.array([True, True, True, False]), np.array([True, False, True, False])
    found = fit_transforms(
        *(pose, valid), mean_face=mean_face(), scene_start=cuts, frame_rate_hz=25.0, mode=mode
    )
    assert not found[3].any()
    np.testing.assert_allclose(found[:3, 0, 0], 256 / (SIDE * scale[:3]), rtol=1e-5)
    points = to_crop(pose.to_image(np.repeat(mean_face()[None], 4, 0)), found)[..., :2]
    np.testing.assert_allclose(points[2], points[0], atol=1e-3)
    height = points[0, 152] - points[0, 10]
    assert np.linalg.norm(height) == pytest.approx(128, rel=0.01)
    assert points[0].min() > 20 and points[0].max() < 236
    assert points[0, [13, 14]].mean(0) == pytest.approx([128, 128], abs=20)
