"""VideoReTalking's networks and steps beyond the published numbers."""

import numpy as np
import pytest
import torch
from torch import nn

from models.blocks.conv_norm import mel_encoder
from models.ganimation.generator import Generator
from models.video_retalking import alignment, steps
from models.video_retalking.blocks import LayerNorm2d, ModulatedStage, SkipDecoder
from models.video_retalking.dnet import DNet
from models.video_retalking.enet import ENet
from models.video_retalking.fourier import FourierResidual
from models.video_retalking.lnet import LNet, clips_of_frames, frames_of_clips
from models.video_retalking.settings import DNetSize, ENetSize
from models.video_retalking.speaker import Stabiliser
from tests.annotations import unchecked


def test_layer_norm_is_that_over_channels_and_pixels() -> None:
    features = torch.randn(2, 6, 5, 4)
    norm = LayerNorm2d(6)
    nn.init.normal_(norm.weight)
    whole = torch.nn.functional.layer_norm(features, features.shape[1:])
    torch.testing.assert_close(norm(features), whole * norm.weight + norm.bias)


def test_dnet_learns_with_all_but_its_dead_weights() -> None:
    network = DNet()
    found = network(torch.rand(1, 3, 32, 64) * 2 - 1, torch.randn(1, 73, 26))
    assert found["flow_field"].shape == (1, 2, 8, 16)
    sum(image.mean() for image in found.values()).backward()
    silent = {name for name, p in network.named_parameters() if p.grad is None}
    assert silent == {name for name, p in network.named_parameters() if not p.requires_grad}
    assert silent and all(".conv1." in name or ".norm1." in name for name in silent)


def test_a_small_dnet_sees_faces_at_its_own_size() -> None:
    seen = []
    network = DNet(DNetSize(width=1, side=64))
    network.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape))
    faces = torch.randint(0, 256, (2, 256, 256, 3), dtype=torch.uint8)
    made = Stabiliser(network)(faces, torch.randn(2, 73, 26))
    assert seen == [(2, 3, 64, 64)] and made.shape == faces.shape


def test_dnet_warps_alone_in_its_first_stage() -> None:
    found = DNet()(torch.rand(1, 3, 32, 64), torch.randn(1, 73, 26), "warp")
    assert set(found) == {"flow_field", "warp_image"}


def test_dnet_refuses_sides_that_it_cannot_halve_and_double() -> None:
    with pytest.raises(ValueError, match="32"):
        DNet()(torch.rand(1, 3, 40, 64), torch.randn(1, 73, 26))


@pytest.mark.parametrize("spectral", [False, True])
def test_decoder_of_fourier_blocks_runs_in_bfloat16_and_learns(spectral: bool) -> None:
    decoder = SkipDecoder(
        (8, 16, 32),
        make_stage=lambda width: ModulatedStage([FourierResidual(width, 10)]),
        activation=nn.Sigmoid(),
        spectral=spectral,
    ).to(memory_format=torch.channels_last)
    features = [torch.randn(2, 8 << level, 24 >> level, 16 >> level) for level in range(3)]
    vector = torch.randn(2, 10, 1, 1)
    exact = decoder.eval()(features, vector)
    with torch.autocast("cpu", torch.bfloat16):
        rough = decoder(features, vector)
    assert rough.shape == (2, 3, 24, 16)
    assert (rough.float() - exact).abs().mean() < 0.02
    decoder.train()(features, vector).mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in decoder.parameters())


def test_clips_become_frames_and_back() -> None:
    clips = torch.randn(2, 3, 5, 4, 4)
    frames = frames_of_clips(clips)
    torch.testing.assert_close(frames[1], clips[0, :, 1])
    torch.testing.assert_close(clips_of_frames(frames, 5), clips)


def test_enet_takes_clips_frame_by_frame() -> None:
    network = ENet(_SmallLNet(), size=ENetSize(side=192, width=2)).eval()
    mel, faces = torch.randn(2, 3, 1, 80, 16), torch.rand(2, 6, 3, 32, 32)
    noise = [torch.zeros(()), torch.zeros(())]
    image, small = network(mel, faces, faces[:, 3:], noise=noise)
    assert image.shape == small.shape == (2, 3, 3, 192, 192)
    one, low = network(mel[:, 1], faces[:, :, 1], faces[:, 3:, 1], noise=noise)
    assert low.shape == (2, 3, 96, 96)
    torch.testing.assert_close(image[:, :, 1], one, atol=1e-4, rtol=1e-4)


def test_enet_freezes_its_lnet() -> None:
    network = ENet(_SmallLNet())
    assert not any(p.requires_grad for p in network.low_res.parameters())
    assert network.final_linear.weight.requires_grad


def test_enet_refuses_too_few_noise_maps() -> None:
    mel, network = torch.zeros(1, 1, 80, 16), ENet(_SmallLNet()).eval()
    with pytest.raises(ValueError, match="4 noise maps"):
        network(mel, torch.zeros(1, 6, 8, 8), torch.zeros(1, 3, 8, 8), noise=[None])


