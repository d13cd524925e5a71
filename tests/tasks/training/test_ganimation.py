"""GANimation's recipe: what it is shown, who learns when, and what its file holds."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.published import build_trained
from tasks.training.ganimation import GANimationRecipe, GANimationSettings, changed

CPU = torch.device("cpu")
SIZE = {"side": 32, "width": 4, "residuals": 1, "colours": "rgb"}


def recipe(**own: Any) -> GANimationRecipe:
    torch.manual_seed(0)
    return GANimationRecipe(GANimationSettings.model_validate({"size": SIZE} | own), "")


@pytest.fixture
def sample() -> dict[str, Tensor]:
    """Grey faces, as light as their only unit is high."""
    units = torch.zeros(8, 17)
    units[:, 2] = torch.linspace(0, 1, 8)
    face = (units[:, 2] * 255).byte()[:, None, None, None].expand(-1, 3, 32, 32)
    return {"face": face.contiguous(), "units": units, "row": torch.arange(8)}


def test_a_face_shall_show_about_the_units_of_another(sample: dict[str, Tensor]) -> None:
    made = recipe()
    batch = made.batch(sample, CPU, np.random.default_rng(0))
    assert batch["wanted"].min() >= 0 and batch["wanted"].max() <= 1
    order = (batch["wanted"][:, 2, None] - sample["units"][:, 2]).abs()
    assert order.min(1).values.max() <= 0.1
    assert order.argmin(1).tolist() != list(range(8))
    assert (batch["wanted"][:, 0] <= 0.1).all() and batch["wanted"][:, 0].any()
    still = made.batch(sample, CPU, None)
    torch.testing.assert_close(still["wanted"], sample["units"].roll(4, 0))


def test_faces_are_in_the_order_of_the_file(sample: dict[str, Tensor]) -> None:
    sample["face"] = sample["face"].clone()
    sample["face"][:, 0] = 255
    rgb = recipe().batch(sample, CPU, None)["face"]
    bgr = recipe(size=SIZE | {"colours": "bgr"}).batch(sample, CPU, None)["face"]
    assert (rgb[:, 0] == 1).all() and (bgr[:, 2] == 1).all()
    assert rgb[0, 1, 0, 0] == -1
    assert recipe().export(recipe().networks())["ganimation"].config == SIZE


def test_units_may_begin_with_larger_weights() -> None:
    plain, gained = (recipe(units_gain=gain).networks()["generator"] for gain in (1, 8))
    for (name, one), other in zip(plain.named_parameters(), gained.parameters(), strict=True):
        wanted = one.detach().clone()
        if name == "model.0.weight":
            wanted[:, 3:] *= 8
        torch.testing.assert_close(other.detach(), wanted)


def test_faces_are_mirrored_as_often_as_told(sample: dict[str, Tensor]) -> None:
    sample["face"] = sample["face"].clone()
    sample["face"][..., :16] = 255
    turned = [
        recipe(mirror=share).batch(sample, CPU, np.random.default_rng(0))["face"][:, 0, 0, 0] < 1
        for share in (0.0, 0.5, 1.0)
    ]
    assert not turned[0].any() and turned[2][:7].all()
    assert 0 < turned[1].sum() < 7


def test_the_critic_learns_five_times_as_often() -> None:
    made = recipe()
    learns = [step for step in range(15) if not made.rests("generator", step)]
    assert learns == [4, 9, 14]
    assert not any(made.rests("critic", step) for step in range(15))


def test_at_first_the_critic_alone_learns_to_read(sample: dict[str, Tensor]) -> None:
    made = recipe(critic_steps=2, reading_steps=4)
    assert [step for step in range(10) if not made.rests("generator", step)] == [5, 7, 9]
    networks, batch = made.networks(), made.batch(sample, CPU, None)
    loss, parts = made.loss("critic", {"critic": networks["critic"]}, batch, 3, {})
    loss.backward()
    read = (networks["critic"](batch["face"])[1] - batch["units"]).square().mean()
    torch.testing.assert_close(loss, 160 * read)
    assert parts.keys() == {"read_units"}
    grads = [p.grad for p in networks["critic"].parameters()]
    assert all(grad is not None for grad in grads), "as processes that train together need"
    assert "penalty" in made.loss("critic", networks, batch, 4, {})[1]


def test_the_papers_rate_stays_and_falls_to_nothing() -> None:
    made = GANimationRecipe(GANimationSettings(), "")
    rates = [made.schedule(step) for step in (0, 160_000, 200_000, 240_000)]
    assert rates == pytest.approx([1, 1, 0.5, 0])


@pytest.mark.long
def test_the_critic_reads_units_and_the_generator_makes_them(sample: dict[str, Tensor]) -> None:
    made = recipe(learning_rate=2e-3)
    networks = made.networks()
    optimizers = {p: made.optimizer(p, networks[p].parameters()) for p in made.phases}
    rng = np.random.default_rng(0)
    with torch.no_grad():
        before = made.figures(networks, iter([made.batch(sample, CPU, None)]))
    for step in range(60):
        batch, carried = made.batch(sample, CPU, rng), dict[str, Tensor]()
        for phase, optimizer in optimizers.items():
            if not made.rests(phase, step):
                optimizer.zero_grad()
                loss, _ = made.loss(phase, networks, batch, step, carried)
                loss.backward()
                optimizer.step()
    with torch.no_grad():
        after = made.figures(networks, iter([made.batch(sample, CPU, None)] * 2))
    assert after["read_units_error"] < 0.5 * before["read_units_error"]
    assert after["cycle_l1"] < before["cycle_l1"]
    assert {"loss", "own_levels", "changed_levels", "made_units_error"} <= after.keys()


def test_its_file_makes_the_same_faces(sample: dict[str, Tensor]) -> None:
    made = recipe()
    networks = made.networks()
    (export,) = made.export(networks).values()
    again = build_trained(export.network, export.config)
    again.load_state_dict(export.tensors)
    batch = made.batch(sample, CPU, None)
    faces = [changed(n, batch["face"], batch["units"]) for n in (again, networks["generator"])]
    torch.testing.assert_close(*faces)
