"""D-Net's training: which pairs it sees, what is lost, and when it learns what."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from flows.recipes import recipe_settings
from flows.recipes.video_retalking_dnet import open_faces
from flows.training.job import Job
from flows.training.settings import TrainSettings
from models.ip_lap.perceptual import PerceptualLoss
from models.video_retalking.steps import coefficient_windows
from stores.artifacts.store import Store
from stores.errors import InputError
from tasks.training.dataset import WindowLoader
from tasks.training.figures import mean_psnr
from tasks.training.perceptual import PerceptualNetwork
from tasks.training.recipe import Data, NoTrainingObserver
from tasks.training.video_retalking_dnet import DNetRecipe, DNetSettings, DNetWeights
from tests.flows.test_train import (
    Make,
    _feature_distance,
    _TwoLayers,
    index,
    make,
    store,
    trained_files,
)

__all__ = ["index", "make", "store", "trained_files"]  # fixtures

pytestmark = pytest.mark.dub
TINY = DNetSettings.model_validate(
    {"size": {"width": 1, "side": 64}, "coefficients": "mesh", "warping_steps": 2}
)
MOUTH = torch.tensor([[0.25, 0.5, 0.75, 1.0]]).expand(2, 4)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tests run side by side; so small networks are no slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def recipe(store: Path) -> DNetRecipe:
    made = DNetRecipe(TINY, str(store))
    made._perceptual = PerceptualNetwork("two layers", _TwoLayers())
    return made


def batch_of(recipe: DNetRecipe, rng: np.random.Generator | None = None) -> dict[str, torch.Tensor]:
    drawn = torch.Generator().manual_seed(0)
    faces = [
        torch.randint(0, 256, (2, 3, 64, 64), generator=drawn, dtype=torch.uint8) for _ in range(2)
    ]
    windows = [torch.randn(2, 73, 26, generator=drawn) for _ in range(2)]
    names = ("face", "other_face", "window", "other_window")
    sample = dict(zip(names, (*faces, *windows), strict=True))
    sample |= {"mouth": MOUTH, "other_mouth": MOUTH}
    return recipe.batch(sample, torch.device("cpu"), rng)


def test_each_face_of_a_pair_becomes_the_other(recipe: DNetRecipe) -> None:
    batch = batch_of(recipe)
    for name in ("source", "target"):
        assert -1 <= batch[name].min() < -0.9 and 0.9 < batch[name].max() <= 1
    assert torch.equal(batch["source"].roll(2, 0), batch["target"])
    drawn = np.random.default_rng(0)
    sample = {
        name: torch.from_numpy(drawn.integers(0, 9, (1, 3, 64, 64)).astype(np.uint8))
        for name in ("face", "other_face")
    }
    for name, shape in (("window", (1, 73, 26)), ("mouth", (1, 4))):
        sample |= {f"{of}{name}": torch.full(shape, float(of != "")) for of in ("", "other_")}
    both = recipe.batch(sample, torch.device("cpu"), None)
    assert both["window"][:, 0, 0].tolist() == [1, 0], "the first becomes the other"
    assert both["mouth"][:, 0].tolist() == [1, 0], "of the face that is made"


def test_the_losses_are_those_of_the_paper(recipe: DNetRecipe) -> None:
    batch, judge = batch_of(recipe), PerceptualLoss(recipe._perceptual.backbone, 4)
    networks: dict[str, nn.Module] = {**recipe.networks(), "perceptual": judge}
    made = networks["dnet"](batch["source"], batch["window"])
    target = (batch["target"].flip(1) + 1) / 2
    warped, final = ((made[n].flip(1) + 1) / 2 for n in ("warp_image", "fake_image"))
    warping = _feature_distance(judge, warped, target, style=0, scales=4)
    whole = _feature_distance(judge, final, target, style=250, scales=4)
    for step, wanted in ((1, 2.5 * warping), (2, 2.5 * warping + 4 * whole)):
        loss, parts = recipe.loss("dnet", networks, batch, step, {})
        torch.testing.assert_close(loss, wanted, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(parts["warping"], warping, rtol=1e-4, atol=1e-5)
    assert (("final" in parts), recipe.restarts) == (True, (2,))


def test_the_mouth_counts_as_often_as_it_is_told(recipe: DNetRecipe, store: Path) -> None:
    more = DNetRecipe(TINY.model_copy(update={"losses": DNetWeights(mouth=20)}), str(store))
    batch, judge = batch_of(recipe), PerceptualLoss(recipe._perceptual.backbone, 4)

    def lost(recipe: DNetRecipe, rows: slice) -> float:
        warped = batch["target"].clone()
        warped[:, :, rows, 16:48] = 0
        made = {"warp_image": warped}
        return float(recipe._compared({"perceptual": judge}, made, batch)[1]["warping"])

    inside, outside = slice(40, 56), slice(4, 20)
    assert lost(recipe, inside) == pytest.approx(lost(recipe, outside), rel=0.1)
    assert lost(more, inside) > 10 * lost(more, outside)


def test_heads_follow_pose_whatever_the_expression(recipe: DNetRecipe, store: Path) -> None:
    half = DNetRecipe(TINY.model_copy(update={"other_expressions": 0.5}), str(store))
    plain = batch_of(recipe)
    assert "above_mouth" not in batch_of(half), "never where figures are taken"
    assert "above_mouth" not in batch_of(recipe, np.random.default_rng(0)), "published: never"

    changed, kinds = 0, set()
    for seed in range(50):
        batch = batch_of(half, np.random.default_rng(seed))
        torch.testing.assert_close(batch["window"][:, 64:], plain["window"][:, 64:])
        changed += int(batch["above_mouth"].sum())
        for row, (got, own) in enumerate(zip(batch["window"], plain["window"], strict=True)):
            found = {
                "own": torch.equal(got, own),
                "neutral": not got[:64].any(),
                "of the other face": torch.equal(got[:64], plain["window"][(row + 2) % 4, :64]),
            }
            (kind,) = (name for name, is_it in found.items() if is_it)
            assert (kind == "own") != bool(batch["above_mouth"][row])
            kinds.add(kind)
    assert kinds == {"own", "neutral", "of the other face"}
    assert 60 < changed < 140, "half of 200"


def test_a_face_of_another_expression_is_compared_above_the_mouth(
    recipe: DNetRecipe, store: Path
) -> None:
    half = DNetRecipe(TINY.model_copy(update={"other_expressions": 0.5}), str(store))
    judge = PerceptualLoss(recipe._perceptual.backbone, 4)
    batch = batch_of(recipe) | {"above_mouth": torch.tensor([True, False, False, False])}

    def lost(face: int, rows: slice, part: str) -> float:
        made = batch["target"].clone()
        made[face, :, rows] = 0
        both = {"warp_image": made, "fake_image": made}
        return float(half._compared({"perceptual": judge}, both, batch)[1][part])

    mouth, brows = slice(44, 64), slice(4, 24)
    for part in ("warping", "final"):
        # What lies at the edge is seen by features that lie above it.
        assert lost(0, mouth, part) < 0.05 * lost(0, brows, part)
        assert lost(1, mouth, part) > 0.5 * lost(1, brows, part)


def test_only_the_flow_is_learned_first(recipe: DNetRecipe) -> None:
    batch = batch_of(recipe)
    network = recipe.networks()["dnet"]
    networks = {"dnet": network, "perceptual": PerceptualLoss(recipe._perceptual.backbone, 4)}
    learned = [p for p in network.parameters() if p.requires_grad]
    recipe.loss("dnet", networks, batch, 0, {})[0].backward()
    assert all(p.grad is not None for p in learned)
    told = {
        name: bool(p.grad.any()) for name, p in network.named_parameters() if p.grad is not None
    }
    assert not any(moves for name, moves in told.items() if name.startswith("editing_net"))
    assert any(moves for name, moves in told.items() if name.startswith("mapping_net"))


def test_the_papers_rate_falls_once() -> None:
    _, own = recipe_settings("video_retalking.dnet", None, trainer={}, settings={})
    assert isinstance(own, DNetSettings)
    assert [own.schedule.factor(step) for step in (0, 299_999, 300_000, 399_999)] == [
        *(1.0, 1.0),
        *(pytest.approx(0.2), pytest.approx(0.2)),
    ]


def test_psnr_of_known_pictures() -> None:
    grey = torch.zeros(2, 3, 4, 4)
    made = torch.stack([grey[0] + 0.1, grey[1] + 0.01])
    torch.testing.assert_close(mean_psnr(made, grey), torch.tensor(30.0))


def job_of(settings: TrainSettings) -> Job:
    trainer, own = recipe_settings(
        settings.recipe, None, trainer=settings.trainer, settings=settings.settings
    )
    given: dict[str, Any] = {"index": settings.data, "store": settings.store}
    return Job(
        settings.recipe,
        own,
        trainer,
        folder=settings.output,
        watch=NoTrainingObserver,
        **given,
    )


@pytest.mark.long
def test_pairs_are_of_one_clip_with_the_windows_of_dubbing(make: Make) -> None:
    data: Data = open_faces(job_of(make("video_retalking.dnet")))
    loader = data.training(0, 1)
    assert isinstance(loader, WindowLoader)
    blocks: Any = loader._blocks
    part, rows = blocks._blocks[0]
    store = Store(blocks._store_url)
    numbers = store.get("coefficients", part.coefficients)
    np.testing.assert_array_equal(rows, np.flatnonzero(numbers.read("valid")))
    windows = coefficient_windows(numbers.read("coefficients"), rows)
    block = {name: value.numpy() for name, value in blocks[0].items()}
    np.testing.assert_array_equal(block["window"], windows)
    sample = blocks.cut(block, 3, np.array([9]))
    np.testing.assert_array_equal(sample["other_window"], windows[9])
    face = store.get("vrt_cut", part.cut).read("face", int(rows[3]), int(rows[3]) + 1)[0]
    colours = face.astype(float).mean((0, 1))[::-1]
    np.testing.assert_allclose(sample["face"].mean((1, 2)), colours, atol=1)
    assert sample["face"].shape == (3, 64, 64)
    lips = store.get("vrt_cut", part.cut).read("landmarks", int(rows[3]), int(rows[3]) + 1)[0, 48:]
    x1, y1, x2, y2 = sample["mouth"] * 256
    assert (x1 < lips[:, 0]).all() and (lips[:, 0] < x2).all() and x2 - x1 < 2 * np.ptp(lips[:, 0])
    assert (y1 < lips[:, 1]).all() and (lips[:, 1] < y2).all()
    assert data.facts["coefficients"] == "mesh" and data.facts["basis"]["name"] == "own"


@pytest.mark.long
def test_a_clip_that_was_replaced_is_not_trained_on(make: Make, tmp_path: Path) -> None:
    settings = make("video_retalking.dnet")
    table, changed = pq.read_table(settings.data), tmp_path / "changed.parquet"
    rows = [row | {"digest": "0" * 32} for row in table.to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), changed)
    with pytest.raises(InputError, match="not the clip that was prepared"):
        open_faces(job_of(settings.model_copy(update={"data": changed})))
