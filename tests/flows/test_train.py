"""Training from prepared clips: weights, a card, and the same bytes after any interruption."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch.nn import functional

from flows.names import recipe_names
from flows.prepare import PrepareSettings, prepare
from flows.recipes import find_recipe, presets, recipe_settings
from flows.train import open_data, train
from flows.training.job import Job
from flows.training.settings import TrainSettings
from models.ip_lap.perceptual import Backbone, PerceptualLoss
from stores.artifacts.store import Store
from stores.dataset_index import read_parts
from stores.errors import InputError, SettingsError, TrainingError
from tasks.training.checkpoint import Checkpoints
from tasks.training.face_squares import OPENINGS
from tasks.training.loop import Training
from tasks.training.perceptual import PerceptualNetwork
from tasks.training.ranks import Rank
from tasks.training.recipe import Batch, Networks, NoTrainingObserver
from tasks.training.run_folder import RunFolder
from tasks.weights.networks import load_network, trained_weights
from tests.command import invoke
from tests.flows.cli.test_unwritable import refuse
from tests.media_factory import make_video
from tests.published_weights import trained_file

pytestmark = pytest.mark.dub

Make = Callable[..., TrainSettings]
CPU = torch.device("cpu")
TINY: dict[str, dict[str, Any]] = {
    "exemplar.polish": {
        "size": {"fine": 2, "middle": 3, "coarse": 4, "coarse_layers": 1},
        "apart_s": 0.3,
    },
    "ganimation": {
        "size": {"side": 32, "width": 2, "residuals": 1, "colours": "rgb"},
        "critic_steps": 2,
        "judged_stride": 60,
    },
    "ip_lap.landmarks": {"size": {"width": 32, "layers": 1, "heads": 2, "feedforward": 32}},
    "ip_lap.renderer": {
        "size": {"fine": 4, "coarse": 32},
        "references": 2,
        "warm_up": 1,
        "judged_stride": 60,
    },
    "video_retalking.lnet": {
        "size": {"width": 4, "residuals": 1, "attention": 1},
        "crop_px": 96,
        "expert": "none",
    },
    "wav2lip.expert": {"size": {"width": 32}, "crop_px": 96},
    "wav2lip.generator": {"size": {"width": 32}, "crop_px": 96, "expert": "none"},
    "video_retalking.dnet": {
        "size": {"width": 1, "side": 64},
        "coefficients": "mesh",
        "warping_steps": 1,
        "judged_stride": 60,
    },
    "video_retalking.enet": {
        "size": {"side": 192, "width": 2},
        "crop_px": 96,
        "judged_stride": 60,
    },
    "stylegan2.embedding": {
        "size": {"side": 128, "fan_width": 16, "audio_width": 4, "features": 8},
        "frames": 4,
        "speech_classes": "units",
        "classes": 4,
        "supervised_steps": 2,
        "losses": {"spans": 1},
    },
    "stylegan2.identity": {"size": {"side": 128, "identity_width": 2}, "persons": 4},
    "stylegan2.face": {
        "size": {
            **{"side": 128, "fan_width": 16, "audio_width": 4, "features": 8},
            **{"identity_width": 2, "narrow": 0.01, "style": 8, "regions": True},
        },
        "frames": 4,
        "drawn_frames": 2,
        "speech_classes": "units",
        "classes": 4,
        "classified_frames": 1,
        "critic_width": 2,
        "reconstruction": "l1",
        "losses": {"eyes": 2, "moved": 0.5},
    },
}
SLOWEST = "video_retalking.enet"
FILES = {
    "lnet": ("vrt_lnet", {"width": 4, "residuals": 1, "attention": 1}),
    "expert": ("wav2lip_syncnet_color", {"width": 32}),
}
LENIENT = {"min_agreement": None, "max_lag_seconds": None, "min_face_px": 20}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tests run side by side; so small networks are no slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True, scope="module")
def narrow_critic() -> Iterator[None]:
    """The critic has no size of its own to set, and costs more than all the rest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.ip_lap.critic._CHANNELS", (4, 8, 16, 32))
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Path:
    """Two persons to train on and one to judge by, prepared."""
    folder = tmp_path_factory.mktemp("clips")
    rows = ["file,person,split"]
    for number, split in enumerate(("train", "train", "validation")):
        size = (200 + 16 * number, 150)
        make_video(folder / f"{number}.mp4", frames=54, size=size, real_faces=True, audio="aac")
        rows.append(f"{number}.mp4,p{number},{split}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    given = {
        "dataset": "folder",
        "data": folder,
        "output": folder / "index.parquet",
        "store": str(store),
        "filters": LENIENT,
        "workers": 2,
    }
    report = prepare(PrepareSettings.model_validate(given))
    assert report.kept == 3
    return report.index


