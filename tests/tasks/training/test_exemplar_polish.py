"""The polishing network's training: what a batch holds, what is lost, and how it is judged."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from models.exemplar.polish import INPUTS, MOUTH_SIDE, REFERENCES
from models.exemplar.settings import PolishSize
from tasks.training.exemplar_polish import (
    PolishRecipe,
    PolishSettings,
    PolishWeights,
    contrast,
    judged,
    made_of,
    mouth_weight,
)
from tasks.training.mouth_pairs import FRAMES
from tests.models.exemplar_scene import texture

TINY = PolishSettings(
    size=PolishSize(fine=2, middle=3, coarse=4, coarse_layers=1),
    losses=PolishWeights.model_validate({"perceptual": 0}),
    mirror=1,
)
BOX = (20.0, 28.0, 44.0, 40.0)


@pytest.fixture
def recipe(tmp_path: Path) -> PolishRecipe:
    return PolishRecipe(TINY, str(tmp_path))


def sample(windows: int = 2) -> dict[str, torch.Tensor]:
    """Windows whose mouths are those of another moment."""
    drawn = np.random.default_rng(0)

    def pictures(*sizes: int) -> np.ndarray[Any, Any]:
        count = int(np.prod(sizes))
        every = [texture(MOUTH_SIDE, MOUTH_SIDE, seed=int(s)) for s in drawn.integers(0, 9, count)]
        return np.stack(every).reshape(*sizes, MOUTH_SIDE, MOUTH_SIDE, 3)

    mask = np.zeros((windows, 2, MOUTH_SIDE, MOUTH_SIDE), np.uint8)
    mask[..., 12:56, 8:56] = 255
    lips = np.zeros((windows, 2, 2, MOUTH_SIDE, MOUTH_SIDE), np.uint8)
    lips[..., 28:40, 20:30] = 255
    found = {
        "patch": pictures(windows, FRAMES),
        "blended": pictures(windows, 2),
        "own": pictures(windows, 2),
        "reference": pictures(windows, 2, REFERENCES),
        "lips": lips,
        "mask": mask,
        "box": np.broadcast_to(np.array(BOX, np.float32), (windows, 2, 4)).copy(),
        "predicted": np.array([False, True][:windows]),
        "row": np.arange(windows),
    }
    return {name: torch.from_numpy(array) for name, array in found.items()}


def batch(recipe: PolishRecipe, rng: np.random.Generator | None = None) -> dict[str, torch.Tensor]:
    return recipe.batch(sample(), torch.device("cpu"), rng)


def test_a_batch_holds_both_frames_of_each_window(recipe: PolishRecipe) -> None:
    given, found = sample(), batch(recipe)
    assert found["inputs"].shape == (4, INPUTS, MOUTH_SIDE, MOUTH_SIDE)
    own = given["own"].flatten(0, 1).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(found["own"], own)
    # The second frame's neighbour before is the first, and the other way round.
    change = found["inputs"][:, 3:9] / 8
    torch.testing.assert_close(change[1, :3], -change[0, 3:])


def test_mirrored_and_brightened_it_is_the_same_mouth(recipe: PolishRecipe) -> None:
    plain, other = batch(recipe), batch(recipe, np.random.default_rng(1))
    torch.testing.assert_close(other["mask"], plain["mask"].flip(-1))
    torch.testing.assert_close(other["weight"], plain["weight"].flip(-1))
    torch.testing.assert_close(other["inputs"][:, -3:], plain["inputs"][:, -3:].flip(-1))
    gain = (other["own"].flip(-1) / plain["own"].clamp(min=0.1))[plain["own"] > 0.3]
    assert gain.min() > 0.75 and gain.max() < 1.25 and gain.std() > 0.01


def test_the_true_mouth_costs_nothing(recipe: PolishRecipe) -> None:
    given = batch(recipe)
    total, parts = recipe._compared({}, given["own"], given)
    assert float(total) == 0 and set(parts) == {"l1", "temporal", "contrast"}
    worse, _ = recipe._compared({}, given["blended"], given)
    assert float(worse) > 0.05


def test_what_is_outside_the_mask_counts_nothing(recipe: PolishRecipe) -> None:
    given = batch(recipe)
    made = torch.where(given["mask"] > 0, given["own"], given["own"] + 0.5)
    parts = recipe._compared({}, made, given)[1]
    assert float(parts["l1"]) == 0 and float(parts["temporal"]) < 1e-6


def test_a_blurred_mouth_loses_contrast_and_a_moved_one_does_not() -> None:
    drawn = torch.Generator().manual_seed(0)
    own = torch.rand((1, 3, 64, 64), generator=drawn)
    blurred = torch.nn.functional.avg_pool2d(own, 3, 1, 1)
    moved = own.roll(1, -1)
    lost, kept = ((contrast(x) - contrast(own)).abs().mean() for x in (blurred, moved))
    assert lost > 4 * kept


def test_the_lips_count_more() -> None:
    weight = mouth_weight(np.array([BOX], np.float32), more=4)[0, 0]
    rows, columns = np.nonzero(weight > 1)
    assert (rows.min(), rows.max()) == (22, 45) and (columns.min(), columns.max()) == (8, 55)
    assert set(np.unique(weight)) == {1, 4}


def test_a_network_without_a_say_gives_nearly_the_mean_of_all_mouths(recipe: PolishRecipe) -> None:
    given = batch(recipe)
    with torch.no_grad():
        made = made_of(recipe.networks(), given)
    more = 0.15 * given["more"].sum(1) * given["mask"]
    slow = cv2.GaussianBlur(more[0].permute(1, 2, 0).numpy(), (3, 3), 0)[1:-1, 1:-1]
    added = (made - given["blended"])[0].permute(1, 2, 0).numpy()[1:-1, 1:-1]
    np.testing.assert_allclose(added, slow, atol=1e-5)


def test_figures_are_of_the_mouth_and_against_the_source() -> None:
    drawn = torch.Generator().manual_seed(0)
    own = torch.rand((4, 3, 64, 64), generator=drawn) * 0.5
    where = torch.zeros(4, 1, 64, 64)
    where[..., 20:40, 20:40] = 1
    made = own + 0.1 * where
    made[..., :10] = 1
    found = {name: float(value) for name, value in judged(made, own, where).items()}
    assert found["psnr_db"] == pytest.approx(20, abs=0.2)
    assert found["flicker"] == pytest.approx(1, abs=0.02)
    assert found["contrast"] == pytest.approx(1, abs=0.06)


def test_it_learns_to_take_the_reference_that_is_right(tmp_path: Path) -> None:
    """The first reference is the true mouth: a few steps, and nearly only it is taken."""
    torch.manual_seed(0)
    settings = TINY.model_copy(update={"mirror": 0, "learning_rate": 0.02})
    recipe = PolishRecipe(settings, str(tmp_path))
    given = sample()
    given["reference"][:, :, 0] = given["own"]
    given["blended"] = given["patch"][:, 1:3]
    learned = recipe.batch(given, torch.device("cpu"), None)
    networks = recipe.networks()
    optimizer = recipe.optimizer("polish", networks["polish"].parameters())
    losses = []
    for step in range(60):
        loss, _ = recipe.loss("polish", networks, learned, step, {})
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.4 * losses[0]
    with torch.no_grad():
        shares = networks["polish"](learned["inputs"])[:, :REFERENCES].mean((0, 2, 3))
    assert shares[0] > 0.4 and (shares[1:] < 0.2).all()
