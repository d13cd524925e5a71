"""The trainer: steps, averages, checkpoints and resuming, on networks of a few numbers."""

import json
import math
import os
import signal
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from stores.errors import SettingsError, TrainingError
from tasks.training.board import Board
from tasks.training.card import write_card, write_weights
from tasks.training.checkpoint import Checkpoints, State
from tasks.training.loop import Training, judged_networks
from tasks.training.ranks import Rank, run_ranks
from tasks.training.recipe import NoTrainingObserver
from tasks.training.run_folder import RunFolder
from tasks.training.settings import TrainerSettings
from tests.tasks.training.toy_recipe import Toy, toy_data

HERE = Rank(0, 1, torch.device("cpu"))
QUICK: dict[str, Any] = {
    "steps": 12,
    "batch_size": 8,
    "validate_every": 6,
    "checkpoint_every": 4,
    "log_every": 5,
    "device": "cpu",
}


def quick(**changes: Any) -> TrainerSettings:
    return TrainerSettings.model_validate(QUICK | changes)


def trained(
    folder: Path,
    settings: TrainerSettings,
    recipe: Toy | None = None,
    rank: Rank = HERE,
    **given: Any,
) -> State:
    return Training(
        recipe or Toy(),
        toy_data(settings.part_size),
        settings,
        checkpoints=Checkpoints(folder),
        rank=rank,
        watch=given.get("watch", NoTrainingObserver()),
        board=given.get("board"),
    ).run()


def weights(folder: Path, step: int, file: str = "networks") -> dict[str, torch.Tensor]:
    return load_file(Checkpoints(folder).path(step) / f"{file}.safetensors")


class Interrupt(NoTrainingObserver):
    """Presses Ctrl-C in a step."""

    def __init__(self, step: int) -> None:
        self._step = step

    def step(self, step: int, losses: Any) -> None:
        if step == self._step:
            os.kill(os.getpid(), signal.SIGINT)


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def test_it_learns_and_judges(tmp_path: Path) -> None:
    state = trained(tmp_path, quick(steps=300, validate_every=100))
    errors = [v["error"] for v in state.validations]
    assert [v["step"] for v in state.validations] == [100, 200, 300]
    assert errors[-1] < 0.5 * errors[0]
    assert state.best == min(errors)


def test_interrupted_anywhere_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    recipe = {"dropout": 0.3, "noise": 0.1}
    settings = quick(accumulate=2, ema_decay=0.9, max_gradient=1.0)
    trained(tmp_path / "whole", settings, Toy(**recipe))
    for step in (3, 7, 10):
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "cut", settings, Toy(**recipe), watch=Interrupt(step))
        assert Checkpoints(tmp_path / "cut").steps()[-1] == step
    end = trained(tmp_path / "cut", settings, Toy(**recipe))
    assert end.step == 12
    for file in ("networks", "averages", "optimizers"):
        whole, cut = (
            Checkpoints(tmp_path / n).path(12) / f"{file}.safetensors" for n in ("whole", "cut")
        )
        assert whole.read_bytes() == cut.read_bytes()
    assert [v["step"] for v in end.validations] == [6, 12]


def test_optimizers_begin_anew_where_the_recipe_says(tmp_path: Path) -> None:
    settings = quick(checkpoint_every=1, keep=12)
    trained(tmp_path / "whole", settings, Toy(restarts=(7,)))
    counted = [
        weights(tmp_path / "whole", step, "optimizers")["first/0/step"].item()
        for step in range(1, 13)
    ]
    assert counted == [1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 4, 5]
    for step in (6, 7, 8):
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "cut", settings, Toy(restarts=(7,)), watch=Interrupt(step))
    trained(tmp_path / "cut", settings, Toy(restarts=(7,)))
    for file in ("networks", "optimizers"):
        same(weights(tmp_path / "whole", 12, file), weights(tmp_path / "cut", 12, file))


class Every3rd(Toy):
    """Its first network learns in every third step only."""

    def rests(self, phase: str, step: int) -> bool:
        return phase == "first" and step % 3 != 2

    def loss(self, phase: str, networks: Any, batch: Any, step: int, carried: Any) -> Any:
        if phase == "second" and "found" not in carried:
            carried["found"] = networks["first"](batch["x"]).detach()
        return super().loss(phase, networks, batch, step, carried)


