"""Meta Talk's lower face, its crop, and the losses of its renderer."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_fill_holes
from torch import nn

from models.audiodvp.critic import PatchCritic
from models.audiodvp.face_model import FaceModel, of_own
from models.audiodvp.renderer import Refinement
from models.blocks.begin import begin
from models.face_fit.coefficients import Coefficients
from models.meta_talk.hd_crop import crop_side, crop_transforms
from models.meta_talk.lower_face import (
    lower_face,
    paste_mask,
    widest,
    window_images,
    windows,
)
from models.meta_talk.renderer import (
    critic_loss,
    made_real,
    neural_renderer,
    psnr_within,
)
from models.meta_talk.settings import NeuralRendererSize
from models.rasterizer.visibility import visible_triangles
from tasks.source.face_basis import own_basis


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return FaceModel(of_own(own_basis(1)))


def some_fit(frames: int, seed: int = 0) -> Coefficients:
    drawn = torch.Generator().manual_seed(seed)

    def of(count: int, spread: float, rows: int = frames) -> torch.Tensor:
        return spread * torch.randn(rows, count, generator=drawn)

    return Coefficients(
        alpha=of(80, 0.5, 1)[0],
        delta=of(64, 0.5),
        beta=of(80, 0.5, 1)[0],
        rotation=of(3, 0.1),
        translation=of(3, 0.1),
        gamma=of(27, 0.05),
    )


def test_training_and_dubbing_see_one_mask(model: FaceModel) -> None:
    fit, told = some_fit(2), {"opened": -3.0, "side": 128, "zoom": 2.0}
    own = lower_face(model, fit, **told)
    same = lower_face(model, fit, **told, delta=fit.delta)
    other = lower_face(model, fit, **told, delta=fit.delta - 1)
    assert torch.equal(own.render, same.render) and torch.equal(own.mask, same.mask)
    assert torch.equal(own.mask, other.mask) and not torch.equal(own.render, other.render)
    for picture in (own, other):
        assert not (picture.render * (1 - picture.mask)).any()


def test_the_mask_is_the_lower_face_without_holes(model: FaceModel) -> None:
    fit = some_fit(3)
    drawn = {s: lower_face(model, fit, opened=-3.0, side=s, zoom=1.0) for s in (256, 512)}
    found = {side: face.mask[:, 0] for side, face in drawn.items()}
    wide = fit.delta.clone()
    wide[:, 0] = -3.0
    for delta in (wide, torch.zeros_like(wide)):
        points = replace(fit, delta=delta).face(model).landmarks.long()
        for mask, face in zip(found[256], points, strict=True):
            x, y = face.T
            assert mask[y[5:12], x[5:12]].all() and mask[y[48:], x[48:]].all()
            assert not mask[y[17:27], x[17:27]].any()
    for small, large in zip(found[256], found[512], strict=True):
        assert np.array_equal(binary_fill_holes(small.numpy()), small.numpy() > 0)
        assert float(large.mean()) == pytest.approx(float(small.mean()), rel=0.01)


def test_a_closer_view_is_the_middle_of_the_wide_one(model: FaceModel) -> None:
    fit = some_fit(2)
    wide = lower_face(model, fit, opened=-3.0, side=512, zoom=1.0)
    close = lower_face(model, fit, opened=-3.0, side=256, zoom=2.0)
    middle = slice(128, 384)
    assert torch.equal(close.mask, wide.mask[..., middle, middle])
    assert torch.allclose(close.render, wide.render[..., middle, middle], atol=1e-3)


def test_the_pasted_part_is_drawn_in_and_soft() -> None:
    mask = np.zeros((512, 512), np.uint8)
    mask[100:400, 100:400] = 255
    for zoom in (1.0, 2.0):
        soft, inwards = paste_mask(mask, zoom), round(18 * zoom)
        assert (soft[116 + inwards : 384 - inwards, 116 + inwards : 384 - inwards] == 255).all()
        edge = soft[250, 100 : 100 + 2 * inwards].astype(int)
        assert edge[0] == 0 and (np.diff(edge) >= 0).all() and len(set(edge.tolist())) > 5
        assert abs(np.searchsorted(edge, 128) - inwards) <= 1


@pytest.mark.parametrize("zoom", [1.0, 2.0])
def test_a_point_of_the_fit_lands_where_its_crop_says(model: FaceModel, zoom: float) -> None:
    """The tip of the nose, seen in a frame, lies in a crop of any side where it is drawn there."""
    fit, side = some_fit(1), 512
    turned = np.array([[[0.7, 0.1, -30], [-0.1, 0.7, 12]]], np.float32)
    (whole,) = crop_transforms(turned, side, zoom)
    nose = fit.face(model).landmarks[0, 30].numpy()
    frame = np.linalg.solve(turned[0, :, :2], nose - turned[0, :, 2])
    x, y = whole[:, :2] @ frame + whole[:, 2]
    np.testing.assert_allclose([x, y], side / 2 + 2 * zoom * (nose - 128), rtol=1e-4)
    tip = model.landmarks[30]
    around = model.triangles[(model.triangles == tip).any(1)]
    closer = fit.face(model).clip * torch.tensor([zoom, zoom, 1, 1])
    pixel = visible_triangles(closer, around, side).pixel
    column, row = pixel % side, pixel // side
    assert column.min() <= x <= column.max() + 1 and row.min() <= y <= row.max() + 1
    assert len(row) < 0.01 * (zoom * side) ** 2


def test_the_side_is_the_least_that_loses_nothing() -> None:
    valid = np.array([True, True, False])
    for px, side in ((200, 256), (256, 256), (257, 512), (600, 768), (1024, 1024), (1800, 1024)):
        fit = np.zeros((3, 2, 3), np.float32)
        fit[:, 0, 0] = fit[:, 1, 1] = 256 / px
        fit[2] = 0
        assert crop_side(fit, valid, 1.0) == crop_side(fit / 2, valid, 2.0) == side
    assert crop_side(np.zeros((3, 2, 3), np.float32), ~np.ones(3, bool), 1.0) == 256


def test_windows_end_at_cuts_and_where_there_is_no_face() -> None:
    valid = np.array([1, 1, 1, 1, 0, 1, 1, 1], bool)
    cut = np.arange(8) == 2
    found = windows(valid, cut, 3)
    wanted = [
        [0, 0, 1],
        [0, 1, 0],
        [0, 2, 3],
        [2, 3, 0],
        [0, 0, 0],
        [0, 5, 6],
        [5, 6, 7],
        [6, 7, 0],
    ]
    assert (found.row * found.inside).tolist() == wanted
    assert found.inside.sum(1).tolist() == [2, 2, 2, 2, 0, 2, 3, 2]
    assert windows(valid, cut, 1).inside[:, 0].tolist() == valid.tolist()
    renders = torch.full((8, 3, 3, 2, 2), 255)
    images = window_images(renders, torch.from_numpy(found.inside))
    assert images.shape == (8, 9, 2, 2)
    assert images.reshape(8, 3, 3, 4).amax((2, 3)).tolist() == found.inside.astype(float).tolist()
    with pytest.raises(ValueError, match="no middle"):
        windows(valid, cut, 4)


def test_the_mask_has_room_for_more_than_the_widest_mouth() -> None:
    delta = np.zeros((200, 64), np.float32)
    delta[:100, 0] = np.linspace(-3, 0, 100)
    valid = np.ones(200, bool)
    assert -3.3 < widest(delta, valid) < -3.0
    assert widest(delta * 0 + 1, valid) == widest(delta, ~valid) == 0


def test_losses_are_the_published_ones() -> None:
    torch.manual_seed(0)
    judge = PatchCritic(6, 2).eval()
    seen, made, photo = (torch.rand(2, 3, 64, 64) * 2 - 1 for _ in range(3))
    said = [judge(torch.cat([seen, x], 1)).detach().double().numpy() for x in (made, photo)]
    fake, real = (1 / (1 + np.exp(-each)) for each in said)
    wanted = (-np.log(1 - fake).mean() - np.log(real).mean()) / 2
    assert critic_loss(judge, seen, made, photo).item() == pytest.approx(wanted, rel=1e-5)
    assert made_real(judge, seen, made).item() == pytest.approx(-np.log(fake).mean(), rel=1e-5)


def test_what_a_photo_is_at_hand_for_is_only_changed() -> None:
    """A network that has learnt nothing yet leaves a borrowed face nearly as it is."""
    torch.manual_seed(0)
    size = NeuralRendererSize(width=2, input="render_and_exemplar")
    network = begin(neural_renderer(size)).eval()
    seen, inside = torch.randint(0, 256, (1, 7, 3, 256, 256)), torch.ones(1, 7, dtype=torch.bool)
    lent = torch.randint(0, 256, (1, 3, 256, 256))
    with torch.no_grad():
        made = network(window_images(seen, inside, lent))
    photo = lent.float() / 127.5 - 1
    assert 0 < (made - photo).abs().mean() < 0.2


def test_networks_begin_as_pix2pix_does_and_come_in_all_sizes() -> None:
    torch.manual_seed(0)
    network = begin(neural_renderer(NeuralRendererSize(width=4)))
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            assert module.bias is None or not module.bias.any()
        if isinstance(module, nn.BatchNorm2d):
            assert not module.bias.any()
            assert abs(float(module.weight.detach().mean()) - 1) < 0.05
    kernels = [m.weight.detach().flatten() for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert float(torch.cat(kernels).std()) == pytest.approx(0.02, rel=0.02)
    plain = neural_renderer(NeuralRendererSize(width=2, window=1, refine=False)).eval()
    assert not any(isinstance(module, Refinement) for module in plain.modules())
    assert plain(torch.zeros(1, 3, 256, 256)).shape == (1, 3, 256, 256)


def test_psnr_counts_the_mask_only() -> None:
    photo = torch.full((2, 3, 8, 8), 100, dtype=torch.uint8)
    made, mask = photo.clone(), torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    mask[:, :, :4] = True
    made[:, :, 4:] = 0
    made[1, :, :4] = 110
    found = psnr_within(made, photo, mask)
    assert found[0] == 100
    assert found[1].item() == pytest.approx(20 * np.log10(255 / 10), abs=1e-3)
