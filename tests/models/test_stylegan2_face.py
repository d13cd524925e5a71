"""The StyleGAN2 talking face: layouts, losses on small cases, what is heard, where squares lie."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from models.audio.mfcc import SAMPLE_RATE, mfcc
from models.faces.mesh.align import Pose, estimate_pose
from models.faces.mesh.indices import JAW, LIPS
from models.stylegan2_face.alignment import (
    EYE_BOX,
    MOUTH_BOX,
    TARGETS,
    anchors,
    box_in,
    placed,
    square_anchors,
    square_transforms,
)
from models.stylegan2_face.critics import PictureCritic, SpeechCritic, SyncCritic
from models.stylegan2_face.decoder import Regions, decoder, feature_parts
from models.stylegan2_face.encoders import Identity, VideoEncoder, map_channels
from models.stylegan2_face.losses import (
    contrast,
    critics_loss,
    davs_l1,
    feature_loss,
    lag_curve,
    landmark_loss,
    mean_length,
    nearer_others,
    spans,
    taken_for_real,
    uniform_loss,
    where_moved,
)
from models.stylegan2_face.network import TalkingFace
from models.stylegan2_face.settings import EmbeddingSize, FaceSize
from models.stylegan2_face.speech import davs_cepstra, first_steps, windows
from models.stylegan2_face.standardised import Standardised
from models.stylegan2_face.units import find_units, nearest
from tasks.source.landmarks import mean_face

TINY = {
    **{"side": 128, "fan_width": 16, "audio_width": 4, "features": 8},
    **{"identity_width": 2, "narrow": 0.02, "style": 8},
}


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.long
@pytest.mark.parametrize(
    ("given", "maps", "decoder"),
    [
        ({}, {8: 256, 16: 320, 32: 160, 64: 64}, 35_261_109),
        ({"decoder": "davs"}, {8: 256, 16: 320, 32: 160, 64: 64}, 24_515_331),
        ({"side": 128}, {4: 256, 8: 320, 16: 160, 32: 64}, 32_850_738),
    ],
    ids=["paper", "davs", "half"],
)
def test_sizes_are_the_papers(given: dict[str, object], maps: dict[int, int], decoder: int) -> None:
    size = FaceSize.model_validate(given)
    with torch.device("meta"):
        face = TalkingFace(size)
        pictures = torch.empty(2, 3, size.side, size.side)
        identity = face.identity(pictures)
        lips, rest = face.see(pictures)
        heard = face.hear(torch.empty(2, 20, 12))
        made = face(identity, heard, rest)
        critics = SpeechCritic(64, 64, frames=20, classes=500), PictureCritic(3, scales=3)
        words = critics[0](torch.empty(40, 64, 64, 64))
        patches = critics[1](torch.empty(2, 3, 256, 256))
    assert {side: each.shape[1] for side, each in identity.maps.items()} == maps
    assert all(each.shape[2:] == (side, side) for side, each in identity.maps.items())
    assert identity.feature.shape == lips.shape == rest.shape == heard.shape == (2, 256)
    assert made.shape == pictures.shape
    assert parameters(face.decoder) == decoder
    assert parameters(face.embedding.audio) == 1_603_904
    assert parameters(face.person) == 12_992_576
    assert parameters(face.embedding.video) == (6_775_219 if size.side == 256 else 6_382_003)
    assert words.shape == (2, 500)
    assert [each.shape[2] for each in patches] == [30, 14, 6]
    assert (
        parameters(critics[0]) == 577 + 131_200 + 1_280_500
        and parameters(SyncCritic(256)) == 66_049
    )


def test_spans_are_distances_of_pairs() -> None:
    points = torch.zeros(2, 68, 2)
    points[:, 66] = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    assert spans(points, ((62, 66), (61, 67))).tolist() == [[5, 0], [2, 0]]


def test_what_is_nowhere_positive_goes_on_learning() -> None:
    video = VideoEncoder(EmbeddingSize(side=128, fan_width=16, features=8))
    critic = SpeechCritic(4, 16, frames=1, classes=3)
    for module, given in (
        (video.lips, torch.randn(2, 68, 32, 32)),
        (critic, torch.randn(2, 4, 16, 16)),
    ):
        with torch.no_grad():
            module.conv.bias.fill_(-1e3)
        module(given).square().sum().backward()
        assert bool(module.conv.weight.grad.any())


def test_faces_are_judged_by_what_sets_them_apart_from_their_clip() -> None:
    torch.manual_seed(0)
    maps, person = torch.randn(6, 4, 16, 16), 5 * torch.randn(2, 4, 16, 16)
    other = maps + person.repeat_interleave(3, 0)
    for about, alike in ((3, True), (1, False)):
        critic = SpeechCritic(4, 16, frames=1, classes=3, about=about).eval()
        with torch.no_grad():
            assert torch.allclose(critic(maps), critic(other), atol=1e-4) == alike


def made_with(changes: dict[str, object], identity: Identity, size: FaceSize) -> torch.Tensor:
    torch.manual_seed(0)
    face = TalkingFace(size.model_copy(update=changes)).eval()
    features = torch.ones(1, size.features)
    with torch.no_grad():
        picture: torch.Tensor = face(identity, features, features)
    return picture


@pytest.mark.parametrize(("skips", "style_maps"), [(True, False), (False, True), (False, False)])
def test_a_map_counts_by_skips_and_by_styles_alone(skips: bool, style_maps: bool) -> None:
    size, drawn = FaceSize.model_validate(TINY), torch.Generator().manual_seed(1)
    maps = {4: 16, 8: 20, 16: 10, 32: 4}
    given = {
        side: torch.randn(1, channels, side, side, generator=drawn)
        for side, channels in maps.items()
    }
    zero = {**given, 16: torch.zeros_like(given[16])}
    # The same mean everywhere: styles, which are pooled, can't tell.
    turned = {**given, 16: given[16].flip(3)}
    feature, changes = torch.ones(1, 16), {"skips": skips, "style_maps": style_maps}
    plain, blank, other = (
        made_with(changes, Identity(feature, each), size) for each in (given, zero, turned)
    )
    assert torch.equal(plain, blank) == (not skips and not style_maps)
    assert torch.allclose(plain, other, atol=1e-6) == (not skips)


def test_an_untrained_decoder_draws_within_the_range_of_pictures() -> None:
    torch.manual_seed(0)
    size = FaceSize(side=128, fan_width=16, features=32, identity_width=4, narrow=0.05, style=32)
    draw = decoder(size)
    maps = {s: torch.randn(2, c, s, s) for s, c in map_channels(size).items()}
    with torch.no_grad():
        made = draw(torch.randn(2, sum(feature_parts(size))), maps)
    assert 0.05 < made.square().mean().sqrt() < 1


def test_lips_and_eyes_change_their_regions_alone() -> None:
    torch.manual_seed(0)
    size = FaceSize.model_validate({**TINY, "regions": True})
    draw = decoder(size).eval()
    maps = {s: torch.randn(1, c, s, s) for s, c in map_channels(size).items()}
    lips, _, eyes, _ = parts = feature_parts(size)
    features = torch.randn(1, sum(parts))
    with torch.no_grad():
        plain = draw(features, maps)
        for start, count, box in ((0, lips, MOUTH_BOX), (sum(parts[:2]), eyes, EYE_BOX)):
            other = features.clone()
            other[:, start : start + count] += 1
            changed = (draw(other, maps) != plain).any(1)[0].nonzero()
            rows, columns = box_in(size.side, box)
            near = size.side // 4
            assert len(changed) > 50
            assert (
                changed[:, 0].min() > rows.start - near and changed[:, 0].max() < rows.stop + near
            )
            assert changed[:, 1].min() > columns.start - near
            assert changed[:, 1].max() < columns.stop + near
    with pytest.raises(ValidationError, match="regions are of decoder=stylegan2"):
        FaceSize(decoder="davs", regions=True)


def test_contour_changes_all_of_a_face_by_its_map_and_may_be_missing() -> None:
    size = FaceSize.model_validate({**TINY, "regions": True})
    told = Regions(size)
    lips, _, eyes, contour = (torch.zeros(1, count) for count in feature_parts(size))
    with torch.no_grad():
        changed = told(lips, eyes, contour + 1) - told(lips, eyes, contour)
        near, all_of_it = changed.split(told.channels // 2, 1)
        assert not near.any() and bool(all_of_it.any(1).all())
        without = Regions(size.model_copy(update={"face_groups": "eyes"}))
        assert without(lips, eyes, contour[:, :0]).shape == (1, told.channels // 2, 16, 16)


def test_what_moves_counts_more() -> None:
    still, true = torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 16)
    true[..., 4:8, 4:8] = 1
    counted = where_moved(true, still, 0.75)
    assert counted.shape == (1, 1, 16, 16)
    assert counted.mean().item() == pytest.approx(1, abs=1e-5)
    assert counted.min().item() == 0.25  # 1 - 0.75
    assert counted[0, 0, 6, 6] == counted.max()
    off = davs_l1(true * 0.5, true, counted=counted) / davs_l1(true * 0.5, true)
    assert off > 2
    assert (where_moved(true, true, 0.75) == 0.25).all(), "nothing moved"


def test_features_are_standardised_by_all_that_were_seen() -> None:
    drawn = torch.Generator().manual_seed(0)
    seen = 5 + torch.tensor([0.1, 3.0]) * torch.randn(400, 8, 2, generator=drawn)
    standard = Standardised(2)
    for batch in seen:
        standard(batch)
    standard.eval()
    made = standard(seen.flatten(0, 1))
    torch.testing.assert_close(made.mean(0), torch.zeros(2), atol=0.05, rtol=0)
    torch.testing.assert_close(made.std(0), torch.ones(2), atol=0.1, rtol=0)
    one = standard(torch.tensor([[5.1, 8.0]]))
    torch.testing.assert_close(one, torch.ones(1, 2), atol=0.1, rtol=0)


def test_noise_flickers_only_where_it_is_random() -> None:
    for noise, still in (("none", True), ("fixed", True), ("random", False)):
        size = FaceSize.model_validate({**TINY, "noise": noise})
        torch.manual_seed(0)
        face = TalkingFace(size).eval()
        for name, parameter in face.decoder.named_parameters():
            if name.endswith("noise.weight"):
                parameter.data.fill_(1.0)
        pictures = torch.zeros(1, 3, 128, 128)
        with torch.no_grad():
            identity, features = face.identity(pictures), torch.ones(1, 8)
            made = [face(identity, features, features) for _ in range(2)]
        assert torch.equal(*made) == still, noise
        keys = [key for key in face.decoder.state_dict() if "noise" in key]
        assert bool(keys) == (noise != "none")


def one_frame(rows: list[list[float]]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32)[:, None]


def test_contrasts_of_three_by_three() -> None:
    heard = one_frame([[1, 0, 0], [0, 2, 0], [0, 0, 3]])
    seen = one_frame([[5, 0, 0], [1, 0, 0], [0, 0, 1]])
    # Unit lengths: own distances 0, √2, 0; of the others only d(1, 2) = 0 is below 1.
    torch.testing.assert_close(contrast(heard, seen, unit=True), torch.tensor(0.5))
    heard = one_frame([[0.3, 0, 0], [0, 4, 0], [0, 0, 5]])
    near = one_frame([[0.3, 0, 0], [0.3, 0.4, 0], [0, 0, 5]])
    # Own distances 0, √(0.3² + 3.6²), 0; of the others only d(0, 1) = 0.4 is below 1.
    wanted = torch.tensor((0.3**2 + 3.6**2 + (1 - 0.4) ** 2) / 6)
    torch.testing.assert_close(contrast(heard, near, unit=False), wanted)
    # Four frames alike are as far apart as one is.
    torch.testing.assert_close(
        contrast(heard.expand(-1, 4, -1), near.expand(-1, 4, -1), unit=False),
        contrast(heard, near, unit=False),
    )
    same = one_frame([[1, 2, 3]]).requires_grad_()
    contrast(same, same * 1, unit=False).backward()
    assert same.grad is not None and torch.isfinite(same.grad).all()


@pytest.mark.parametrize("alike", [0.1, 0.5])
def test_contrast_keeps_lengths_within_bounds(alike: float) -> None:
    """A margin that follows them lets them shrink or grow, as long as lips are not matched."""
    drawn = torch.Generator().manual_seed(0)
    audio, lips = 0.1 * torch.randn(2, 6, 4, 8, generator=drawn) + alike
    scale = torch.ones(1, requires_grad=True)
    optimizer = torch.optim.Adam([scale], 0.1)
    for _ in range(200):
        optimizer.zero_grad()
        contrast(scale * audio, scale * lips, unit=False).backward()
        optimizer.step()
    assert 0.5 < mean_length(scale * audio, scale * lips) < 5


def test_a_classifier_that_does_not_know_costs_nothing() -> None:
    assert uniform_loss(torch.full((3, 3), 7.0)).item() == 0
    sure = 100 * torch.eye(3)
    # Probabilities 1, 0, 0 are off by 2/3, 1/3, 1/3; 3 of 500 classes count (3 / 500)² of 1e6.
    torch.testing.assert_close(uniform_loss(sure), torch.tensor(2 / 9 * 36))


def test_critics_and_those_they_judge_pull_apart() -> None:
    yes, no = [torch.full((3, 3), 9.0)], [torch.full((3, 3), -9.0)]
    right, wrong = critics_loss(yes, no).item(), critics_loss(no, yes).item()
    assert right == pytest.approx(2 * math.log1p(math.exp(-9)), rel=1e-2)
    assert wrong == pytest.approx(2 * math.log1p(math.exp(9)), rel=1e-3)
    assert taken_for_real(yes) < 1e-3 < 9 < taken_for_real(no)
    scales = [torch.zeros(1, 1, n, n) for n in (30, 14, 6)]
    assert taken_for_real(scales).item() == pytest.approx(3 * math.log(2))
    assert critics_loss(scales, scales).item() == pytest.approx(6 * math.log(2))


def test_pictures_are_compared_in_features_or_as_davs_does() -> None:
    maps = [torch.zeros(1, 1, 3, 3), torch.zeros(1, 2, 1, 1)]
    loss = feature_loss([m + n for n, m in enumerate(maps, 1)], maps, (1 / 4, 1.0))
    assert loss.item() == pytest.approx(1 / 4 + 2)
    made = torch.zeros(1, 3, 256, 256)
    made[:, :, 170:234, 64:192] = 2 / 127.5
    share = 64 * 128 / 256**2
    assert davs_l1(made, torch.zeros_like(made)).item() == pytest.approx(4 * 2 * share + 8 * 2)
    made[:, :, 82:146, 52:208] = 3 / 127.5
    whole = 4 * (2 * share + 3 * 64 * 156 / 256**2)
    found = davs_l1(made, torch.zeros_like(made), eyes=5.0).item()
    assert found == pytest.approx(whole + 8 * 2 + 5 * 3)
    assert box_in(128, MOUTH_BOX) == (slice(85, 117), slice(32, 96))


def test_heatmaps_are_gaussians_at_the_points() -> None:
    points = torch.full((1, 68, 2), 64.0)
    points[:, 0] = torch.tensor([18.0, 34.0])
    loss = landmark_loss(torch.zeros(1, 68, 32, 32), points, side=128)
    assert loss.item() == pytest.approx(math.pi, rel=1e-3)
    maps = torch.zeros(1, 68, 32, 32, requires_grad=True)
    landmark_loss(maps, points, side=128).backward()
    assert maps.grad is not None
    assert np.unravel_index(int(maps.grad[0, 0].argmin()), (32, 32)) == (8, 4)


def test_untrained_heatmaps_are_nearly_empty() -> None:
    torch.manual_seed(0)
    video = VideoEncoder(EmbeddingSize(side=128, fan_width=16, features=8))
    points = 128 * torch.rand(2, 68, 2)
    with torch.no_grad():
        maps = video.heatmaps(torch.rand(2, 3, 128, 128) * 2 - 1)
    losses = [landmark_loss(each, points, side=128) for each in (maps, torch.zeros_like(maps))]
    torch.testing.assert_close(*losses, rtol=0.05, atol=0)


def test_speech_is_found_among_other_clips_and_in_time() -> None:
    seen = torch.eye(4)[:, None]
    clips = torch.tensor([0, 0, 1, 2])
    assert nearer_others(seen, seen, clips).tolist() == [0, 0, 0, 0]
    # The third is nearer to the fourth's; the first to the second's, but that is of its own clip.
    heard = seen + torch.tensor([[0, 3, 0, 0], [0, 0, 0, 0], [0, 0, 0, 3], [0, 0, 0, 0]])[:, None]
    torch.testing.assert_close(nearer_others(heard, seen, clips), torch.tensor([0, 0, 1 / 3, 0]))
    heard = torch.randn(3, 13, 8, generator=torch.Generator().manual_seed(0))
    shown = [1, 3, 5, 7, 9, 11]
    late = heard[:, [tick + 2 for tick in shown[:-1]] + [12]]
    curve = lag_curve(heard, late, shown, 3)
    assert curve.shape == (7,) and int(curve.argmin()) - 3 == 2


@pytest.mark.parametrize("kind", ["psf", "davs"])
def test_a_click_is_heard_by_the_frames_about_it(kind: str) -> None:
    sound = np.zeros(3 * SAMPLE_RATE, np.float32)
    at = 1.0
    sound[int(at * SAMPLE_RATE)] = 0.5
    cepstra = mfcc(sound) if kind == "psf" else davs_cepstra(sound)
    times = np.arange(75) * 0.04
    found = windows(cepstra, first_steps(times))
    silence = windows(cepstra[:1], np.array([500]))[0]
    assert not silence.any() and np.abs(found[0]).max() < 1e-3
    heard = [np.flatnonzero(np.abs(each).max(1) > 1) for each in found]
    assert [n for n, steps in enumerate(heard) if len(steps)] == [23, 24, 25, 26, 27]
    for time, steps in zip(times, heard, strict=True):
        if len(steps):
            middle = time - 0.1 + (steps.mean() + 0.5) * 0.01
            assert middle == pytest.approx(at, abs=0.0125)


def test_units_are_groups_of_what_sounds_alike() -> None:
    drawn = np.random.default_rng(0)
    kinds = drawn.integers(0, 3, 200)
    heard = (kinds[:, None, None] * 5 + drawn.normal(0, 0.1, (200, 20, 12))).astype(np.float32)
    centres = find_units(heard, 3, seed=1)
    found = nearest(heard, centres)
    assert len(set(zip(kinds, found, strict=True))) == 3
    np.testing.assert_array_equal(centres, find_units(heard, 3, seed=1))


def talking(frames: int) -> np.ndarray:
    """A fixed head whose lips and jaw open and close (frame, 478, 3) [face heights]."""
    opening = 0.08 * np.sin(np.linspace(0, np.pi, frames))
    meshes = np.repeat(mean_face()[None], frames, 0)
    lips = list(LIPS)
    low = [p for p in lips if mean_face()[p, 1] > mean_face()[lips, 1].mean()]
    meshes[:, [*low, *JAW[6:11]], 1] += opening[:, None].astype(np.float32)
    return meshes


def test_speech_moves_the_published_square_and_not_ours() -> None:
    frames = 9
    turn = np.array([[0.98, -0.199, 0], [0.199, 0.98, 0], [0, 0, 1]], np.float32)
    pose = Pose(
        np.full(frames, 120, np.float32),
        np.repeat(turn[None], frames, 0),
        np.tile(np.array([160, 130, 0], np.float32), (frames, 1)),
    )
    meshes = pose.to_image(talking(frames))
    found = estimate_pose(meshes, mean_face())
    moved = {}
    for align in ("rigid", "davs"):
        points = square_anchors(meshes, found, mean_face=mean_face(), align=align)
        transforms = square_transforms(points, side=256)
        corners = np.tile(
            np.float32([[100, 90], [220, 90], [100, 210], [220, 210]]), (frames, 1, 1)
        )
        lying = placed(corners, transforms)
        moved[align] = np.abs(lying - lying[:1]).max()
        eyes_and_mouth = placed(anchors(meshes), transforms)[0]
        np.testing.assert_allclose(eyes_and_mouth[:2].mean(0), TARGETS[:2].mean(0), atol=6)
    assert moved["rigid"] < 0.3 < 2 < moved["davs"]


def test_squares_are_similarities() -> None:
    drawn = np.random.default_rng(0)
    points = drawn.uniform(0, 100, (5, 3, 2)).astype(np.float32)
    transforms = square_transforms(points, side=128)
    linear = transforms[:, :, :2]
    np.testing.assert_allclose(linear[:, 0, 0], linear[:, 1, 1], rtol=1e-5)
    np.testing.assert_allclose(linear[:, 0, 1], -linear[:, 1, 0], rtol=1e-5)
    exact = (TARGETS / 3 @ np.array([[0.8, 0.6], [-0.6, 0.8]]) + 7).astype(np.float32)[None]
    lying = placed(exact, square_transforms(exact, side=256))
    np.testing.assert_allclose(lying[0], TARGETS, atol=1e-3)