def test_a_phase_that_rests_does_not_learn(tmp_path: Path) -> None:
    told: list[float] = []

    class Losses(NoTrainingObserver):
        def step(self, step: int, losses: Any) -> None:
            told.append(losses().get("first"))

    settings = quick(checkpoint_every=1, keep=12, log_every=100)
    trained(tmp_path / "whole", settings, Every3rd(), watch=Losses())
    first, second = (
        [weights(tmp_path / "whole", n, "optimizers").get(f"{phase}/0/step", 0) for n in (2, 3, 12)]
        for phase in ("first", "second")
    )
    assert [int(each) for each in first] == [0, 1, 4]
    assert second == [0, 0, 0], "SGD counts no steps"
    before, after = (weights(tmp_path / "whole", step) for step in (3, 5))
    assert torch.equal(before["first/0.weight"], after["first/0.weight"])
    assert not torch.equal(before["second/weight"], after["second/weight"])
    assert told[:2] == [None, None] and told[2] == told[4], (
        "a mean over the steps that it learned in"
    )
    for step in (4, 7):
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "cut", settings, Every3rd(), watch=Interrupt(step))
    trained(tmp_path / "cut", settings, Every3rd())
    for file in ("networks", "optimizers"):
        same(weights(tmp_path / "whole", 12, file), weights(tmp_path / "cut", 12, file))


def test_a_part_of_a_checkpoint_is_none(tmp_path: Path) -> None:
    trained(tmp_path, quick())
    part = tmp_path / ".step-0000099.part"
    part.mkdir()
    (part / "networks.safetensors").write_bytes(b"half")
    assert Checkpoints(tmp_path).steps()[-1] == 12
    trained(tmp_path, quick(steps=13))
    assert not part.exists()
    assert Checkpoints(tmp_path).steps()[-1] == 13


def test_the_last_and_the_best_stay(tmp_path: Path) -> None:
    recipe = Toy()
    recipe.errors = [3.0, 1.0, 2.0, 4.0, 5.0]
    trained(tmp_path, quick(steps=20, validate_every=4, checkpoint_every=2, keep=2), recipe)
    assert Checkpoints(tmp_path).steps() == [8, 18, 20]
    assert not list(tmp_path.glob("**/*.pt")) + list(tmp_path.glob("**/*.pkl"))


def test_it_stops_when_nothing_gets_better(tmp_path: Path) -> None:
    recipe = Toy()
    recipe.errors = [3.0, 1.0, 2.0, 1.0, math.nan, 0.5]
    state = trained(tmp_path, quick(steps=50, validate_every=2, patience=3), recipe)
    assert (state.step, state.best, state.best_step) == (10, 1.0, 4)
    again = trained(tmp_path, quick(steps=50, validate_every=2, patience=3), recipe)
    assert again.step == 10
    chosen = judged_networks(Toy(), Checkpoints(tmp_path), state)
    kept = weights(tmp_path, 4, "averages")
    same(
        {f"first/{n}": t for n, t in chosen["first"].state_dict().items()},
        {n: t for n, t in kept.items() if n.startswith("first")},
    )


def test_averages_follow_the_weights(tmp_path: Path) -> None:
    settings = quick(steps=6, checkpoint_every=1, keep=10, ema_decay=0.8)
    trained(tmp_path, settings)
    average = weights(tmp_path, 1, "averages")
    for step in range(2, 7):
        decay = min(0.8, step / (9 + step))
        now = weights(tmp_path, step)
        average = {n: decay * a + (1 - decay) * now[n] for n, a in average.items()}
    torch.testing.assert_close(weights(tmp_path, 6, "averages"), average)


def test_parts_of_a_batch_add_up_to_it(tmp_path: Path) -> None:
    trained(tmp_path / "whole", quick())
    trained(tmp_path / "parts", quick(accumulate=4))
    torch.testing.assert_close(weights(tmp_path / "whole", 12), weights(tmp_path / "parts", 12))


def _train_rank(folder: Path, settings: TrainerSettings, rank: Rank) -> None:
    trained(folder, settings, rank=rank)


@pytest.mark.long
@pytest.mark.dub
@pytest.mark.timeout(120)
def test_two_processes_train_as_one(tmp_path: Path) -> None:
    trained(tmp_path / "one", quick())
    settings = quick(processes=2, accumulate=2)
    run_ranks(partial(_train_rank, tmp_path / "two", settings), processes=2, device="cpu")
    torch.testing.assert_close(weights(tmp_path / "one", 12), weights(tmp_path / "two", 12))
    state = Checkpoints(tmp_path / "two").read_state(12)
    assert state.best == pytest.approx(Checkpoints(tmp_path / "one").read_state(12).best)


def test_short_numbers_train_too(tmp_path: Path) -> None:
    state = trained(tmp_path, quick(steps=200, validate_every=100, precision="bfloat16"))
    assert state.validations[1]["error"] < state.validations[0]["error"]
    assert all(t.dtype == torch.float32 for t in weights(tmp_path, 200).values())
    with pytest.raises(SettingsError, match="float16 needs CUDA"):
        trained(tmp_path / "half", quick(precision="float16"))


def test_a_loss_that_is_no_number_ends_it(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"step 4: the loss is no number.*checkpoint"):
        trained(tmp_path, quick(validate_every=100), Toy(rate=1e30))
    assert Checkpoints(tmp_path).steps() == []


