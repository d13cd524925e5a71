"""The talking face's recipes: who learns from which loss, and what a sample becomes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from flows.training.square_data import words_of
from models.stylegan2_face.encoders import Embedding
from models.stylegan2_face.settings import EmbeddingSize, FaceSize, IdentitySize
from stores.artifacts.store import Store
from stores.dataset_index import ClipPart
from stores.errors import SettingsError
from tasks.training.face_squares import SquareBlocks, SquareWindows, deviations
from tasks.training.stylegan2 import (
    SquareAugmentation,
    begun_with,
    mirror_of_points,
    part_of,
    square_batch,
)
from tasks.training.stylegan2_embedding import EmbeddingRecipe, EmbeddingSettings
from tasks.training.stylegan2_face import FaceRecipe, FaceSettings
from tests.flows.methods.test_meta_talk import write_trained

SMALL = {"side": 128, "fan_width": 16, "audio_width": 4, "features": 8}
COMMON = {"frames": 4, "speech_classes": "units", "classes": 4}
FACE = {
    **COMMON,
    "size": {**SMALL, "identity_width": 2, "narrow": 0.01, "style": 8},
    "drawn_frames": 2,
    "classified_frames": 2,
    "critic_width": 2,
    "reconstruction": "l1",
}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tests run side by side; so small networks are no slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def a_batch() -> dict[str, torch.Tensor]:
    drawn = torch.Generator().manual_seed(0)

    def faces(count: int) -> torch.Tensor:
        return torch.rand(2, count, 3, 128, 128, generator=drawn) * 2 - 1

    return {
        "face": faces(4),
        "reference_face": faces(1),
        "betrayed_face": faces(2),
        "betrayed_class": torch.randint(0, 4, (2, 2), generator=drawn),
        "cepstra": torch.randn(2, 9, 20, 12, generator=drawn),
        "unit": torch.randint(0, 4, (2, 9), generator=drawn),
        "points": 128 * torch.rand(2, 4, 68, 2, generator=drawn),
        "word": torch.arange(2),
        "row": torch.arange(2),
    }


def learned(recipe: Any, phase: str) -> dict[str, nn.Module]:
    """The networks after a phase's gradients, as the loop computes them."""
    torch.manual_seed(0)
    networks: dict[str, nn.Module] = recipe.networks()
    for name, network in networks.items():
        for parameter in network.parameters():
            parameter.requires_grad_(parameter.requires_grad and name == phase)
    loss, _ = recipe.loss(phase, networks, a_batch(), 0, {})
    loss.backward()
    return networks


def moved(network: nn.Module) -> bool:
    return any(p.grad is not None and bool(p.grad.any()) for p in network.parameters())


