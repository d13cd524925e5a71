"""IP-LAP beyond its goldens: what it refuses, other sizes, training, half precision."""

from collections.abc import Iterator
from typing import Literal

import cv2
import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from models.blocks.flow_warp import flow_to_grid, warp
from models.blocks.spade import Spade
from models.efficientnet.network import EfficientNetLite0
from models.ip_lap.boxes import PAD, face_boxes, from_box, to_box, whole_boxes
from models.ip_lap.critic import PatchCritic
from models.ip_lap.detail import with_detail
from models.ip_lap.landmark_generator import LandmarkGenerator
from models.ip_lap.losses import velocity_loss
from models.ip_lap.paste import face_contour_mask, keep_contour
from models.ip_lap.perceptual import EfficientNetFeatures, PerceptualLoss, rendering_losses
from models.ip_lap.renderer import Alignment, Renderer
from models.ip_lap.settings import (
    LandmarkSize,
    RendererSize,
)
from models.ip_lap.sketch import GREY, draw_canvas, renderer_sketches
from models.ip_lap.speaker import Portrait, Talker
from tests.annotations import unchecked

SMALL_LANDMARKS = LandmarkSize(width=128, layers=2, heads=4, feedforward=256)
SMALL_RENDERER = RendererSize(fine=16, coarse=64)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny tensors gain nothing from threads, and lose much where other tests run beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _landmark_inputs(clips: int, frames: int, references: int) -> tuple[Tensor, ...]:
    return (
        torch.randn(clips, frames, 1, 80, 16),
        torch.rand(clips, frames, 2, 74),
        torch.rand(clips, references, 2, 74),
        torch.rand(clips, references, 2, 57),
    )


def test_landmark_generator_takes_any_number_of_frames_and_learns() -> None:
    network = LandmarkGenerator()
    content = network(*_landmark_inputs(2, 3, 4))
    assert content.shape == (6, 2, 57)
    content.square().mean().backward()
    unused = {name for name, p in network.named_parameters() if p.grad is None}
    assert not unused


def test_landmarks_are_not_rounded_in_half_precision() -> None:
    torch.manual_seed(0)
    network = LandmarkGenerator(SMALL_LANDMARKS).eval()
    inputs = _landmark_inputs(1, 5, 3)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        content = network(*inputs)
    assert content.dtype is torch.float32
    assert (content != content.bfloat16().float()).float().mean() > 0.9


def test_clips_of_a_batch_do_not_mix() -> None:
    network = LandmarkGenerator().eval()
    inputs = _landmark_inputs(2, 5, 3)
    with torch.no_grad():
        together = network(*inputs)
        alone = network(*(part[1:] for part in inputs))
    torch.testing.assert_close(together[5:], alone, rtol=1e-4, atol=1e-5)