def test_ganimation_keeps_the_image_where_attention_is_one() -> None:
    image = torch.rand(1, 3, 16, 16)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        layers = Generator().eval()(image, torch.zeros(1, 17))
    assert layers.over(image).shape == image.shape
    kept = layers._replace(attention=torch.ones(1, 1, 16, 16)).over(image)
    torch.testing.assert_close(kept, image)


def test_windows_repeat_the_ends_and_scale_each_frame() -> None:
    coefficients = np.random.default_rng(0).normal(size=(20, 262)).astype(np.float32)
    windows = steps.coefficient_windows(coefficients, [0, 10, 19], scale_ratios=[1, 2, 1])
    assert windows.shape == (3, 73, 26)
    np.testing.assert_array_equal(windows[0, :64, :14], np.tile(coefficients[:1, 80:144].T, 14))
    np.testing.assert_array_equal(windows[1, 70, 13], 2 * coefficients[10, 259])
    np.testing.assert_array_equal(windows[2, 72, -13:], np.full(13, coefficients[19, 261]))


def test_scale_ratio_is_to_the_nearest_frame() -> None:
    video = np.random.default_rng(0).normal(size=(20, 262)).astype(np.float32)
    source = video[[4, 9]]
    source[:, 259] *= 3
    np.testing.assert_allclose(steps.crop_scale_ratio(source, video), 3, rtol=1e-6)


@pytest.mark.parametrize("size", [(64, 64), (37, 50)])
def test_blend_gives_one_image_where_the_mask_is_constant(size: tuple[int, int]) -> None:
    inside, outside = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
    for value, image in ((1, inside), (0, outside)):
        mask = np.full(size, value, np.float32)
        blended = steps.laplacian_blend(inside, outside, mask, levels=5)
        np.testing.assert_allclose(blended, image, atol=0.01)


def test_blend_refuses_different_sizes() -> None:
    with unchecked(), pytest.raises(ValueError, match="size"):
        steps.laplacian_blend(*np.zeros((2, 8, 8, 3), np.uint8), np.zeros((4, 4)), levels=2)


def test_face_cut_out_and_pasted_back_gives_the_image() -> None:
    y, x = np.mgrid[:300, :320].astype(np.float32)
    image = np.stack([x / 2, y / 2, (x + y) / 4], -1).astype(np.uint8)
    landmarks = _faces((160, 150), 2)
    quads = alignment.face_quads(landmarks)
    np.testing.assert_array_equal(quads[1], alignment.face_quads(landmarks[1]))
    face = alignment.crop_face(image, quads[0])
    assert face.shape == (256, 256, 3)
    pasted = alignment.paste_face(image, face, alignment.face_coefficients(quads[0]))
    assert np.abs(pasted.astype(int) - image).max() <= 2
    white = alignment.paste_face(image, 0 * face + 255, alignment.face_coefficients(quads[0]))
    assert 10_000 < (white == 255).all(-1).sum() < 60_000


def test_cut_of_a_face_at_the_edge_stays_in_the_frame() -> None:
    landmarks = np.rint(_faces((25, 70), 1)[0])
    frame = np.zeros((80, 100, 3), np.uint8)
    cut = alignment.ffhq_cut(landmarks, (100, 80))
    height, width = cut.cut(frame).shape[:2]
    assert 0 < height <= 80 and 0 < width <= 100


def _faces(centre: tuple[int, int], count: int) -> np.ndarray:
    """(count, 68, 2): landmarks of faces 60 pixels between the eyes."""
    landmarks = np.random.default_rng(0).normal(centre, 5, (count, 68, 2))
    landmarks[:, 36:42] += (-30, -20)
    landmarks[:, 42:48] += (30, -20)
    landmarks[:, 48:] += (0, 40)
    return landmarks


class _SmallLNet(LNet):
    """L-Net's calls without its 128 million weights."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.audio_encoder = mel_encoder()
        self.paint = nn.Linear(512, 3)

    def forward(self, mel: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
        colour = self.paint(self.audio_encoder(mel).flatten(1))[:, :, None, None]
        return (faces[:, :3] + faces[:, 3:] + colour).sigmoid()


def test_scaled_coefficients_are_of_one_size() -> None:
    plain, scaled = (DNet(DNetSize(width=1, side=64, scaled=each)).eval() for each in (False, True))
    scaled.load_state_dict(plain.state_dict())
    window, wanted = torch.zeros(2, 1, 73, 26)
    window[:, 64:67], window[:, 67:70], window[:, 70], window[:, 71:] = 0.2, 0.6, 1.3, 160.0
    wanted[:, 64:67], wanted[:, 67:70], wanted[:, 70], wanted[:, 71:] = 1.0, 2.0, 3.0, 1.0
    face = torch.rand(1, 3, 64, 64)
    found, same = (n(face, w)["fake_image"] for n, w in ((scaled, window), (plain, wanted)))
    torch.testing.assert_close(found, same, atol=1e-4, rtol=1e-3)
    assert not torch.allclose(plain(face, window)["fake_image"], same)