def test_curves_pictures_and_sound_are_on_the_board(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = Board(tmp_path / "board", done=0)
    trained(tmp_path / "run", quick(), board=board)
    board.close()
    read = EventAccumulator(str(tmp_path / "board"))
    read.Reload()
    tags = read.Tags()
    assert {"training/first", "training/second", "training/square"} <= set(tags["scalars"])
    assert [e.step for e in read.Scalars("validation/error")] == [6, 12]
    assert tags["images"] == ["picture"]
    assert tags["audio"] == ["tone"]


GIVEN = {"recipe": "toy", "trainer": quick().model_dump(mode="json"), "data": "a key"}


def given(**trainer: Any) -> dict[str, Any]:
    return GIVEN | {"trainer": GIVEN["trainer"] | trainer}  # type: ignore[operator]


def test_a_run_goes_on_only_as_it_was_begun(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.claim(given(), restart=False)
    folder.claim(given(batch_size=16), restart=False)  # nothing was learned yet
    folder.claim(given(), restart=False)
    trained(folder.path / "checkpoints", quick())
    folder.claim(given(steps=99, keep=5, device="cuda"), restart=False)
    with pytest.raises(TrainingError, match=r"trainer\.batch_size=8, now it is 16.*--restart"):
        folder.claim(given(batch_size=16), restart=False)
    with pytest.raises(TrainingError, match="other data"):
        folder.claim(GIVEN | {"data": "another key"}, restart=False)
    folder.claim(given(batch_size=16), restart=True)
    assert folder.checkpoints.steps() == []


def test_only_one_trains_in_a_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with folder.alone(), pytest.raises(TrainingError, match="another process"), folder.alone():
        pass
    with folder.alone():
        pass


def test_batches_are_shared_without_rest() -> None:
    with pytest.raises(ValueError, match="multiple of 6"):
        quick(processes=2, accumulate=3)
    assert quick(processes=2, accumulate=2).part_size == 2


def test_weights_and_card_say_what_they_are(tmp_path: Path) -> None:
    folder, recipe = RunFolder(tmp_path), Toy()
    state = trained(folder.path / "checkpoints", quick())
    exports = recipe.export(judged_networks(recipe, folder.checkpoints, state))
    files = write_weights(
        folder,
        exports,
        precision="float16",
        licence="CC0",
        trained_on={"persons": 1},
        recipe=given(),
    )
    with safe_open(tmp_path / "toy.safetensors", "pt") as file:
        metadata = file.metadata()
        assert file.get_tensor("0.weight").dtype == torch.float16
    assert (metadata["network"], json.loads(metadata["config"])) == ("toy", {"inputs": 4})
    assert json.loads(metadata["recipe"])["trainer"]["batch_size"] == 8
    card = write_card(
        folder,
        recipe=recipe,
        given=given(),
        data={"persons": 1},
        state=state,
        device=HERE.device,
        weights=files,
        licence="CC0",
    )
    assert card["figures"]["error"] == state.best
    assert json.loads((tmp_path / "card.json").read_text())["steps"] == 12
    text = (tmp_path / "card.md").read_text()
    assert "CC0" in text
    assert "trainer.batch_size | 8" in text
    assert files["toy.safetensors"]["sha256"] in text


def test_without_validation_the_last_weights_are_chosen(tmp_path: Path) -> None:
    settings = quick()
    data = toy_data(8)
    Training(
        Toy(),
        type(data)(data.training, None, data.facts, data.key),
        settings,
        checkpoints=Checkpoints(tmp_path),
        rank=HERE,
        watch=NoTrainingObserver(),
        board=None,
    ).run()
    state = Checkpoints(tmp_path).read_state(12)
    assert state.best_step is None
    assert judged_networks(Toy(), Checkpoints(tmp_path), state)


def test_outside_the_main_thread_it_trains_too(tmp_path: Path) -> None:
    thread = threading.Thread(target=trained, args=(tmp_path, quick()))
    thread.start()
    thread.join()
    assert Checkpoints(tmp_path).steps()[-1] == 12


class GatedToy(Toy):
    """Keeps what its gate is told."""

    gate = "error"

    def __init__(self, errors: list[float]) -> None:
        super().__init__()
        self.errors, self.told = errors, list[float]()

    def validated(self, value: float) -> None:
        self.told.append(value)


def test_a_gate_is_told_each_validation_also_when_the_run_goes_on(tmp_path: Path) -> None:
    first = GatedToy([0.5, 0.2])
    trained(tmp_path, quick(), first)
    assert first.told == [0.5, 0.2]
    later = GatedToy([0.1])
    trained(tmp_path, quick(steps=18), later)
    assert later.told == [0.5, 0.2, 0.1]