@pytest.fixture(scope="module")
def trained_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files that recipes take, by the name of the setting."""
    folder = tmp_path_factory.mktemp("networks")
    return {name: trained_file(folder / f"{name}.safetensors", *of) for name, of in FILES.items()}


@pytest.fixture
def make(index: Path, store: Path, trained_files: dict[str, str], tmp_path: Path) -> Make:
    def make(
        recipe: str,
        trainer: dict[str, Any] | None = None,
        own: dict[str, Any] | None = None,
        **changes: Any,
    ) -> TrainSettings:
        quick = {
            "steps": 3,
            "batch_size": 2,
            "validate_every": 2,
            "checkpoint_every": 1,
            "workers": 0,
            "device": "cpu",
            "deterministic": True,
            "ema_decay": None,
        }
        given = {
            "recipe": recipe,
            "data": index,
            "output": tmp_path / "run",
            "store": str(store),
            "trainer": quick | (trainer or {}),
            "settings": TINY[recipe]
            | ({"lnet": trained_files["lnet"]} if recipe == "video_retalking.enet" else {})
            | (own or {}),
        }
        return TrainSettings.model_validate(given | changes)

    return make


@pytest.mark.long
@pytest.mark.parametrize("locked", [True, False], ids=["held before", "never held"])
def test_an_index_of_a_store_that_can_only_be_read(
    make: Make, store: Path, locked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = store / "in-use.lock"
    lock.touch() if locked else lock.unlink(missing_ok=True)
    refuse(monkeypatch, store, errno.EROFS)
    train(make("ip_lap.landmarks"))
    assert lock.exists() == locked


@pytest.mark.long
@pytest.mark.parametrize(
    "recipe",
    [pytest.param(n, marks=[pytest.mark.slow] * (n == SLOWEST)) for n in sorted(TINY)],
)
def test_weights_with_a_card_that_dub_can_use(make: Make, recipe: str, store: Path) -> None:
    settings = make(recipe, licence="CC0")
    card = train(settings)
    run = settings.output
    assert {"settings.json", "checkpoints", "tensorboard", "card.md", "card.json"} <= {
        path.name for path in run.iterdir()
    }
    assert card["data"]["splits"]["train"]["persons"] == 2
    assert card["data"]["splits"]["validation"]["persons"] == 1
    assert find_recipe(recipe).settings.model_validate(card["settings"]["settings"])
    if recipe in ("ip_lap.renderer", "video_retalking.lnet"):
        assert "EfficientNet" in card["facts"]["perceptual_backbone"]
    board = EventAccumulator(str(run / "tensorboard"))
    board.Reload()
    tags = board.Tags()
    assert tags["images"]
    assert tags["audio"] == ["speech of the first validation clip"]
    # The only person to judge by can't be told from another.
    last = recipe == "stylegan2.identity"
    assert (card["chosen_by"] == "last step") == last
    assert last or f"validation/{card['chosen_by']}" in tags["scalars"]
    (name,) = card["weights"]
    weights = trained_weights(run / name, store=Store(str(store)))
    network = load_network(weights)
    kept = Checkpoints(run / "checkpoints")
    averages = load_file(kept.path(card["chosen_step"]) / "networks.safetensors")
    if recipe == "video_retalking.enet":  # which holds its L-Net, too
        inside = load_file(settings.settings["lnet"])
        averages |= {f"enet/low_res.{key}": value for key, value in inside.items()}
    state = network.state_dict()
    first = next(iter(state))
    begins = {key.removesuffix(first) for key in averages if key.endswith(first)}
    (phase,) = (each for each in begins if all(each + key in averages for key in state))
    for key, value in state.items():
        wanted = averages[phase + key]
        torch.testing.assert_close(value, wanted.to(value.dtype), rtol=1e-3, atol=1e-6)


def _own(recipe: str) -> Any:
    return find_recipe(recipe).settings.model_validate(TINY[recipe])


@pytest.mark.parametrize("recipe", recipe_names())
def test_presets_are_whole(recipe: str) -> None:
    assert presets(recipe) == ["paper", "small"]
    paper, own = recipe_settings(recipe, None, trainer={}, settings={})
    assert own == type(own)()  # the paper's settings are the defaults
    assert (paper.ema_decay is None) == (recipe != "video_retalking.dnet")
    small, less = recipe_settings(recipe, "small", trainer={"steps": 7}, settings={})
    assert small.steps == 7
    faces = [t.batch_size * getattr(s, "frames", 1) for t, s in ((small, less), (paper, own))]
    assert small.batch_size < paper.batch_size or faces[0] < faces[1]
    with pytest.raises(SettingsError, match="no preset 'large'; it has paper, small"):
        recipe_settings(recipe, "large", trainer={}, settings={})
    with pytest.raises(SettingsError, match=r"size\.wide"):
        recipe_settings(recipe, None, trainer={}, settings={"size": {"wide": 3}})


def test_every_sample_is_another_persons_than_those_judged_by(make: Make, index: Path) -> None:
    train_persons = {s.person for s in read_parts(index, splits=["train"])}
    assert not train_persons & {s.person for s in read_parts(index, splits=["validation"])}


def test_it_goes_on_from_the_command_line_and_refuses_other_settings(
    index: Path, store: Path, tmp_path: Path
) -> None:
    def run(*more: str) -> Any:
        own = [
            f"--set={name}={value}"
            for name, value in (
                ("size.width", 32),
                ("size.layers", 1),
                ("size.heads", 2),
                ("size.feedforward", 32),
                ("batch_size", 2),
                ("workers", 0),
                ("validate_every", 2),
            )
        ]
        given = ["train", "ip_lap.landmarks", "--data", str(index), "-o", str(tmp_path / "run")]
        return invoke(*given, "--store", str(store), "--device", "cpu", "--direct", *own, *more)

    first = run("--set=steps=2", "--json")
    assert first.exit_code == 0, first.output
    assert json.loads(first.stdout)["steps"] == 2
    longer = run("--set=steps=4")
    assert longer.exit_code == 0, longer.output
    assert "goes on after step 2" in longer.stderr
    other = run("--set=steps=4", "--set=learning_rate=0.5")
    assert other.exit_code == 1
    assert "settings.learning_rate=0.0001, now it is 0.5" in other.stderr
    again = run("--set=steps=2", "--set=learning_rate=0.5", "--restart")
    assert again.exit_code == 0, again.output
    assert Checkpoints(tmp_path / "run" / "checkpoints").steps() == [2]
    shown = run("--dry-run", "--set=steps=9", "--set=learning_rate=0.5")
    assert "width: 32" in shown.stdout
    named_so = run("--dry-run", "--set=trainer.steps=9", "--set=settings.learning_rate=0.5")
    assert named_so.stdout == shown.stdout, "names as they are shown"


def test_weights_so_far_of_a_run_that_was_stopped(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make("ip_lap.landmarks", {"steps": 4})
    with pytest.raises(TrainingError, match="holds no checkpoint yet"):
        train(settings.model_copy(update={"export": True}))

    class Impatient(NoTrainingObserver):
        """The user, who presses Ctrl-C in step 3."""

        def step(self, step: int, losses: Callable[[], Mapping[str, float]]) -> None:
            if step == 3:
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(settings, watch=Impatient)
    run = settings.output
    assert not list(run.glob("*.safetensors"))

    card = train(settings.model_copy(update={"export": True}))
    assert (card["steps"], card["chosen_step"]) == (3, 2), "judged in step 2, stopped in step 3"
    (name,) = card["weights"]
    so_far = load_file(run / name)
    (judged,) = (run / "checkpoints" / "step-0000002").glob("networks.safetensors")
    for key, tensor in load_file(judged).items():
        wanted = tensor.half() if tensor.is_floating_point() else tensor
        if not key.endswith(("running_mean", "running_var")):
            assert torch.equal(so_far[key.partition("/")[2]], wanted)

    assert RunFolder(run).checkpoints.steps()[-1] == 3, "it has learned nothing"
    assert train(settings)["steps"] == 4, "and goes on as if nothing had been"
    with pytest.raises(ValidationError, match="--restart forgets the checkpoints"):
        make("ip_lap.landmarks", restart=True, export=True)


def test_what_cannot_be_trained_on_is_said_first(make: Make, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such index"):
        train(make("ip_lap.landmarks", data=tmp_path / "missing.parquet"))
    with pytest.raises(SettingsError, match=r"no recipe 'ip_lap'; there is .*ip_lap\.landmarks"):
        train(make("ip_lap.landmarks").model_copy(update={"recipe": "ip_lap"}))
    with pytest.raises(SettingsError, match="no batch of 4096"):
        train(make("ip_lap.landmarks", {"batch_size": 4096}))


def test_a_training_that_nothing_judges_says_so(
    make: Make, index: Path, store: Path, tmp_path: Path
) -> None:
    table = pq.read_table(index)
    unjudged = tmp_path / "unjudged.parquet"
    rows = [row | {"split": "train"} for row in table.to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), unjudged)
    told: list[str] = []
    card = train(make("ip_lap.landmarks", {"steps": 1}, data=unjudged), say=told.append)
    assert told == [card["data"]["note"]]
    assert "no person of the index is for validation" in told[0]
    train(make("ip_lap.landmarks", {"steps": 1}, output=tmp_path / "judged"), say=told.append)
    assert len(told) == 1


EASY = {"outputs": 100, "truth": 100}
"""A gate that opens with the first validation, whoever is judged."""
SYNC = {"adversarial": 0, "sync": 0.3}
"""Of E-Net: no critic, which has no size of its own to set and costs more than all the rest."""


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("recipe", "steps", "own"),
    [
        ("ip_lap.landmarks", 40, {}),
        ("wav2lip.expert", 24, {}),
        ("wav2lip.generator", 24, {"gate": EASY}),
        ("video_retalking.lnet", 16, {"gate": EASY}),
        ("video_retalking.dnet", 16, {"warping_steps": 7}),
        ("video_retalking.enet", 12, {"gate": EASY, "judged_stride": 25, "losses": SYNC}),
        ("ganimation", 24, {}),
        ("exemplar.polish", 24, {}),
        *((f"stylegan2.{name}", 24, {}) for name in ("embedding", "identity", "face")),
    ],
)
def test_killed_at_any_moment_it_ends_with_the_same_bytes(
    make: Make,
    trained_files: dict[str, str],
    tmp_path: Path,
    recipe: str,
    steps: int,
    own: dict[str, Any],
) -> None:
    """The first kill falls before the gate opens or the stage changes, the second after it."""
    kills, middle = (4, steps // 2), steps // 2 - 1
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    if "gate" in own:
        own = own | {"expert": trained_files["expert"]}
    trainer = {"steps": steps, "ema_decay": 0.9, "validate_every": middle, "checkpoint_every": 1}
    settings = make(recipe, trainer, own)
    card = train(settings.model_copy(update={"output": whole}))
    if "gate" in own:
        assert card["validations"][0]["sync_gate"] == 1
    changes = {**settings.trainer, **settings.settings}
    given = ["train", settings.recipe, "--data", str(settings.data), "-o", str(cut)]
    command = [
        str(Path(sys.executable).with_name("dubflow")),
        *given,
        "--store",
        settings.store,
        "--direct",
        *(f"--set={name}={json.dumps(value)}" for name, value in changes.items()),
    ]
    for least in kills:
        # As many threads as this process has: sums over threads round differently.
        single = {**os.environ, "OMP_NUM_THREADS": "1"}
        with subprocess.Popen(command, stderr=subprocess.PIPE, env=single) as process:
            try:
                _wait_for(cut, least, process)
            finally:
                process.send_signal(signal.SIGKILL)
        assert not (cut / "card.md").exists()
    train(settings.model_copy(update={"output": cut}))
    for name in card["weights"]:
        assert (whole / name).read_bytes() == (cut / name).read_bytes()
    last = [Checkpoints(f / "checkpoints").path(steps) for f in (whole, cut)]
    for file in ("networks", "averages", "optimizers"):
        first, second = ((p / f"{file}.safetensors").read_bytes() for p in last)
        assert first == second, file


def _wait_for(run: Path, step: int, process: subprocess.Popen[bytes]) -> None:
    while (Checkpoints(run / "checkpoints").steps() or [0])[-1] < step:
        assert process.poll() is None, process.stderr and process.stderr.read().decode()
        time.sleep(0.005)


def test_another_data_set_is_refused(make: Make, index: Path, tmp_path: Path) -> None:
    settings = make("ip_lap.landmarks", {"steps": 1})
    train(settings)
    with pytest.raises(TrainingError, match="other data"):
        train(settings.model_copy(update={"data": _fewer(index, tmp_path)}))


def _fewer(index: Path, folder: Path) -> Path:
    import pyarrow.parquet as pq

    table = pq.read_table(index)
    pq.write_table(table.slice(1), folder / "fewer.parquet")
    return folder / "fewer.parquet"


# Thirty steps whose losses are counted again, plainly.


class _TwoLayers(Backbone):
    """In place of a large network: the formula is the same."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(3, 4, 3, 2), nn.Conv2d(4, 6, 3, 2)])
        self.freeze()

    def prepare(self, image: Tensor) -> Tensor:
        return 2 * image - 1

    def forward(self, image: Tensor) -> list[Tensor]:
        fine = self.layers[0](image)
        return [fine, self.layers[1](fine.relu())]


