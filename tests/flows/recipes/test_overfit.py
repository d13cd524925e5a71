"""Both networks learn one clip by heart: slow, and the proof that the recipes learn at all."""

from pathlib import Path
from typing import Any

import av
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from flows.prepare import PrepareSettings, prepare
from flows.recipes import find_recipe, recipe_settings
from flows.train import open_data
from flows.training.job import Job
from tasks.training.checkpoint import Checkpoints, State
from tasks.training.loop import Training
from tasks.training.ranks import Rank
from tasks.training.recipe import NoTrainingObserver
from tests.media_factory import EXAMPLE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The built-in clip with the built-in speech, prepared: index and store."""
    folder = tmp_path_factory.mktemp("clip")
    with_speech(folder / "talk.mp4", seconds=8)
    (folder / "manifest.csv").write_text("file,person,split\ntalk.mp4,p0,train\n")
    given = {
        "dataset": "folder",
        "data": folder,
        "output": folder / "index.parquet",
        "store": str(folder / "store"),
        # The lips say nothing of what is heard.
        "filters": {"min_agreement": None, "max_lag_seconds": None, "min_speech_share": None},
    }
    report = prepare(PrepareSettings.model_validate(given))
    assert report.kept == 1
    return report.index, folder / "store"


def with_speech(path: Path, *, seconds: float) -> None:
    """The example's first seconds, with the example's speech as their sound."""
    speech = EXAMPLE.with_name("jfk.wav")
    with (
        av.open(str(EXAMPLE)) as film,
        av.open(str(speech)) as sound,
        av.open(str(path), "w") as out,
    ):
        pictures = out.add_stream_from_template(film.streams.video[0])
        voice: Any = out.add_stream("aac", rate=16000)
        voice.codec_context.layout = "mono"
        for packet in film.demux(video=0):
            if packet.pts is None or packet.pts * packet.time_base >= seconds:
                break
            packet.stream = pictures
            out.mux(packet)
        for frame in sound.decode(audio=0):
            if frame.time >= seconds:
                break
            frame.pts = None
            out.mux(voice.encode(frame))
        out.mux(voice.encode(None))


def overfitted(
    recipe: str, clip: tuple[Path, Path], folder: Path, trainer: dict[str, Any], own: dict[str, Any]
) -> State:
    """Train on the clip and judge by it."""
    index, store = clip
    settings, chosen = recipe_settings(recipe, "small", trainer=trainer, settings=own)
    twice = judged_by_itself(index, folder / "twice.parquet")
    data = open_data(Job(recipe, chosen, settings, twice, str(store), folder, NoTrainingObserver))
    return Training(
        find_recipe(recipe).make(chosen, str(store)),
        data,
        settings,
        checkpoints=Checkpoints(folder),
        rank=Rank(0, 1, torch.device("cpu")),
        watch=NoTrainingObserver(),
        board=None,
    ).run()


def judged_by_itself(index: Path, path: Path) -> Path:
    """An index whose clips for training are those for validation, too."""
    path.parent.mkdir(exist_ok=True)
    table = pq.read_table(index)
    place = table.schema.get_field_index("split")
    split = pa.array(["validation"] * len(table), table.schema.field(place).type)
    judged = table.set_column(place, table.schema.field(place), split)
    pq.write_table(pa.concat_tables([table, judged]), path)
    return path


QUICK: dict[str, Any] = {"workers": 0, "device": "cpu"}
PLAIN = {
    name: 0 for name in ("mirror", "roll_degrees", "box", "gain_db", "tilt_db", "voice", "noise")
}


def test_landmarks_are_learned_by_heart(clip: tuple[Path, Path], tmp_path: Path) -> None:
    trainer = {
        "steps": 500,
        "batch_size": 16,
        "validate_every": 250,
        "ema_decay": 0.98,
        "workers": 0,
    }
    own = {
        "size": {"width": 128, "layers": 2, "heads": 4, "feedforward": 256, "dropout": 0.0},
        "learning_rate": 1e-3,
        "schedule": {"rise_steps": 50, "fall_steps": 500},
        "augmentation": PLAIN,
    }
    state = overfitted("ip_lap.landmarks", clip, tmp_path, trainer, own)
    assert state.best is not None
    last = state.validations[-1]
    assert last["error"] <= 0.01  # face heights
    assert last["lip_error"] < 0.8 * last["held_still_lip_error"]


def test_the_renderer_learns_faces_by_heart(clip: tuple[Path, Path], tmp_path: Path) -> None:
    trainer = {
        "steps": 100,
        "batch_size": 4,
        "validate_every": 50,
        "ema_decay": 0.95,
        "workers": 0,
    }
    own = {
        "learning_rate": 1e-3,
        "critic_learning_rate": 1e-4,
        "warm_up": 10,
        "schedule": {"fall_steps": 100},
        "augmentation": PLAIN,
    }
    start = overfitted(
        "ip_lap.renderer", clip, tmp_path / "start", trainer | {"steps": 1}, own
    ).validations[0]
    end = overfitted("ip_lap.renderer", clip, tmp_path / "end", trainer, own).validations[-1]
    assert end["loss"] <= 0.4 * start["loss"]
    assert end["lower_half_psnr_db"] > start["lower_half_psnr_db"] + 5
