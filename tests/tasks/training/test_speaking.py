"""Recipes of faces that speak: their batches, losses, gate, and weights to begin with."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from models.published import build, build_trained
from models.wav2lip.expert import sync_loss
from models.wav2lip.generator import Generator
from models.wav2lip.settings import Wav2LipSize
from models.wav2lip.training import (
    lower_halves,
    mirrored_boxes,
    output_sync,
    pixels_in,
    weighted_l1,
)
from stores.artifacts.store import Store
from stores.errors import MissingWeights, SettingsError
from tasks.training.card import write_weights
from tasks.training.recipe import Batch
from tasks.training.run_folder import RunFolder
from tasks.training.speaking import face_windows, speak
from tasks.training.video_retalking_lnet import LNetRecipe, LNetSettings
from tasks.training.wav2lip_expert import ExpertRecipe, ExpertSettings
from tasks.training.wav2lip_generator import GeneratorRecipe, GeneratorSettings
from tasks.weights.intake import add_weights
from tests.published_weights import trained_file, write_registry

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {"size": {"width": 32}, "crop_px": 96}
LNET: dict[str, Any] = {
    "size": {"width": 4, "residuals": 1, "attention": 1},
    "losses": {"perceptual": 0},
}


def sample(count: int = 2, references: int = 5) -> dict[str, Tensor]:
    """What the loader gives, drawn."""
    torch.manual_seed(0)
    found = {"mel": torch.randn(count, 5, 1, 80, 16), "row": torch.zeros(count, dtype=torch.int64)}
    for name, frames in (("", 5), ("reference_", references)):
        found[f"{name}landmarks"] = 0.2 + 0.6 * torch.rand(count, frames, 478, 3)
        found[f"{name}face"] = torch.randint(0, 256, (count, frames, 3, 96, 96)).byte()
    return found


@pytest.fixture
def expert(tmp_path: Path) -> str:
    return trained_file(tmp_path / "expert.safetensors", "wav2lip_syncnet_color", {"width": 32})


def generator(store: Store, **own: Any) -> GeneratorRecipe:
    return GeneratorRecipe(GeneratorSettings.model_validate(SMALL | own), store.url)


def networks_of(recipe: GeneratorRecipe | LNetRecipe) -> dict[str, nn.Module]:
    return {**recipe.networks(), **{n: f.eval() for n, f in recipe.frozen().items()}}


def test_a_window_has_one_box_and_a_mirror_shows_all_of_it() -> None:
    settings = ExpertSettings.model_validate(SMALL)
    plain = face_windows(sample(), settings, CPU, None, window=True)
    assert plain["face"].shape == plain["reference"].shape == (2, 5, 3, 96, 96)
    turned = ExpertSettings.model_validate(SMALL | {"augmentation": {"mirror": 1}})
    seen = face_windows(sample(), turned, CPU, np.random.default_rng(0), window=True)
    torch.testing.assert_close(seen["face"], plain["face"].flip(-1), atol=1e-4, rtol=0)
    torch.testing.assert_close(seen["reference"], plain["reference"].flip(-1), atol=1e-4, rtol=0)
    wanted = torch.from_numpy(mirrored_boxes(plain["mouth"].numpy()))
    torch.testing.assert_close(seen["mouth"], wanted)


def test_pixels_count_by_their_place() -> None:
    inside = pixels_in(torch.tensor([[[0.25, 0.5, 0.75, 1.0]]]))
    assert inside.shape == (1, 1, 1, 96, 96)
    assert inside[0, 0, 0, 48:, 24:72].all() and inside.sum() == 48 * 48
    made, face = torch.zeros(2, 1, 1, 3, 96, 96)
    made[..., 48:, 24:72] = 1.0
    flat = weighted_l1(made, face, torch.ones(1, 1, 1, 96, 96))
    assert flat.item() == pytest.approx(0.25)
    five = weighted_l1(made, face, 1 + 4 * inside)
    assert five.item() == pytest.approx(5 * 0.25 / (5 * 0.25 + 0.75))


def test_sync_is_minus_the_logarithm_of_the_cosine() -> None:
    torch.manual_seed(0)
    expert = build_trained("wav2lip_syncnet_color", {"width": 32}).eval()
    mel, faces = torch.randn(3, 1, 80, 16), torch.rand(3, 5, 3, 96, 96)
    sound, shown = expert(mel, lower_halves(faces))
    loss = output_sync(expert, mel, faces)
    cosines = (sound * shown).sum(1)
    torch.testing.assert_close(loss, -cosines.log().mean())
    torch.testing.assert_close(loss, sync_loss(sound, shown, torch.ones(3)))
    # As published: frame 0 blue, green, red, frame 1 ..., lower halves.
    published = torch.cat([faces[:, t, :, 48:] for t in range(5)], dim=1)
    assert torch.equal(lower_halves(faces), published)


def test_the_expert_is_shown_other_moments_in_half_of_its_samples(store: Store) -> None:
    recipe = ExpertRecipe(ExpertSettings.model_validate(SMALL), store.url)
    plain = recipe.batch(sample(32), CPU, None)
    batch = recipe.batch(sample(32), CPU, np.random.default_rng(0))
    true = batch["in_sync"]
    assert 8 <= true.sum() <= 24
    assert torch.equal(batch["face"][true], plain["face"][true])
    assert torch.equal(batch["face"][~true], plain["reference"][~true])
    with torch.no_grad():
        figures = recipe.figures({"expert": recipe.networks()["expert"].eval()}, iter([plain]))
    assert set(figures) == {"loss", "cosine", "cosine_of_others", "told_apart"}


@pytest.mark.parametrize("gate_open", [False, True])
def test_the_generators_loss_is_the_papers(store: Store, expert: str, gate_open: bool) -> None:
    recipe = generator(store, expert=expert)
    recipe.validated(float(gate_open))
    networks = networks_of(recipe)
    batch, kept = recipe.batch(sample(), CPU, None), dict[str, Tensor]()
    loss, parts = recipe.loss("generator", networks, batch, 0, kept)
    l1 = (kept["made"] - batch["face"]).abs().mean()
    sound, shown = networks["expert"](batch["mel"][:, 0], lower_halves(kept["made"]))
    sync = -(sound * shown).sum(1).log().mean()
    verdicts = networks["critic"](kept["made"].transpose(1, 2))
    weight = 0.03 if gate_open else 0.0
    wanted = weight * sync + 0.07 * -verdicts.log().mean() + (1 - 0.07 - weight) * l1
    torch.testing.assert_close(loss.detach(), wanted)
    assert parts["sync"].requires_grad == gate_open
    real = networks["critic"](batch["face"].transpose(1, 2))
    found, _ = recipe.loss("critic", networks, batch, 0, kept)
    torch.testing.assert_close(found, -real.log().mean() - (1 - verdicts).log().mean())


def test_what_is_hidden_does_not_matter_and_the_reference_does(store: Store) -> None:
    recipe = generator(store, expert="none")
    network = recipe.networks()["generator"].eval()
    batch = recipe.batch(sample(), CPU, None)

    def made(**changes: Tensor) -> Tensor:
        with torch.no_grad():
            return speak(network, batch | changes)

    hidden = batch["face"].clone()
    hidden[:, :, :, 48:] = 0
    assert torch.equal(made(face=hidden), made())
    assert not torch.equal(made(reference=hidden), made())


def test_the_gate_opens_for_a_good_expert_and_good_faces(store: Store, expert: str) -> None:
    strict = generator(store, expert=expert)
    networks, batch = networks_of(strict), strict.batch(sample(), CPU, None)
    for network in networks.values():
        network.eval()
    with torch.no_grad():
        figures = strict.figures(networks, iter([batch]))
        assert figures["expert_on_truth"] > 0.3  # its weights are drawn
        assert figures["sync_gate"] == 0.0
        loose = {"outputs": figures["sync"] + 0.01, "truth": figures["expert_on_truth"] + 0.01}
        opened = generator(store, expert=expert, gate=loose)
        assert opened.figures(networks, iter([batch]))["sync_gate"] == 1.0
        weak = generator(store, expert=expert, gate=loose | {"truth": 0.3})
        assert weak.figures(networks, iter([batch]))["sync_gate"] == 0.0
    for value, is_open in ((float("nan"), False), (0.0, False), (1.0, True), (0.0, True)):
        strict.validated(value)
        assert strict._judge.open == is_open


def test_without_an_expert_the_mouth_counts_and_the_card_says_so(store: Store, expert: str) -> None:
    recipe = LNetRecipe(LNetSettings.model_validate(LNET | {"expert": "none"}), store.url)
    assert recipe.facts()["expert"] == "none: the mouth's box counts 5 times in its place"
    batch: Batch = recipe.batch(sample(), CPU, None)
    made = batch["face"] * 0.9
    plain = weighted_l1(made, batch["face"], torch.ones_like(pixels_in(batch["mouth"])))
    inside = weighted_l1(made, batch["face"], 1 + 4 * pixels_in(batch["mouth"]))
    parts = recipe.parts({}, batch, made)
    assert parts["l1"] == inside != plain
    judged = LNetRecipe(LNetSettings.model_validate(LNET | {"expert": expert}), store.url)
    assert judged.facts()["expert"] == expert
    assert judged.parts(judged.frozen(), batch, made)["l1"] == plain
    loss, parts = judged.loss("lnet", networks_of(judged), batch, 0, {})
    assert loss.item() == pytest.approx(parts["l1"].item())
    judged.validated(1.0)
    loss, parts = judged.loss("lnet", networks_of(judged), batch, 0, {})
    assert loss.item() == pytest.approx(parts["l1"].item() + 0.3 * parts["sync"].item())


def test_a_missing_expert_is_named_with_the_ways_out(store: Store) -> None:
    with pytest.raises(MissingWeights, match=r"weights add wav2lip_lipsync_expert.*expert=none"):
        generator(store)
    with pytest.raises(SettingsError, match="pictures are not turned"):
        generator(store, expert="none", augmentation={"roll_degrees": 3})


def test_it_begins_with_given_weights_of_its_own_size(store: Store, tmp_path: Path) -> None:
    path = trained_file(tmp_path / "mine.safetensors", "wav2lip_generator", {"width": 32})
    begun = generator(store, expert="none", start=path).networks()["generator"].state_dict()
    assert all(torch.equal(begun[key], value) for key, value in load_file(path).items())
    with pytest.raises(SettingsError, match="another size"):
        generator(store, expert="none", start=path, size={"width": 64}).networks()
    with pytest.raises(SettingsError, match="holds wav2lip_generator, not wav2lip_syncnet_color"):
        settings = ExpertSettings.model_validate(SMALL | {"start": path})
        ExpertRecipe(settings, store.url).networks()


@pytest.mark.long
def test_published_weights_are_a_start_and_full_size_ones_published(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUBFLOW_WEIGHTS", str(write_registry(tmp_path / "own.yaml", "wav2lip_gan")))
    torch.manual_seed(2)
    state = {f"module.{k}": v for k, v in Generator().state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "wav2lip_gan.pth")
    add_weights(store, "wav2lip_gan", tmp_path / "wav2lip_gan.pth")
    recipe = generator(store, expert="none", start="wav2lip_gan", size=Wav2LipSize().model_dump())
    networks = {"generator": recipe.networks()["generator"]}
    told: Any = {"precision": "float32", "licence": "CC0", "trained_on": {}, "recipe": {}}
    (name,) = write_weights(RunFolder(tmp_path), recipe.export(networks), **told)
    published = build("wav2lip_generator")
    published.load_state_dict(load_file(tmp_path / name))
    for key, value in published.state_dict().items():
        assert torch.equal(value, state[f"module.{key}"])