class _Seen:
    """Keeps what networks put out."""

    def __init__(self, networks: Networks, *names: str) -> None:
        self.out: dict[str, list[Any]] = {name: [] for name in names}
        self._hooks = [
            networks[name].register_forward_hook(
                lambda _, __, out, name=name: self.out[name].append(out)
            )
            for name in names
        ]

    def __enter__(self) -> "_Seen":
        return self

    def __exit__(self, *error: object) -> None:
        for hook in self._hooks:
            hook.remove()


def _landmark_formula(seen: _Seen, batch: Batch) -> tuple[float, float]:
    """L1 and continuity, sample by sample and frame by frame (paper, section 3.2)."""
    (prediction,) = seen.out["landmarks"]
    ours = prediction.detach().double().numpy()
    wanted = batch["content"].double().numpy()
    clips, frames = wanted.shape[:2]
    ours = ours.reshape(wanted.shape)
    l1 = np.mean([abs(a - b) for a, b in zip(ours.ravel(), wanted.ravel(), strict=True)])
    distances = []
    for clip in range(clips):
        for frame in range(frames - 1):
            motion = ours[clip, frame + 1] - ours[clip, frame]
            true = wanted[clip, frame + 1] - wanted[clip, frame]
            distances.append(np.sqrt(((motion - true + 1e-6) ** 2).sum()))
    return float(l1), float(np.mean(distances))


