"""Fits that networks make: AudioDVP's training, and Deep3D's coefficients in AudioDVP's model."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.audiodvp.face_model import FaceModel, landmark_loss, of_own
from models.audiodvp.regressor import MEAN, FaceRegressor
from models.deep3d import alignment
from models.deep3d import face_model as deep3d
from models.face_fit import network as fit_network
from models.face_fit.coefficients import render
from models.face_fit.crop import between
from models.face_fit.deep3d import Converter, aligned, person
from models.face_fit.mesh import MeshFit
from models.face_fit.network import of_network, packed, train, unpack
from models.face_fit.photometric import landmark_error
from tasks.source.face_basis import own_basis
from tests.models.test_deep3d import face_points as face_points


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return FaceModel(of_own(own_basis(1)))


def coefficients(frames: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.05 * torch.randn(frames, 97, generator=generator)


def test_loss_is_the_published_one(model: FaceModel) -> None:
    person = torch.randn(2, 80, generator=torch.Generator().manual_seed(1))
    found = of_network(coefficients(5), person[0], person[1])
    pictures = torch.rand(5, 3, 256, 256, generator=torch.Generator().manual_seed(2))
    landmarks = 256 * torch.rand(5, 68, 2, generator=torch.Generator().manual_seed(3))
    drawn = render(model, found, 256)
    photo = nn.functional.mse_loss(drawn.image, pictures * drawn.mask)
    prior = person[0].square().sum() + 1.7e-3 * person[1].square().sum()
    prior += 0.8 * found.delta.square().sum()
    points = landmark_loss(found.face(model).landmarks, landmarks)
    published = 1.9 * photo + 1.6e-3 * points + 3e-4 * prior
    ours = fit_network._loss(model, found, pictures, landmarks)
    torch.testing.assert_close(ours, published, rtol=1e-4, atol=0)


class _Small(FaceRegressor):
    """Another backbone, so that a step takes no time."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.backbone = nn.Sequential(nn.AvgPool2d(112), nn.Flatten(), nn.BatchNorm1d(12))
        self.head = nn.Linear(12, 97)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)


def test_training_brings_faces_nearer(model: FaceModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit_network, "_RATE", 2e-3)
    true = of_network(coefficients(6), torch.zeros(80), torch.zeros(80))
    landmarks = true.face(model).landmarks
    pictures = (render(model, true, 64).image * 255).byte().permute(0, 2, 3, 1)
    seen: list[int] = []
    errors, learnt = [], []
    for _ in range(2):
        network = _Small()
        alpha, beta = train(network, model, pictures, landmarks, epochs=12, progress=seen.append)
        found = network(pictures.permute(0, 3, 1, 2) / 255)
        errors.append(landmark_error(model, of_network(found, alpha, beta), landmarks).mean())
        learnt.append(packed(network))
    before = of_network(torch.zeros(6, 97), torch.zeros(80), torch.zeros(80))
    assert errors[0] < 0.95 * landmark_error(model, before, landmarks).mean()
    assert seen[:8] == [5] * 8, "a batch that is not whole is left out"
    assert torch.equal(*learnt), "the same twice"
    other = _Small()
    unpack(other, learnt[0])
    torch.testing.assert_close(other.eval()(pictures.permute(0, 3, 1, 2) / 255), found)


def test_network_begins_with_the_mean_face() -> None:
    network = FaceRegressor().eval()
    given: list[Tensor] = []
    network.backbone.conv1.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    with torch.no_grad():
        assert not network(torch.ones(1, 3, 256, 256)).any()
    assert given[0].shape == (1, 3, 224, 224)
    torch.testing.assert_close(given[0].mean((0, 2, 3)), 1 - torch.tensor(MEAN))


def drawn_by_deep3d(frames: int) -> Tensor:
    """Coefficients of one person who turns the head, speaks, and stands in uneven light."""
    generator = torch.Generator().manual_seed(4)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator)

    who = normal(160).expand(frames, 160)
    parts = [
        *(who[:, :80], 0.7 * normal(frames, 64), who[:, 80:]),
        *(normal(frames, 3) * 0.15, 0.1 * normal(frames, 27), normal(frames, 3) * 0.2),
    ]
    return torch.cat(parts, 1)


def test_deep3d_faces_are_the_same_in_audiodvp(model: FaceModel) -> None:
    given = drawn_by_deep3d(6)
    theirs = deep3d.FaceModel(own_basis(1))(given)
    to_square = torch.tensor([[0.76, 0, 40.0], [0, 0.76, 30.0]]).expand(6, 2, 3)
    convert = Converter(own_basis(1), MeshFit(model, model.landmarks))
    who = person(given)
    torch.testing.assert_close(who.alpha, given[0, :80])
    found = convert(given, to_square, who)
    ours = found.face(model)
    points = torch.stack([theirs.projection[..., 0], 224 - theirs.projection[..., 1]], -1)
    off = (ours.screen - (0.76 * points + torch.tensor([40.0, 30]))).norm(dim=-1)
    assert off.mean() < 0.5 and off.max() < 2, "perspective differs a little [px of 256]"
    facing = ours.world_normals[..., 2] > 0.3
    colors = (ours.color - theirs.color)[facing].abs()
    assert colors.mean() < 0.01, "normals differ a little"
    dark = replace(found, gamma=torch.zeros_like(found.gamma)).face(model).color
    assert (dark - theirs.color)[facing].abs().mean() > 5 * colors.mean()


def test_deep3d_square_is_the_published_one(face_points: np.ndarray) -> None:
    """But for whole px of the published one."""
    picture = np.zeros((220, 260, 3), np.uint8)
    published = alignment.align(picture, face_points)
    down = np.stack([face_points[:, 0], 220 - face_points[:, 1]], 1).astype(np.float32)
    transform = aligned(down)
    crop = down @ transform[:, :2].T + transform[:, 2]
    wanted = np.stack([published.landmarks[:, 0], 224 - published.landmarks[:, 1]], 1)
    np.testing.assert_allclose(crop, wanted, atol=0.5)


def test_one_square_leads_to_another() -> None:
    first = np.array([[[2, 0, 5], [0, 2, -3]]], np.float32)
    second = np.array([[[0.5, 0.1, 1], [-0.1, 0.5, 2]]], np.float32)
    point = np.array([7, 9], np.float32)
    led = between(first, second)[0]
    through = led[:, :2] @ (first[0, :, :2] @ point + first[0, :, 2]) + led[:, 2]
    np.testing.assert_allclose(through, second[0, :, :2] @ point + second[0, :, 2], rtol=1e-5)
