"""E-Net's recipe: what it is shown, what learns, and what stays."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from models.published import build_trained
from models.video_retalking.enet import ENet
from models.video_retalking.training import degraded
from stores.artifacts.store import Store
from stores.errors import SettingsError
from tasks.training.video_retalking_enet import ENetRecipe, ENetSettings, small_faces
from tests.media_factory import faces
from tests.published_weights import trained_file

CPU = torch.device("cpu")
LNET = {"width": 4, "residuals": 1, "attention": 1}
TINY: dict[str, Any] = {"size": {"side": 192, "width": 4}, "learning_rate": 3e-3}


@pytest.fixture
def lnet(tmp_path: Path) -> str:
    return trained_file(tmp_path / "lnet.safetensors", "vrt_lnet", LNET)


def recipe(lnet: str, store: Store, **own: Any) -> ENetRecipe:
    torch.manual_seed(0)
    return ENetRecipe(ENetSettings.model_validate(TINY | {"lnet": lnet} | own), store.url)


def networks_of(made: ENetRecipe) -> dict[str, nn.Module]:
    frozen = {n: f.eval().requires_grad_(False) for n, f in made.frozen().items()}
    return {**made.networks(), **frozen}


@pytest.fixture(scope="module")
def sample() -> dict[str, Tensor]:
    """Five frames of a drawn face, as the loader gives them."""
    shown = np.stack([each for each, _ in zip(faces(256, 256), range(5), strict=False)])
    pictures = torch.from_numpy(shown).permute(0, 3, 1, 2)[None]
    corner = torch.tensor([[0.2, 0.2, 0.0], [0.8, 0.8, 0.0]]).repeat(239, 1)
    points = corner.expand(1, 5, 478, 3)
    generator = torch.Generator().manual_seed(0)
    return {
        **{"face": pictures, "reference_face": pictures.roll(1, 1)},
        **{"landmarks": points, "reference_landmarks": points},
        **{"mel": torch.randn(1, 5, 1, 80, 16, generator=generator), "row": torch.zeros(1).long()},
    }


def test_it_sees_bad_pictures_whose_lower_half_is_hidden_but_once(
    lnet: str, store: Store, sample: dict[str, Tensor]
) -> None:
    made = recipe(lnet, store)
    batch = made.batch(sample, CPU, np.random.default_rng(0))
    assert batch["face"].shape == batch["reference"].shape == (5, 3, 192, 192)
    assert ((batch["quality"] >= 60) & (batch["quality"] <= 95)).all()
    assert batch["quality"].unique().numel() == 5
    shown: list[Tensor] = []

    def watch(mel: Tensor, both: Tensor) -> Tensor:
        shown.append(both)
        return both[:, 3:]

    low = degraded(batch["face"], batch["quality"], side=96)
    seen = small_faces(watch, batch)  # type: ignore[arg-type]
    torch.testing.assert_close(seen, low)
    assert not shown[0][:, :3, 48:].any()
    torch.testing.assert_close(shown[0][:, :3, :48], low[:, :, :48])


@pytest.mark.long
def test_e_net_learns_and_l_net_stays(lnet: str, store: Store, sample: dict[str, Tensor]) -> None:
    made = recipe(lnet, store, losses={"identity": 0})
    networks = networks_of(made)
    before = {name: value.clone() for name, value in networks["lnet"].state_dict().items()}
    optimizers = {
        phase: made.optimizer(phase, networks[phase].parameters()) for phase in made.phases
    }
    assert list(optimizers) == ["enet", "critic"]
    batch = {name: each[:2] for name, each in made.batch(sample, CPU, None).items()}
    losses: list[float] = []
    for step in range(10):
        carried: dict[str, Tensor] = {}
        for phase, optimizer in optimizers.items():
            loss, parts = made.loss(phase, networks, batch, step, carried)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if phase == "enet":
                losses.append(parts["l1"].item())
    assert losses[-1] < 0.75 * losses[0]
    for name, value in networks["lnet"].state_dict().items():
        assert torch.equal(value, before[name])


def test_its_file_holds_both_networks(
    lnet: str, store: Store, sample: dict[str, Tensor], tmp_path: Path
) -> None:
    made = recipe(lnet, store, losses={"adversarial": 0, "identity": 0})
    assert made.phases == ("enet",)
    networks = networks_of(made)
    (export,) = made.export(networks).values()
    both = build_trained(export.network, export.config)
    both.load_state_dict(export.tensors)
    assert isinstance(both.eval(), ENet)
    batch = made.batch(sample, CPU, None)
    masked = batch["face"] * (torch.arange(192)[:, None] < 96)
    noise = [torch.zeros(())] * 2
    given = torch.cat((masked, batch["reference"]), 1)
    image, small = both(batch["mel"], given, batch["face"], noise=noise)
    assert image.shape == (5, 3, 192, 192)
    metadata = {"network": export.network, "config": json.dumps(export.config)}
    save_file(dict(export.tensors), tmp_path / "both.safetensors", metadata=metadata)
    torch.manual_seed(5)
    again = recipe(lnet, store, losses={"identity": 0}, start=str(tmp_path / "both.safetensors"))
    torch.testing.assert_close(again.networks()["enet"].state_dict(), networks["enet"].state_dict())
    wanted = networks["enet"].eval()(small, batch["reference"], noise=noise)
    torch.testing.assert_close(image, wanted)


@pytest.mark.long
def test_the_validation_is_beside_plain_enlargement(
    lnet: str, store: Store, sample: dict[str, Tensor]
) -> None:
    made = recipe(lnet, store, losses={"adversarial": 0, "identity": 0})
    networks = {name: each.eval() for name, each in networks_of(made).items()}
    batch = {name: each[:2] for name, each in made.batch(sample, CPU, None).items()}
    with torch.no_grad():
        figures = made.figures(networks, iter([batch, batch]))
        again = made.figures(networks, iter([batch]))
    assert {"loss", "psnr_db", "bicubic_psnr_db", "perceptual", "bicubic_perceptual"} <= set(
        figures
    )
    assert figures == pytest.approx(again, rel=1e-5), "no noise, and means over samples"


@pytest.mark.long
def test_the_expert_hears_a_window_and_sees_its_five_faces_once_the_gate_is_open(
    lnet: str, store: Store, sample: dict[str, Tensor], tmp_path: Path
) -> None:
    expert = trained_file(tmp_path / "e.safetensors", "wav2lip_syncnet_color", {"width": 32})
    losses = {"adversarial": 0, "identity": 0, "sync": 0.3}
    easy = {"outputs": 100, "truth": 100}
    made = recipe(lnet, store, losses=losses, expert=expert, gate=easy)
    assert made.facts()["expert"] == expert
    networks = networks_of(made)
    two = {name: torch.cat([each, each.flip(1)]) for name, each in sample.items() if name != "row"}
    batch = made.batch(two | {"row": torch.zeros(2).long()}, CPU, None)

    def judged() -> tuple[Tensor, dict[str, Tensor]]:
        torch.manual_seed(3)
        return made.loss("enet", networks, batch, 0, {})

    with torch.no_grad():
        torch.manual_seed(3)
        faces = networks["enet"](small_faces(networks["lnet"], batch), batch["reference"])
        low = functional.avg_pool2d(faces, 2)[:, :, 48:]
        seen = torch.stack([low[:5].flatten(0, 1), low[5:].flatten(0, 1)])
        sound, shown = networks["expert"](batch["mel"][[0, 5]], seen)
        wanted = -(sound * shown).sum(1).log().mean()
    closed, parts = judged()
    torch.testing.assert_close(parts["sync"], wanted)
    assert not parts["sync"].requires_grad
    torch.testing.assert_close(closed, 0.2 * parts["l1"] + parts["perceptual"])
    with torch.no_grad():
        figures = made.figures(networks, iter([batch]))
    assert figures["expert_on_truth"] > 0 and figures["sync_gate"] == 1
    made.validated(figures["sync_gate"])
    opened, parts = judged()
    assert parts["sync"].requires_grad
    torch.testing.assert_close(opened, closed + 0.3 * wanted)


def test_another_network_is_refused(store: Store, tmp_path: Path) -> None:
    other = trained_file(tmp_path / "o.safetensors", "wav2lip_syncnet_color", {"width": 32})
    with pytest.raises(SettingsError, match=r"lnet: .*holds wav2lip_syncnet_color, not vrt_lnet"):
        recipe(other, store)