def _feature_distance(
    judge: PerceptualLoss, image: Tensor, target: Tensor, *, style: float, scales: int = 2
) -> Tensor:
    """Feature maps at several scales; at the first their Gram matrices too (paper, section 3.4)."""
    total = torch.zeros(())
    for scale in range(scales):
        if scale:
            image, target = (functional.avg_pool2d(x, 2) for x in (image, target))
        maps = [judge.model(judge.model.prepare(x)) for x in (image, target)]
        for ours, theirs in zip(*maps, strict=True):
            total = total + (ours - theirs).abs().mean()
            if not scale and style:
                grams = []
                for features in (ours, theirs):
                    b, c, h, w = features.shape
                    flat = features.reshape(b, c, h * w)
                    grams.append(torch.einsum("bcn,bdn->bcd", flat, flat) / (c * h * w))
                total = total + style * (grams[0] - grams[1]).abs().mean()
    return total


def _renderer_formula(
    networks: Networks, batch: Batch, generated: Tensor, reference: Tensor, *, warming_up: bool
) -> dict[str, Tensor]:
    """2.5 warping + 4 (perceptual + 250 style) + 0.25 adversarial + 2.5 matching."""
    judge, critic = networks["perceptual"], networks["critic"]
    assert isinstance(judge, PerceptualLoss)
    face = batch["face"][:, 0]
    found = {
        "warping": _feature_distance(judge, reference, face, style=0),
        "perceptual": _feature_distance(judge, generated, face, style=250),
    }
    fake, real = critic(generated), critic(face)
    found["adversarial"] = sum(((scale[-1] - 1) ** 2).mean() for scale in fake)
    found["matching"] = sum(
        0.5 * (4 / 4) * (ours - theirs).abs().mean()
        for f, r in zip(fake, real, strict=True)
        for ours, theirs in zip(f[:-1], r[:-1], strict=True)
    )
    later = 4 * found["perceptual"] + 0.25 * found["adversarial"] + 2.5 * found["matching"]
    found["renderer"] = 2.5 * found["warping"] + (0 if warming_up else later)
    found["critic"] = sum(
        0.5 * ((f[-1] ** 2).mean() + ((r[-1] - 1) ** 2).mean())
        for f, r in zip(fake, real, strict=True)
    )
    return found


