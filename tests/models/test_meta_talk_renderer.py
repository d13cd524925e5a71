"""Meta Talk's lower face, its crop, and the losses of its renderer."""

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_fill_holes
from torch import nn

from models.audiodvp.critic import PatchCritic
from models.audiodvp.face_model import FaceModel, of_own
from models.audiodvp.renderer import Refinement
from models.meta_talk.hd_crop import (
    SIDE,
    crop_side,
    crop_transforms,
    face_height_px,
    from_fit,
    of_landmarks,
)
from models.meta_talk.lower_face import Fit, in_crop, lower_face, widest, window_images, windows
from models.meta_talk.renderer import (
    begin,
    critic_loss,
    neural_renderer,
    psnr_within,
    renderer_loss,
)
from models.meta_talk.settings import NeuralRendererSize
from tasks.source.face_basis import own_basis

WHOLE = torch.eye(2, 3)[None]


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return FaceModel(of_own(own_basis(1)))


def some_fit(frames: int, seed: int = 0) -> Fit:
    drawn = torch.Generator().manual_seed(seed)

    def of(count: int, spread: float, rows: int = frames) -> torch.Tensor:
        return spread * torch.randn(rows, count, 1, generator=drawn)

    return Fit(of(80, 0.5, 1), of(64, 0.5), of(80, 0.5, 1), of(3, 0.1), of(3, 0.1), of(27, 0.05))


def test_training_and_dubbing_see_one_mask(model: FaceModel) -> None:
    fit, crops = some_fit(2), WHOLE.expand(2, -1, -1)
    told = {"opened": -3.0, "side": 128, "transform": crops / 2}
    own = lower_face(model, fit, **told)
    same = lower_face(model, fit, **told, delta=fit.delta)
    other = lower_face(model, fit, **told, delta=fit.delta - 1)
    assert torch.equal(own.render, same.render) and torch.equal(own.mask, same.mask)
    assert torch.equal(own.mask, other.mask) and not torch.equal(own.render, other.render)
    for picture in (own, other):
        assert not (picture.render * (1 - picture.mask)).any()


def test_the_mask_is_the_lower_face_without_holes(model: FaceModel) -> None:
    fit = some_fit(3)
    found = {
        side: lower_face(
            model, fit, opened=-3.0, side=side, transform=WHOLE.expand(3, -1, -1) * (side / 256)
        ).mask[:, 0]
        for side in (256, 512)
    }
    wide = fit.delta.clone()
    wide[:, 0] = -3.0
    for delta in (wide, torch.zeros_like(wide)):
        points = model(*fit._replace(delta=delta)).landmarks.long()
        for mask, face in zip(found[256], points, strict=True):
            x, y = face.T
            assert mask[y[5:12], x[5:12]].all() and mask[y[48:], x[48:]].all()
            assert not mask[y[17:27], x[17:27]].any()
    for small, large in zip(found[256], found[512], strict=True):
        assert np.array_equal(binary_fill_holes(small.numpy()), small.numpy() > 0)
        assert float(large.mean()) == pytest.approx(float(small.mean()), rel=0.01)


def test_a_point_of_the_fit_lands_where_its_crop_says(model: FaceModel) -> None:
    face = model(*some_fit(2))
    rng = np.random.default_rng(0)
    to_fit, to_crop = (
        np.stack([np.array([[z, 0, a], [0, z, b]]) for z, a, b in rng.uniform(1, 9, (2, 3))])
        for _ in range(2)
    )
    between = torch.from_numpy(from_fit(to_fit.astype(np.float32), to_crop.astype(np.float32)))
    side = 512
    clip = in_crop(face.clip, between, side)
    found = (clip[..., :2] / clip[..., 3:] + 1) * side / 2
    frame = (face.screen.double() - torch.from_numpy(to_fit[:, None, :, 2])) / to_fit[0, 0, 0]
    frame[1] *= to_fit[0, 0, 0] / to_fit[1, 0, 0]
    zoom = torch.from_numpy(to_crop[:, None, [0, 1], [0, 1]])
    wanted = frame * zoom + torch.from_numpy(to_crop[:, None, :, 2])
    torch.testing.assert_close(found.double(), wanted, atol=2e-2, rtol=0)
    assert torch.equal(clip[..., 2:], face.clip[..., 2:])


def test_face_height_is_that_of_forehead_to_chin_however_it_is_turned(model: FaceModel) -> None:
    few = FaceModel(of_landmarks(of_own(own_basis(1))))
    fit = Fit(
        *(torch.zeros(n, c, 1) for n, c in ((1, 80), (3, 64), (1, 80), (3, 3), (3, 3), (3, 27)))
    )
    fit.rotation[1, 0], fit.rotation[2, 1] = 0.4, 0.5
    face = model(*fit)
    height = face_height_px(few, few(*fit).world)
    torch.testing.assert_close(height, face_height_px(model, face.world), rtol=1e-4, atol=0)
    seen = (face.screen[0, 10] - face.screen[0, 152]).norm()
    torch.testing.assert_close(height[0], seen, rtol=0.05, atol=0)
    torch.testing.assert_close(height[1:], height[:1].expand(2), rtol=0.05, atol=0)


def test_the_side_is_the_least_that_loses_nothing() -> None:
    valid = np.array([True, True, False])
    for px, side in ((100, 256), (128, 256), (128.1, 512), (300, 768), (512, 1024), (900, 1024)):
        assert crop_side(np.array([px, px, 5], np.float32), valid) == side
    assert crop_side(np.zeros(3, np.float32), ~np.ones(3, bool)) == 256


def test_crops_follow_slowly_or_stay_and_begin_anew_at_cuts() -> None:
    frames, side = 60, 256
    valid = np.ones(frames, bool)
    valid[20] = False
    cut = np.arange(frames) == 40
    centre = np.where(np.arange(frames) < 40, 100.0, 200.0)[:, None, None]
    shake = np.where(np.arange(frames) % 2, 3.0, -3.0)[:, None, None]
    points = np.broadcast_to(centre + shake, (frames, 68, 2)).astype(np.float32)
    height = np.full(frames, 64, np.float32)
    given = {"scene_start": cut, "frame_rate_hz": 25.0, "side": side}
    for mode in ("track", "fixed"):
        found = crop_transforms(points, height, valid, mode=mode, **given)
        assert not found[20].any()
        zoom = found[valid, 0, 0]
        np.testing.assert_allclose(zoom, side / (SIDE * 64), rtol=1e-5)
        at = (side / 2 - found[valid, 0, 2]) / zoom
        assert np.abs(at - centre[valid, 0, 0]).max() < 2.1  # not of the other scene
        assert (np.ptp(at[:39]) < 1e-4) == (mode == "fixed")


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
    found = renderer_loss(judge, seen, made, photo, l1_weight=100.0)
    l1 = np.abs(made.double().numpy() - photo.double().numpy()).mean()
    wanted = -np.log(fake).mean() + 100 * l1
    assert found.total.item() == pytest.approx(wanted, rel=1e-5)
    assert found.l1.item() == pytest.approx(l1, rel=1e-5)


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
