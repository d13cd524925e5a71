"""The shipped speech model is trained from what a preparation found in each clip itself."""

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from benchmarks.lips import read_clip
from benchmarks.speech_model import main, recordings
from flows.prepare import PrepareSettings, prepare
from models.audio.mel import mel_spectrogram
from models.speech_to_lips.predict import load_model, predict_motion
from models.speech_to_lips.recordings import Recording, at_ticks, cut
from stores.artifacts.store import Store
from stores.dataset_index import read_parts
from tasks.engine.open_run import open_run
from tasks.speech.speech_features import features_of
from tests.media_factory import Rgb, faces, make_video, tone

pytestmark = [pytest.mark.dub, pytest.mark.long]

FRAMES = 50
ALIKE = ("a/b_c.mp4", "a_b/c.mp4")
"""Two names that are one where slashes become underscores."""


def talk(path: Path, first: int) -> None:
    """A clip of the example's frames from that one on."""
    pictures = list(islice(faces(200, 150), first, first + FRAMES))

    def draw(index: int, width: int, height: int) -> Rgb:
        return pictures[index]

    path.parent.mkdir(exist_ok=True)
    make_video(path, frames=FRAMES, size=(200, 150), draw=draw, audio="aac")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    talk(folder / ALIKE[0], 0)
    talk(folder / ALIKE[1], 60)
    talk(folder / "other.mp4", 120)
    rows = [f"{ALIKE[0]},p0,train", f"{ALIKE[1]},p1,train", "other.mp4,p2,validation"]
    (folder / "manifest.csv").write_text("\n".join(["file,person,split", *rows]) + "\n")
    return folder


@pytest.fixture(scope="module")
def prepared(folder: Path) -> Callable[[], Path]:
    def prepared() -> Path:
        given = {
            "dataset": "folder",
            "data": folder,
            "output": folder / "index.parquet",
            "store": str(folder / "store"),
            "filters": {"min_agreement": None, "max_lag_seconds": None, "min_face_px": 20},
            "workers": 2,
        }
        return prepare(PrepareSettings.model_validate(given)).index

    return prepared


def read(index: Path) -> dict[str, Recording]:
    """Recordings of the training persons."""
    store = Store(index.parent / "store")
    with open_run(store):
        found = recordings(read_clip(part, store) for part in read_parts(index))
    return {recording.person: recording for recording in found}


def own_mouth(index: Path, person: str) -> np.ndarray:
    """What the landmarks artifact of a person's clip shows at 25 Hz."""
    (part,) = [part for part in read_parts(index) if part.person == person]
    landmarks = Store(index.parent / "store").get("landmarks", part.keys["landmarks"])
    valid = landmarks.read("valid")
    return at_ticks(np.flatnonzero(valid) / 25, landmarks.read("mouth")[valid])[0]


def test_clips_have_their_own_landmarks_whatever_their_names(
    folder: Path, prepared: Callable[[], Path]
) -> None:
    index = prepared()
    before = read(index)
    for person in ("p0", "p1"):
        np.testing.assert_allclose(before[person].mouth, own_mouth(index, person), atol=1e-5)
    assert np.abs(before["p0"].mouth - before["p1"].mouth).max() > 0.01

    talk(folder / ALIKE[0], 180)
    after = read(prepared())
    np.testing.assert_allclose(after["p0"].mouth, own_mouth(index, "p0"), atol=1e-5)
    assert np.abs(after["p0"].mouth - before["p0"].mouth).max() > 0.01
    np.testing.assert_array_equal(after["p1"].mouth, before["p1"].mouth)


@pytest.mark.parametrize("features", ["whisper", "mel"])
def test_two_steps_give_weights_and_figures(
    prepared: Callable[[], Path],
    features: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("benchmarks.speech_model.WORDLESS_CLIPS", 4)
    index, out = prepared(), tmp_path / "out.safetensors"
    given = ["--data", str(index), "--store", str(index.parent / "store"), "-o", str(out)]
    main([*given, "--steps", "2", "--members", "2", "--input-features", features])
    with safe_open(out, "numpy") as file:
        facts = file.metadata()
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert json.loads(facts["trained_on"]) == {"persons": 2, "seconds": 4}
    model = load_model(weights, json.loads(facts["config"]))
    assert (model.size.input_features, model.size.members) == (features, 2)
    sound = tone(16_000)[:, 0]
    motion = predict_motion(model, mel_spectrogram(sound), speech=features_of(sound))
    assert motion.shape[1:] == (57, 3)
    assert np.abs(motion).max() > 0
    tables = capsys.readouterr().out
    assert "As recorded: 1 clips, 1 persons" in tables
    assert "opening, correlation" in tables


def test_a_part_of_a_recording_keeps_its_sound() -> None:
    ticks = np.arange(20)
    whole = Recording(
        "one",
        "p",
        mel=np.repeat(np.arange(64, dtype=np.float32)[:, None], 80, 1),
        mouth=np.zeros((20, 57, 3), np.float32) + ticks[:, None, None].astype(np.float32),
        seen=np.ones(20, np.float32),
        speech=np.repeat(np.arange(40, dtype=np.float16)[:, None], 512, 1),
    )
    part = cut(whole, 5, 15)
    assert part.speech is not None
    for rate, first in ((25, part.mouth[0, 0, 0]), (80, part.mel[0, 0]), (50, part.speech[0, 0])):
        assert first / rate == pytest.approx(0.2)
    assert [len(part.mouth), len(part.seen), len(part.mel), len(part.speech)] == [10, 10, 32, 20]