def _job_of(settings: TrainSettings, folder: Path) -> Job:
    trainer, own = recipe_settings(
        settings.recipe, None, trainer=settings.trainer, settings=settings.settings
    )
    return Job(
        settings.recipe, own, trainer, settings.data, settings.store, folder, NoTrainingObserver
    )


@pytest.mark.long
@pytest.mark.parametrize("hidden", ["speech", "opening"])
def test_faces_are_classed_by_what_they_are_to_hide(
    make: Make, tmp_path: Path, hidden: str
) -> None:
    own = {"hidden": hidden, "classified_frames": 4, "spacing": 1, "stride": 1}
    job = _job_of(make("stylegan2.face", {"batch_size": 8}, own), tmp_path)
    batches = list(islice(open_data(job).training(0, 1), 12))
    found = np.concatenate([batch["betrayed_class"].numpy().ravel() for batch in batches])
    heard = np.concatenate([batch["unit"].numpy()[:, :4].ravel() for batch in batches])
    if hidden == "speech":
        np.testing.assert_array_equal(found, heard)
        return
    shares = np.bincount(found, minlength=OPENINGS) / len(found)
    assert len(shares) == OPENINGS and (shares > 0.05).all(), "each class is as frequent"


def _train_checked(settings: TrainSettings, recipe: Any, tmp_path: Path) -> None:
    job = _job_of(settings, tmp_path)
    Training(
        recipe,
        open_data(job),
        job.trainer,
        checkpoints=Checkpoints(tmp_path / "checkpoints"),
        rank=Rank(0, 1, CPU),
        watch=NoTrainingObserver(),
        board=None,
    ).run()