@pytest.mark.long
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"gan": "frame", "contrast": "unit", "sync": False},
        {"gan": "sequence", "contrast": "raw", "disentangle": False},
        {"speech_classes": "words", "size": {**FACE["size"], "decoder": "davs"}},
        {"speech_classes": "words", "hidden": "opening"},
    ],
    ids=["all", "frame", "sequence", "davs", "opening"],
)
def test_each_phase_moves_all_of_its_own_and_nothing_else(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    recipe = FaceRecipe(FaceSettings.model_validate({**FACE, **changes}), str(tmp_path))
    assert recipe.phases == ("critics", "face")
    for phase, other in (("face", "critics"), ("critics", "face")):
        networks = learned(recipe, phase)
        assert all(p.grad is not None for p in networks[phase].parameters()), phase
        assert not any(p.grad is not None for p in networks[other].parameters()), phase
        for name, child in networks[phase].named_modules():
            if isinstance(child, nn.Conv2d) and child.weight.requires_grad:
                assert moved(child), f"{phase}: {name}"


def test_mouths_are_classed_by_how_far_they_are_open() -> None:
    points = np.zeros((3, 68, 2), np.float32)
    points[:, 66] = [[0, 0], [3, 4], [0, 9]]
    mean = np.float32(14 / 3)
    np.testing.assert_allclose(deviations(points), [0 - mean, 5 - mean, 9 - mean], rtol=1e-6)


def test_faces_that_may_betray_an_opening_are_from_all_of_the_clip(tmp_path: Path) -> None:
    ticks = np.arange(40)
    block = {name: ticks for name in ("face", "points", "unit", "class")}
    block |= {name: ticks[:1] for name in ("word", "person")}
    block["cepstra"] = ticks
    given = {"side": 128, "frames": 4, "stride": 1, "classified": 4}
    for spread, wanted in ((False, [30, 31, 32, 33]), (True, [30, 0, 10, 20])):
        windows = SquareWindows.model_validate({**given, "spread": spread})
        sample = SquareBlocks([part(0, "talk.mp4")], str(tmp_path), windows).cut(
            block, 30, np.array([7])
        )
        assert sample["betrayed_face"].tolist() == sample["betrayed_class"].tolist() == wanted
        assert sample["face"].tolist() == [30, 31, 32, 33]


def test_pictures_beyond_their_range_are_brought_back(tmp_path: Path) -> None:
    recipe = FaceRecipe(FaceSettings.model_validate(FACE), str(tmp_path))
    far = torch.full((2, 3, 128, 128), 3.0, requires_grad=True)
    batch = {"face": torch.zeros(1, 4, 3, 128, 128)}
    batch["reference_face"] = batch["face"][:, :1]
    losses = recipe._compared({}, {"by_audio": far, "by_video": far}, batch)
    torch.stack(losses).sum().backward()
    assert far.grad is not None and bool((far.grad > 0).all())


def test_parts_learn_at_their_own_rates(tmp_path: Path) -> None:
    changes = {"learning_rate": 1e-3, "rates": {"embedding": 0.1, "person": 0.5, "decoder": 10}}
    recipe = FaceRecipe(FaceSettings.model_validate({**FACE, **changes}), str(tmp_path))
    networks = recipe.networks()
    optimizer = recipe.optimizer("face", networks["face"].parameters())
    rates = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
    kinds = (
        ("embedding.video.rest", 1e-3),
        ("embedding", 1e-4),
        ("person", 5e-4),
        ("decoder", 1e-2),
    )
    for part, rate in kinds:
        for parameter in networks["face"].get_submodule(f"face.{part}").parameters():
            assert rates.pop(id(parameter), rate) == rate
    assert not rates
    (critics,) = recipe.optimizer("critics", networks["critics"].parameters()).param_groups
    assert critics["lr"] == 1e-3 and critics["betas"] == (0.5, 0.999)


@pytest.mark.long
def test_without_critics_there_is_one_phase(tmp_path: Path) -> None:
    none = {"sync": False, "disentangle": False, "losses": {"gan": 0}}
    recipe = FaceRecipe(FaceSettings.model_validate({**FACE, **none}), str(tmp_path))
    assert recipe.phases == ("face",) and set(recipe.networks()) == {"face"}
    assert moved(learned(recipe, "face")["face"])


@pytest.mark.long
def test_the_sync_critic_moves_lips_and_not_speech(tmp_path: Path) -> None:
    only = {"classes": 0, "unit_contrast": 0, "raw_contrast": 0, "landmarks": 0}
    recipe = EmbeddingRecipe(
        EmbeddingSettings.model_validate({**COMMON, "size": SMALL, "losses": only}), str(tmp_path)
    )
    embedding = learned(recipe, "embedding")["embedding"].get_submodule("embedding")
    assert moved(embedding.get_submodule("video.lips"))
    assert not moved(embedding.get_submodule("audio"))
    only = dict.fromkeys(("gan", "l1", "unit_contrast", "raw_contrast", "disentangle"), 0)
    joint = FaceRecipe(FaceSettings.model_validate({**FACE, "losses": only}), str(tmp_path))
    embedding = learned(joint, "face")["face"].get_submodule("face.embedding")
    assert moved(embedding.get_submodule("video.lips"))
    assert not moved(embedding.get_submodule("audio"))


@pytest.mark.long
@pytest.mark.parametrize("weight", [0, 1])
def test_the_embedding_learns_the_rest_of_a_face_by_spans_alone(
    weight: int, tmp_path: Path
) -> None:
    settings = EmbeddingSettings.model_validate(
        {**COMMON, "size": SMALL, "losses": {"spans": weight}}
    )
    networks = learned(EmbeddingRecipe(settings, str(tmp_path)), "embedding")
    without = {n for n, p in networks["embedding"].named_parameters() if p.grad is None}
    rest = {n for n, _ in networks["embedding"].named_parameters() if ".video.rest." in n}
    assert without == (set() if weight else rest)
    assert not any(p.grad is not None for p in networks["critic"].parameters())


def test_the_words_of_a_sample_are_seen_together(tmp_path: Path) -> None:
    settings = EmbeddingSettings.model_validate(
        {**COMMON, "size": SMALL, "speech_classes": "words"}
    )
    recipe = EmbeddingRecipe(settings, str(tmp_path))
    networks = recipe.networks()
    made = recipe._made(networks, a_batch())
    assert made["heard_class"].shape == made["seen_class"].shape == (2, 4)


def test_faces_and_points_are_mirrored_and_moved_together() -> None:
    faces = torch.zeros(8, 1, 3, 128, 128, dtype=torch.uint8)
    faces[:, :, :, 40:42, 20:22] = 255
    sample = {
        "face": faces,
        "other_face": faces.clone(),
        "points": torch.full((8, 1, 68, 2), 1.0) * torch.tensor([21.0, 41.0]),
        "row": torch.arange(8),
    }
    change = SquareAugmentation(mirror=0.5, shift_px=8)
    batch = square_batch(sample, change, torch.device("cpu"), np.random.default_rng(0))
    assert torch.equal(batch["face"], batch["other_face"])
    places = set()
    for face, points in zip(batch["face"], batch["points"], strict=True):
        y, x = np.nonzero(face[0, 0].numpy() > 0)
        assert (x.mean() + 0.5, y.mean() + 0.5) == tuple(points[0, 0].tolist())
        assert points.unique(dim=1).shape[1] == 1
        places.add((int(x[0]), int(y[0])))
    assert len(places) > 4 and {x > 64 for x, _ in places} == {True, False}
    plain = square_batch(sample, change, torch.device("cpu"), None)
    assert plain["face"].min() == -1 and plain["face"].max() == 1
    mirror = mirror_of_points()
    assert [mirror[point] for point in mirror] == list(range(68))
    assert (mirror[0], mirror[36], mirror[48]) == (16, 45, 54)


def test_a_window_of_25_ticks_shows_12_faces() -> None:
    windows = SquareWindows(side=256, frames=12, spacing=2, stride=5, classified=20)
    assert windows.ticks == 25 and windows.shown == list(range(1, 24, 2))
    assert SquareWindows(side=256, frames=1, stride=5).shown == [0]


def part(row: int, name: str) -> ClipPart:
    return ClipPart(row, "p", "train", 0, 29, 1.16, 0.0, 0.0, Path(name), "0" * 32, {})


def test_words_are_in_the_names_of_clips() -> None:
    names = ("ABOUT_00001.mp4", "ZERO_00002.mp4", "ABOVE_00001.mp4", "ABOUT_00002.mp4")
    parts = [part(row, f"x/train/{name}") for row, name in enumerate(names)]
    assert words_of(parts, 500) == {0: 0, 1: 2, 2: 1, 3: 0}
    assert words_of(parts, 2) == {0: 0, 2: 1, 3: 0}
    with pytest.raises(ValueError, match="speech_classes=units"):
        words_of([part(0, "talk.mp4")], 500)


@pytest.mark.long
def test_an_embedding_that_stays_is_as_it_was_given(tmp_path: Path) -> None:
    file = write_trained("stylegan2_face_embedding", {**SMALL, "mfcc": "psf"}, tmp_path)
    given = {**FACE, "embedding": str(file), "rates": {"embedding": 0}}
    recipe = FaceRecipe(FaceSettings.model_validate(given), str(tmp_path))
    with Store(str(tmp_path)).in_use():
        networks = recipe.networks()
    learner = networks["face"].train()
    loss, _ = recipe.loss("face", networks, a_batch(), 0, {})
    loss.backward()
    embedding = learner.get_submodule("face.embedding")
    for name, value in load_file(file).items():
        torch.testing.assert_close(embedding.state_dict()[name], value, rtol=0, atol=0)
    assert not any(p.grad is not None for p in embedding.parameters())
    assert moved(learner.get_submodule("face.decoder"))
    with pytest.raises(SettingsError, match="give them as embedding=FILE"):
        FaceRecipe(FaceSettings.model_validate({**FACE, "rates": {"embedding": 0}}), str(tmp_path))


def test_more_faces_than_a_sample_has_cannot_be_drawn(tmp_path: Path) -> None:
    settings = FaceSettings.model_validate({**FACE, "drawn_frames": 5})
    with pytest.raises(SettingsError, match="drawn_frames 5 are more than the 4"):
        FaceRecipe(settings, str(tmp_path))


@pytest.mark.long
def test_a_training_begins_only_with_what_is_like_it(tmp_path: Path) -> None:
    store, kind = Store(tmp_path / "store"), "stylegan2_face_embedding"
    file = str(write_trained(kind, {**SMALL, "mfcc": "davs"}, tmp_path))
    size = FaceSize.model_validate({**FACE["size"], "mfcc": "davs"})
    with store.in_use():
        begun = begun_with(
            Embedding(size), part_of(size, EmbeddingSize), file, kind, what="embedding", store=store
        )
        for name, value in load_file(file).items():
            torch.testing.assert_close(begun.state_dict()[name], value)
        for change, told in (({"mfcc": "psf"}, "mfcc=davs"), ({"align": "davs"}, "align=rigid")):
            other = part_of(size.model_copy(update=change), EmbeddingSize)
            with pytest.raises(SettingsError, match=f"embedding: .* has {told}; set size so"):
                begun_with(Embedding(size), other, file, kind, what="embedding", store=store)
        with pytest.raises(SettingsError, match=f"holds {kind}, not stylegan2_face_identity"):
            identity = part_of(size, IdentitySize)
            name = "stylegan2_face_identity"
            begun_with(nn.Linear(1, 1), identity, file, name, what="identity", store=store)