def test_references_of_a_sample_are_its_own() -> None:
    network = Alignment(RendererSize()).eval()
    references, sketches = torch.rand(2, 3, 3, 16, 16), torch.rand(2, 3, 3, 16, 16)
    target = torch.rand(2, 15, 16, 16)
    with torch.no_grad():
        together = network(references, sketches, target)
        alone = network(references[1:], sketches[1:], target[1:])
    for both, one in zip(together, alone, strict=True):
        torch.testing.assert_close(both[1:], one, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer()


def test_renderer_runs_in_half_precision(renderer: Renderer) -> None:
    images = [torch.rand(1, n, 3, 16, 16) for n in (1, 5, 2, 2)]
    mel = torch.randn(1, 1, 1, 80, 16)
    renderer.eval()
    with torch.no_grad():
        full = renderer(*images, mel)
        with torch.autocast("cpu", torch.bfloat16):
            half = renderer(*images, mel)
    for ours, wanted in zip(half, full, strict=True):
        assert (ours.float() - wanted).abs().max() < 0.02


def test_renderer_learns_at_another_size(renderer: Renderer) -> None:
    renderer.train()
    images = [torch.rand(2, n, 3, 32, 32) for n in (1, 5, 1, 1)]
    generated, reference = renderer(*images, torch.randn(2, 1, 1, 80, 16))
    face, perceptual = images[0].squeeze(1), renderer.perceptual
    assert perceptual is not None
    warp_loss, generation_loss = rendering_losses(perceptual, generated, reference, face)
    (warp_loss + generation_loss).backward()
    learned = {name for name, p in renderer.named_parameters() if p.grad is not None}
    frozen = {name for name, p in renderer.named_parameters() if not p.requires_grad}
    assert frozen == {name for name, _ in renderer.named_parameters() if "perceptual" in name}
    assert learned == {name for name, _ in renderer.named_parameters()} - frozen


def test_renderer_does_not_look_at_the_lower_half(renderer: Renderer) -> None:
    face = torch.rand(1, 1, 3, 16, 16)
    other = face.clone()
    other[..., 8:, :] = 0.5
    rest = [torch.rand(1, n, 3, 16, 16) for n in (5, 1, 1)]
    mel = torch.randn(1, 1, 1, 80, 16)
    renderer.eval()
    with torch.no_grad():
        assert torch.equal(renderer(face, *rest, mel)[0], renderer(other, *rest, mel)[0])


def test_renderer_refuses_what_does_not_fit(renderer: Renderer) -> None:
    face, mel = torch.rand(1, 1, 3, 32, 32), torch.randn(1, 1, 1, 80, 16)
    sketches, references = torch.rand(1, 5, 3, 32, 32), torch.rand(1, 2, 3, 32, 32)
    with unchecked(), pytest.raises(ValueError, match="5 sketches, not 4"):
        renderer(face, sketches[:, :4], references, references, mel)
    with unchecked(), pytest.raises(ValueError, match="differ in shape"):
        renderer(face, sketches, references, references[:, :1], mel)


def test_critic_judges_other_sizes() -> None:
    scales = PatchCritic()(torch.rand(2, 3, 96, 64))
    assert [scale[-1].shape for scale in scales] == [(2, 1, 15, 11), (2, 1, 9, 7)]


def test_a_flow_of_one_fetches_from_the_next_pixel() -> None:
    image = torch.rand(1, 1, 8, 8)
    still = torch.zeros(1, 2, 8, 8)
    moved = still.clone()
    moved[:, 0] = 1
    shifted = warp(image, flow_to_grid(moved))
    assert torch.allclose(shifted[..., :7], warp(image, flow_to_grid(still))[..., 1:], atol=1e-5)
    half = warp(image.half(), flow_to_grid(still.half()))
    assert half.dtype == torch.float16
    assert torch.allclose(half.float(), warp(image, flow_to_grid(still)), atol=1e-3)


def test_one_map_modulates_several_features() -> None:
    spade = Spade(4, 3, hidden=8)
    features, modulation = torch.randn(6, 4, 5, 5), torch.randn(2, 3, 5, 5)
    shared = spade(features, modulation)
    repeated = spade(features, modulation.repeat_interleave(3, dim=0))
    torch.testing.assert_close(shared, repeated)


def test_velocity_needs_whole_clips() -> None:
    still = torch.rand(1, 2, 57).expand(10, -1, -1)
    assert velocity_loss(still, still + 1) < 1e-4
    with pytest.raises(ValueError, match="not whole clips of 4"):
        velocity_loss(still, still, frames=4)


def test_lines_to_landmarks_outside_are_not_drawn() -> None:
    points = np.full((2, 131), 0.5, np.float32)
    assert np.argwhere(draw_canvas(points, (200, 100))).tolist() == [[128, 64]]
    points[0] = 1.01
    assert not draw_canvas(points, (200, 100)).any()
    points[0] = 1
    assert draw_canvas(points, (100, 100))[64, 127] == GREY
    with unchecked(), pytest.raises(ValueError, match="must be"):
        draw_canvas(points[:, 1:], (100, 100))
    with pytest.raises(ValueError, match="must not be empty"):
        draw_canvas(points, (0, 100))


def test_sketches_are_ready_for_the_renderer() -> None:
    points = np.random.default_rng(0).uniform(0, 1, (3, 2, 131)).astype(np.float32)
    sketches = renderer_sketches(points, np.array([[100, 90], [128, 128], [70, 200]]))
    assert sketches.shape == (3, 3, 128, 128)
    assert sketches.dtype == np.float32
    assert 0 < sketches.max() <= np.float32(GREY / 255)
    assert (sketches[:, 0] == sketches[:, 2]).all()


@pytest.mark.parametrize("corner", [(0, 0), (150, 110), (60, 40)])
def test_paste_equals_that_of_the_whole_frame(corner: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    frame = rng.integers(0, 256, (160, 200, 3), np.uint8)
    generated = rng.integers(0, 256, (160, 200, 3), np.uint8)
    angles = np.linspace(0, 2 * np.pi, 68)
    points = 25 + 25 * np.stack((np.cos(angles), np.sin(angles)), axis=1) + corner
    mask = face_contour_mask(points.astype(np.float32), frame.shape[:2])
    share = cv2.GaussianBlur(mask, (21, 21), 11)[..., None] / 255
    whole = (generated * share + frame * (1 - share)).astype(np.uint8)
    before = frame.copy()
    assert np.array_equal(keep_contour(frame, generated, mask), whole)
    assert np.array_equal(frame, before)


def test_paste_refuses_frames_that_differ() -> None:
    frame = np.zeros((10, 10, 3), np.uint8)
    with unchecked(), pytest.raises(ValueError, match="shapes differ"):
        keep_contour(frame, frame[1:], frame[..., 0])
    assert np.array_equal(keep_contour(frame, frame + 1, frame[..., 0]), frame)


@pytest.mark.parametrize("mixer", ["transformer", "lstm"])
def test_smaller_landmark_generators_learn(mixer: Literal["transformer", "lstm"]) -> None:
    size = SMALL_LANDMARKS.model_copy(update={"mixer": mixer})
    network = LandmarkGenerator(size)
    content = network(*_landmark_inputs(2, 5, 4))
    assert content.shape == (10, 2, 57)
    content.square().mean().backward()
    assert all(p.grad is not None for p in network.parameters())
    assert sum(p.numel() for p in network.parameters()) < 2_000_000


@pytest.mark.parametrize("warping", [True, False])
@pytest.mark.parametrize("audio", [True, False])
@pytest.mark.parametrize("references", [1, 4])
def test_ablated_renderers_learn(warping: bool, audio: bool, references: int) -> None:
    size = SMALL_RENDERER.model_copy(update={"warping": warping, "audio": audio})
    network = Renderer(size, with_loss=False)
    images = [torch.rand(2, n, 3, 32, 32) for n in (1, 5, references, references)]
    generated, reference = network(*images, torch.randn(2, 1, 1, 80, 16))
    if not warping:
        torch.testing.assert_close(reference, images[2].mean(1))
    (generated.mean() + reference.mean()).backward()
    assert all(p.grad is not None for p in network.parameters())
    assert network.perceptual is None


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValidationError, match="do not divide a width of 128"):
        LandmarkSize(width=128, heads=5)


def test_the_loss_compares_in_any_backbone() -> None:
    torch.manual_seed(0)
    network = EfficientNetLite0()
    loss = PerceptualLoss(EfficientNetFeatures(network))
    loss.train()
    assert not network.training
    face, near = torch.rand(2, 2, 3, 64, 64)
    near.requires_grad_()
    same, _ = rendering_losses(loss, near, face, face)
    assert same == 0
    warp_loss, generation_loss = rendering_losses(loss, near, near, face)
    assert 0 < warp_loss < generation_loss
    generation_loss.backward()
    assert near.grad is not None
    assert near.grad.abs().sum() > 0
    assert all(p.grad is None for p in network.parameters())


def test_boxes_hold_their_landmarks_and_room() -> None:
    points = np.random.default_rng(0).uniform(50, 150, (4, 131, 3)).astype(np.float32)
    points[:, :, 1] *= 1.5
    boxes = face_boxes(points)
    shares = to_box(points, boxes)
    side = np.ptp(points[..., :2], axis=1)
    room = PAD * side.mean(1, keepdims=True) / (boxes[:, 2:] - boxes[:, :2])
    np.testing.assert_allclose(shares.min(1), room, rtol=1e-4)
    np.testing.assert_allclose(shares.max(1), 1 - room, rtol=1e-4)
    np.testing.assert_allclose(from_box(shares, boxes), points[..., :2], atol=1e-3)
    whole = whole_boxes(boxes - np.float32(60), (180, 90))
    assert whole.dtype == np.int64
    assert (whole[:, :2] == np.maximum(np.floor(boxes[:, :2] - 60), 0)).all()
    assert (whole[:, 2] == np.minimum(np.floor(boxes[:, 2] - 60), 90)).all()
    with unchecked(), pytest.raises(ValueError, match="131"):
        face_boxes(points[:, 1:])


def test_detail_is_coarse_from_the_face_and_fine_from_own_pixels() -> None:
    rng = np.random.default_rng(0)
    face = np.full((128, 128, 3), 180, np.uint8)
    face[:, 64:] = 90
    own = (100 + rng.integers(0, 40, (256, 256, 3))).astype(np.uint8)
    mask = np.zeros((256, 256), np.uint8)
    mask[80:200, 60:200] = 255
    own[cv2.dilate(mask, np.ones((17, 17), np.uint8)) == 0] = 0
    doubled = np.array([[2, 0, 0], [0, 2, 0]], np.float32)
    made = with_detail(face, own, mask, transform=doubled)
    for columns, level in ((slice(65, 118), 180), (slice(138, 195), 90)):
        part, source = (p[85:195, columns].astype(float) for p in (made, own))
        assert abs(part.mean() - level) < 2
        assert (
            np.corrcoef((part - part.mean(0)).ravel(), (source - source.mean(0)).ravel())[0, 1]
            > 0.9
        )
    assert not made[own.sum(-1) == 0].any()


def test_a_portrait_is_the_renderer_in_any_batch() -> None:
    renderer = Renderer(SMALL_RENDERER, with_loss=False).eval()
    faces, references = torch.randint(0, 256, (2, 3, 32, 32, 3), dtype=torch.uint8)
    sketches, drawn, mel = torch.rand(3, 5, 32, 32), torch.rand(3, 32, 32), torch.randn(3, 80, 16)
    portrait = Portrait(renderer, references, drawn).eval()
    with torch.no_grad():
        together = portrait(mel, faces, sketches)
        alone = torch.cat(
            [portrait(*(each[i : i + 1] for each in (mel, faces, sketches))) for i in range(3)]
        )
        images, known = (each.permute(0, 3, 1, 2)[:, None] / 255 for each in (faces, references))
        whole, _ = renderer(
            images,
            sketches[:, :, None].expand(-1, -1, 3, -1, -1),
            known[:, 0][None].expand(3, -1, -1, -1, -1),
            drawn[None, :, None].expand(3, -1, 3, -1, -1),
            mel[:, None, None],
        )
    assert (together.int() - alone).abs().max() <= 1
    assert (together.int() - (255 * whole).permute(0, 2, 3, 1)).abs().max() <= 1.01


def test_a_talker_is_the_generator_with_its_references() -> None:
    generator = LandmarkGenerator(SMALL_LANDMARKS).eval()
    mels, pose, reference_pose, reference_content = _landmark_inputs(2, 5, 4)
    known = torch.cat([reference_pose, reference_content], dim=3)[0]
    with torch.no_grad():
        spoken = Talker(generator, known).eval()(mels[:, :, 0], pose)
        plain = generator(
            mels,
            pose,
            *(each[:1].expand(2, -1, -1, -1) for each in (reference_pose, reference_content)),
        )
    torch.testing.assert_close(spoken.flatten(0, 1), plain, rtol=1e-4, atol=1e-5)
