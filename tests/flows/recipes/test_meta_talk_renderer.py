"""Training of a person's neural face renderer: resumed anywhere, told on its card."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from flows.recipes import recipe_settings
from flows.train import open_data, train
from flows.training.job import Job
from flows.training.settings import TrainSettings
from models.meta_talk.settings import FaceSettings
from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from stores.errors import InputError, SettingsError
from stores.weights.trained import read_header
from tasks.engine.open_run import open_run
from tasks.methods.meta_talk_faces import meta_talk_faces
from tasks.training.checkpoint import Checkpoints
from tasks.training.face_frames import FaceFrames, FrameLoader, held_out
from tasks.training.loop import Training
from tasks.training.meta_talk_renderer import NeuralRendererRecipe, NeuralRendererSettings
from tasks.training.ranks import Rank
from tasks.training.recipe import Data, NoTrainingObserver
from tasks.weights.networks import load_network, trained_weights
from tests.tasks.drawn_face import drawn

FRAMES, INVALID, FIRST_HELD_OUT = 20, 7, 16
TINY = {"size": {"width": 1}, "critic_width": 2, "judged_stride": 2}


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Artifact]:
    folder = tmp_path_factory.mktemp("film")
    with open_run(Store(folder / "store"), workers=1):
        film = drawn(folder / "film.mp4", frames=FRAMES, invalid=INVALID)
        settings = FaceSettings()
        yield meta_talk_faces(*film[:2], person=film.person, fit=film.fit, settings=settings)


def settings_of(faces: Artifact, output: Path, **trainer: Any) -> TrainSettings:
    quick = {
        **{"steps": 2, "batch_size": 2, "validate_every": 1, "checkpoint_every": 1, "workers": 0},
        **{"device": "cpu", "deterministic": True},
    }
    given = {
        "recipe": "meta_talk.renderer",
        "data": f"{faces.kind}/{faces.key}",
        "output": output,
        "store": faces.store_url,
        "trainer": quick | trainer,
        "settings": TINY,
    }
    return TrainSettings.model_validate(given)


@pytest.mark.long
def test_weights_say_whose_they_are_and_a_run_goes_on(faces: Artifact, tmp_path: Path) -> None:
    card = train(settings_of(faces, tmp_path / "whole", steps=4))
    train(settings_of(faces, tmp_path / "cut", steps=1))
    train(settings_of(faces, tmp_path / "cut", steps=4))
    (name,) = card["weights"]
    assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()
    assert {"psnr_db", "render_psnr_db", "nearest_psnr_db"} <= set(card["figures"])
    splits = card["data"]["splits"]
    assert splits["train"] == {"persons": 1, "parts": 2, "seconds": 0.6}
    assert splits["validation"] == {"persons": 1, "parts": 1, "seconds": 0.2}
    told = read_header(tmp_path / "whole" / name).trained_on
    assert told["person"] == faces.attributes["person"]
    assert told["basis"] == {"name": "own", "key": faces.attributes["basis_key"]}
    assert told["faces"]["side_px"] == 256
    network = load_network(trained_weights(tmp_path / "whole" / name, store=Store(faces.store_url)))
    with torch.no_grad():
        assert network(torch.zeros(1, 21, 256, 256)).shape == (1, 3, 256, 256)


def test_what_cannot_be_trained_on_is_said(faces: Artifact, tmp_path: Path) -> None:
    settings = settings_of(faces, tmp_path / "run")
    for data in ("index.parquet", f"timeline/{faces.key}"):
        with pytest.raises(InputError, match="give meta_talk_faces/KEY"):
            train(settings.model_copy(update={"data": Path(data)}))
    with pytest.raises(SettingsError, match="15 frames are no batch of 16"):
        train(settings_of(faces, tmp_path / "run", batch_size=16))


def test_without_a_critic_only_the_renderer_is_trained(faces: Artifact, tmp_path: Path) -> None:
    changed = {"settings": TINY | {"losses": {"adversarial": 0}}}
    card = train(settings_of(faces, tmp_path / "run").model_copy(update=changed))
    assert list(card["weights"]) == ["meta_talk_renderer.safetensors"]
    recipe = NeuralRendererRecipe(NeuralRendererSettings.model_validate(changed["settings"]))
    assert list(recipe.networks()) == list(recipe.phases) == ["renderer"]


def test_differences_count_as_set() -> None:
    class Middle(nn.Module):
        def forward(self, windows: torch.Tensor) -> torch.Tensor:
            return windows[:, 9:12]

    losses = {"adversarial": 0, "l1": 3, "l2": 5}
    recipe = NeuralRendererRecipe(NeuralRendererSettings.model_validate(TINY | {"losses": losses}))
    batch = {"windows": torch.rand(2, 21, 4, 4), "photo": torch.rand(2, 3, 4, 4)}
    total, told = recipe.loss("renderer", {"renderer": Middle()}, batch, 0, {})
    off = (batch["windows"][:, 9:12] - batch["photo"]).numpy()
    assert set(told) == {"l1", "l2"}
    wanted = 3 * np.abs(off).mean() + 5 * np.square(off).mean()
    assert total.item() == pytest.approx(wanted, rel=1e-5)


def test_borrowed_mouths_must_be_there(faces: Artifact, tmp_path: Path) -> None:
    changed = {"settings": TINY | {"size": {"width": 1, "input": "render_and_exemplar"}}}
    with pytest.raises(InputError, match=r"has no borrowed mouths: set size.input=render"):
        train(settings_of(faces, tmp_path / "run").model_copy(update=changed))


def test_batches_hold_windows_of_their_own_part(faces: Artifact) -> None:
    frames = FaceFrames(faces, 7)
    assert frames.training.tolist() == [r for r in range(FIRST_HELD_OUT) if r != INVALID]
    assert frames.held_out.tolist() == list(range(FIRST_HELD_OUT, FRAMES))
    render = torch.from_numpy(faces.read("render").transpose(0, 3, 1, 2))
    rows = np.array([5, 15, 16])
    sample = frames.read(rows)
    seen = [[2, 3, 4, 5, 6], [12, 13, 14, 15], [16, 17, 18, 19]]
    for number, wanted in enumerate(seen):
        assert torch.equal(sample["window"][number][sample["inside"][number]], render[wanted])
        assert torch.equal(sample["window"][number, 3], render[rows[number]])
    np.testing.assert_array_equal(sample["photo"], faces.read("photo")[rows].transpose(0, 3, 1, 2))
    for batch in held_out(frames, batch_size=3, stride=1):
        assert batch["nearest"].shape == batch["photo"].shape
    row = frames.nearest(frames.training)
    np.testing.assert_array_equal(row, frames.training)


def test_an_epoch_is_every_frame_once_and_can_be_taken_up_anywhere(faces: Artifact) -> None:
    class Rows(FaceFrames):
        def read(self, rows: Any) -> Any:
            return {"row": torch.from_numpy(rows)}

    frames = Rows(faces, 1)

    def rows(loader: FrameLoader) -> list[list[int]]:
        return [batch["row"].tolist() for batch in loader]

    loader = FrameLoader(frames, batch_size=4, seed=1)
    first, second = rows(loader), rows(loader)
    assert len({row for batch in first for row in batch}) == 12 and first != second
    again = FrameLoader(frames, batch_size=4, seed=1)
    for _, _batch in zip(range(1), again, strict=False):
        state = again.state_dict()
    other = FrameLoader(frames, batch_size=4, seed=1)
    other.load_state_dict(state)
    assert rows(other) == first[1:] and rows(other) == second
    with pytest.raises(ValueError, match="its seed was 1, here it is 2"):
        FrameLoader(frames, batch_size=4, seed=2).load_state_dict(state)
    shares = [rows(FrameLoader(frames, batch_size=3, rank=r, world=2)) for r in range(2)]
    assert [len(share) for share in shares] == [2, 2]
    assert len({row for share in shares for batch in share for row in batch}) == 12


def test_mirrored_samples_are_mirrored_whole(faces: Artifact) -> None:
    _, own = recipe_settings(
        "meta_talk.renderer", None, trainer={}, settings={"augmentation": {"mirror": 1.0}}
    )
    recipe = NeuralRendererRecipe(own)  # type: ignore[arg-type]
    sample, cpu = FaceFrames(faces, 7).read(np.arange(4)), torch.device("cpu")
    sample["nearest"] = sample["photo"]
    plain = recipe.batch(sample, cpu, None)
    turned = recipe.batch(sample, cpu, np.random.default_rng(0))
    for name in ("windows", "photo"):
        assert torch.equal(turned[name], plain[name].flip(3))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_eight_frames_are_learned_by_heart(faces: Artifact, tmp_path: Path) -> None:
    last = overfitted(faces, tmp_path, steps=700)
    assert last["psnr_db"] >= 28
    assert last["psnr_db"] > last["render_psnr_db"] + 5


def overfitted(faces: Artifact, folder: Path, *, steps: int) -> dict[str, float]:
    """Train the small preset, which borrows nothing here, on eight frames and judge by them."""
    trainer, settings = recipe_settings(
        "meta_talk.renderer",
        "small",
        trainer={"steps": steps, "batch_size": 4, "validate_every": 50, "device": "cpu"},
        settings={"size": {"input": "render"}, "schedule": {"fall_steps": steps}},
    )
    name = Path(f"{faces.kind}/{faces.key}")
    job = Job(
        *("meta_talk.renderer", settings, trainer, name, faces.store_url, folder),
        NoTrainingObserver,
    )
    data, frames = open_data(job), FaceFrames(faces, 7)
    frames.training = frames.held_out = frames.training[:8]
    state = Training(
        NeuralRendererRecipe(settings),  # type: ignore[arg-type]
        Data(
            lambda rank, world: FrameLoader(frames, batch_size=4),
            lambda: held_out(frames, batch_size=4, stride=1),
            data.facts,
            data.key,
        ),
        trainer,
        checkpoints=Checkpoints(folder / "checkpoints"),
        rank=Rank(0, 1, torch.device("cpu")),
        watch=NoTrainingObserver(),
        board=None,
    ).run()
    return dict(state.validations[-1])