THIRTY = {"steps": 30, "validate_every": 30, "checkpoint_every": 30, "deterministic": False}
SEVEN = {"steps": 7, "validate_every": 7, "checkpoint_every": 7, "deterministic": False}


def test_thirty_steps_of_landmarks_have_the_papers_loss(make: Make, tmp_path: Path) -> None:
    recipe = find_recipe("ip_lap.landmarks").make(_own("ip_lap.landmarks"), "")
    plain, losses = recipe.loss, []

    def checked(phase: str, networks: Networks, batch: Batch, step: int, kept: Any) -> Any:
        with _Seen(networks, "landmarks") as seen:
            loss, parts = plain(phase, networks, batch, step, kept)
        l1, velocity = _landmark_formula(seen, batch)
        assert parts["l1"].item() == pytest.approx(l1, rel=1e-5)
        assert parts["velocity"].item() == pytest.approx(velocity, rel=1e-4)
        assert loss.item() == pytest.approx(l1 + velocity, rel=1e-4)
        losses.append(loss.item())
        return loss, parts

    recipe.loss = checked  # type: ignore[method-assign]
    _train_checked(make("ip_lap.landmarks", THIRTY), recipe, tmp_path)
    assert len(losses) == 30
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


@pytest.mark.long
@pytest.mark.parametrize(
    ("given", "warm_up"), [(SEVEN, 3), pytest.param(THIRTY, 10, marks=pytest.mark.slow)]
)
def test_steps_of_the_renderer_have_the_papers_losses(
    make: Make, tmp_path: Path, given: dict[str, Any], warm_up: int
) -> None:
    own = _own("ip_lap.renderer").model_copy(update={"warm_up": warm_up})
    recipe = find_recipe("ip_lap.renderer").make(own, make("ip_lap.renderer").store)
    recipe._perceptual = PerceptualNetwork("two layers", _TwoLayers())
    plain, found = recipe.loss, []

    def checked(phase: str, networks: Networks, batch: Batch, step: int, kept: Any) -> Any:
        if step % 3:
            return plain(phase, networks, batch, step, kept)
        with _Seen(networks, phase) as seen:
            loss, parts = plain(phase, networks, batch, step, kept)
        if phase == "renderer":
            ((generated, reference),) = seen.out["renderer"]
            with torch.no_grad():
                made = (networks, batch, generated, reference)
                kept["wanted"] = _renderer_formula(*made, warming_up=step < warm_up)
        for name, value in {phase: loss, **parts}.items():
            if name in kept["wanted"]:
                wanted = kept["wanted"][name]
                torch.testing.assert_close(value.detach(), wanted, rtol=1e-3, atol=1e-5)
                found.append((step, name))
        return loss, parts

    recipe.loss = checked  # type: ignore[method-assign]
    _train_checked(make("ip_lap.renderer", given), recipe, tmp_path)
    names = ("renderer", "warping", "perceptual", "adversarial", "matching", "critic")
    assert sorted(found) == sorted(
        (step, name) for step in range(0, given["steps"], 3) for name in names
    )
