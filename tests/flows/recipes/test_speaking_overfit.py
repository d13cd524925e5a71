"""Wav2Lip's networks and L-Net learn one clip by heart: slow, and the proof that they learn."""

import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from flows.dub import dub
from flows.recipes import find_recipe, recipe_settings
from flows.seen import see
from flows.settings import DubSettings
from models.metrics.correlation import correlation
from models.speech_to_lips.neutral import opening
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.media.audio import decode_audio
from stores.weights.trained import read_header
from tasks.engine.open_run import open_run
from tasks.training.card import write_weights
from tasks.training.checkpoint import Checkpoints, State
from tasks.training.loop import judged_networks
from tasks.training.run_folder import RunFolder
from tests.flows.recipes.test_overfit import PLAIN, QUICK, clip, overfitted

__all__ = ["clip"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

SHIFT = 3.0
"""By how much the sound is moved [s]."""
STEPS = {"validate_every": 50, "ema_decay": 0.95, **QUICK}


def given(**own: Any) -> dict[str, Any]:
    return {"augmentation": PLAIN, "learning_rate": 1e-3, "crop_px": 96, "judged_stride": 10, **own}


def exported(recipe: str, own: dict[str, Any], store: Path, folder: Path, state: State) -> Path:
    """The weights file of a finished training."""
    _, settings = recipe_settings(recipe, "small", trainer={}, settings=own)
    made = find_recipe(recipe).make(settings, str(store))
    with torch.no_grad():
        exports = made.export(judged_networks(made, Checkpoints(folder), state))
    told: Any = {"precision": "float32", "licence": "CC0", "trained_on": {}, "recipe": {}}
    (name,) = write_weights(RunFolder(folder), exports, **told)
    return folder / name


@pytest.fixture(scope="module")
def expert(clip: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An expert that knows the clip."""
    folder, own = tmp_path_factory.mktemp("expert"), given(size={"width": 64})
    trainer = STEPS | {"steps": 150, "batch_size": 16}
    state = overfitted("wav2lip.expert", clip, folder, trainer, own)
    first, last = state.validations[0], state.validations[-1]
    assert last["loss"] < 0.8 * first["loss"]
    assert last["told_apart"] > 0.8
    return exported("wav2lip.expert", own, clip[1], folder, state)


def test_the_generator_learns_faces_and_sync(
    clip: tuple[Path, Path], expert: Path, tmp_path: Path
) -> None:
    assert read_header(expert).network == "wav2lip_syncnet_color"
    own = given(size={"width": 64}, expert=str(expert), gate="open")
    trainer = STEPS | {"steps": 500, "batch_size": 4}
    state = overfitted("wav2lip.generator", clip, tmp_path, trainer, own)
    first, last = state.validations[0], state.validations[-1]
    assert last["l1"] < 0.6 * first["l1"]
    assert last["sync"] < first["sync"]


def test_lnet_learns_mouths_and_then_follows_other_speech(
    clip: tuple[Path, Path], tmp_path: Path
) -> None:
    own = given(size={"width": 8, "residuals": 1, "attention": 1}, losses={"perceptual": 0})
    trainer = STEPS | {"steps": 400, "batch_size": 2}
    state = overfitted("video_retalking.lnet", clip, tmp_path, trainer, own)
    assert state.validations[-1]["mouth_l1"] < 0.02
    talk = clip[0].parent / "talk.mp4"
    weights = exported("video_retalking.lnet", own, clip[1], tmp_path, state)
    dubbed = dub(
        DubSettings.model_validate(
            {
                "video": talk,
                "audio": later(talk, tmp_path / "later.wav", seconds=SHIFT),
                "output": tmp_path / "dubbed.mp4",
                "store": str(clip[1]),
                "method": "video_retalking",
                "method_settings": {
                    **dict.fromkeys(("dnet", "enet"), False),
                    **dict.fromkeys(("enhance_reference", "teeth"), "none"),
                    "weights": {"lnet": str(weights)},
                },
            }
        )
    )
    with open_run(Store(clip[1])):
        made, true = (
            opening(see(Source.of(path)).landmarks.read("mouth")) for path in (dubbed.output, talk)
        )
    said = np.roll(true, -round(SHIFT * 25))
    assert correlation(made, said) > correlation(made, true)


def later(video: Path, path: Path, *, seconds: float) -> Path:
    """A video's sound with its beginning behind its end, as 16 bit at 16 kHz."""
    sound = np.roll(decode_audio(video, rate=16000, mono=True), -round(seconds * 16000))
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes((sound * 32767).astype(np.int16).tobytes())
    return path
