"""Personalising: faults are said first, the weights can be used, and nothing is done twice."""

import os
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from flows.names import personalise_presets
from flows.personalisation.pairs import own_pairs
from flows.personalisation.plan import Plan
from flows.personalisation.report import PersonaliseReport
from flows.personalisation.settings import PersonaliseSettings
from flows.personalisation.speech import find_speech
from flows.personalisation.steps import Steps
from flows.personalise import personalise
from flows.presets import checked
from flows.seen import see
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.errors import DubflowError, InputError, MissingWeights, SettingsError, TrainingError
from stores.weights.trained import read_header
from tasks.engine.open_run import open_run
from tasks.source.fitted import fit_face
from tasks.training.pairs import read_pairs
from tasks.training.recipe import NoTrainingObserver
from tests.command import invoke
from tests.flows.conftest import cut_wav
from tests.media_factory import EXAMPLE, make_video

Make = Callable[..., PersonaliseSettings]

STEPS = ["video", "face", "speech", "expression", "renderer"]
_QUICK = {
    **{"steps": 2, "batch_size": 2, "validate_every": 2, "checkpoint_every": 1, "workers": 0},
    **{"device": "cpu", "deterministic": True},
}
TINY: dict[str, Any] = {
    "preset": "small",
    "workers": 2,
    "method_settings": {"fit": {"mode": "mesh"}, "faces": {"side": 256}},
    "expression": {"trainer": _QUICK, "settings": {"size": {"width": 4, "window": 1}}},
    "renderer": {"trainer": _QUICK, "settings": {"size": {"width": 1}, "critic_width": 2}},
}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tests run side by side, and sums over several threads round differently."""
    before = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DUBFLOW_PROCESSORS", "1")
        torch.set_num_threads(1)
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three speakers, two in folders and one in none; and a file that nobody speaks in."""
    folder = tmp_path_factory.mktemp("voices")
    for number, speaker in enumerate(("anna", "ben", ".")):
        (folder / speaker).mkdir(exist_ok=True)
        cut_wav(EXAMPLE.with_name("jfk.wav"), folder / speaker, 2.0 * number, 2.0 * number + 1.6)
    (folder / "notes.txt").write_text("who said what")
    return folder


@pytest.fixture
def make(talk: Path, voices: Path, shared_store: Path, tmp_path: Path) -> Make:
    def make(**changes: Any) -> PersonaliseSettings:
        given = {"video": talk, "speech": voices, "output": tmp_path / "run"}
        given |= {"store": str(shared_store)}
        return checked(PersonaliseSettings, given | TINY | changes)

    return make


@pytest.fixture(scope="module")
def whole(
    talk: Path, voices: Path, shared_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> PersonaliseReport:
    """A run that nobody touched."""
    given = {"video": talk, "speech": voices, "output": tmp_path_factory.mktemp("whole") / "run"}
    return personalise(checked(PersonaliseSettings, given | {"store": str(shared_store)} | TINY))


def weights_of(folder: Path, report: PersonaliseReport) -> Mapping[str, bytes]:
    return {name: (folder / name).read_bytes() for name in report.weights}


@pytest.mark.dub
@pytest.mark.long
def test_a_run_holds_all_that_a_dub_takes(whole: PersonaliseReport, shared_store: Path) -> None:
    run = whole.output
    method = yaml.safe_load((run / "method.yaml").read_text())
    assert method["fit"]["mode"] == "mesh" and method["faces"]["side"] == 256
    for name in ("expression", "renderer"):
        header = read_header(run / method[name])
        assert header.network == f"meta_talk_{name}"
    assert header.trained_on["person"] == whole.person
    assert (whole.teacher, whole.speakers) == ("speech_to_lips", 3)
    assert whole.minutes == pytest.approx(4.8 / 60, abs=0.01)
    assert whole.held_out_from == pytest.approx(0.8 * 59 / 25, abs=0.001)
    assert "psnr_db" in whole.figures["renderer"] and whole.figures["expression"]
    assert list(whole.seconds) == STEPS
    assert "holds 0.1 min of speech, not 10" in whole.notes[0]
    assert "# talk.mp4, personalised" in (run / "card.md").read_text()
    pairs = read_pairs(run / "pairs.json", Store(shared_store))
    assert [each.attributes["speaker"] for each in pairs] == ["4.0-5.6.wav", "anna", "ben"]


@pytest.mark.dub
@pytest.mark.long
def test_given_again_it_does_nothing(make: Make, whole: PersonaliseReport) -> None:
    told: list[str] = []
    assert personalise(make(output=whole.output), say=told.append) == whole
    assert told == ["all of it was done before"]
    card = whole.output / "card.json"
    kept = card.read_text()
    card.unlink()  # as a run that was killed in the end
    again = personalise(make(output=whole.output), say=told.append)
    assert again.weights == whole.weights and sum("from the store" in line for line in told) == 5
    card.write_text(kept)


@pytest.mark.dub
@pytest.mark.long
def test_interrupted_it_goes_on_and_ends_with_the_same_bytes(
    make: Make, whole: PersonaliseReport
) -> None:
    class Impatient(NoTrainingObserver):
        def step(self, step: int, losses: object) -> None:
            if step == 1:
                raise KeyboardInterrupt

    settings = make()
    for name in ("expression", "renderer"):
        calls = iter([Impatient] if name == "expression" else [NoTrainingObserver, Impatient])
        with pytest.raises(KeyboardInterrupt):
            personalise(settings, watch=lambda after, calls=calls: next(calls))
        assert not (settings.output / "card.json").exists()
    told = list[str]()
    report = personalise(settings, say=told.append)
    assert weights_of(settings.output, report) == weights_of(whole.output, whole)
    assert any(line.startswith("4 of 5, expression: from the store") for line in told)


@pytest.mark.dub
@pytest.mark.long
def test_other_settings_are_refused_but_more_steps(make: Make, whole: PersonaliseReport) -> None:
    learned = {"renderer": TINY["renderer"] | {"settings": {"critic_width": 3}}}
    with pytest.raises(TrainingError, match=r"critic_width=2, now it is 3; .*--restart"):
        personalise(make(output=whole.output, **learned))
    fewer = make(output=whole.output, pseudo={"minutes": 0.05})
    with pytest.raises(TrainingError, match=r"pseudo\.minutes=10"):
        personalise(fewer)


def test_what_the_folder_holds_is_left_alone(make: Make, tmp_path: Path) -> None:
    settings = make()
    settings.output.mkdir()
    (settings.output / "thesis.tex").touch()
    with pytest.raises(TrainingError, match=r"something else \(thesis\.tex\); give a new folder"):
        Plan.of(settings).check()
    with pytest.raises(TrainingError, match="is no folder"):
        Plan.of(make(output=settings.output / "thesis.tex")).check()


def test_what_cannot_be_learned_from_is_said_first(
    make: Make, voices: Path, tmp_path: Path, speech: Path, store: Store
) -> None:
    (empty := tmp_path / "empty").mkdir()
    (silent := tmp_path / "silent").mkdir()
    (silent / "a.wav").write_bytes(b"no sound")

    def fault(**changes: Any) -> str:
        with pytest.raises(DubflowError) as found:
            Plan.of(make(**changes)).check()
        return str(found.value)

    assert "there is no clip" in fault(speech=empty)
    assert "holds no sound of 1 s or more" in fault(speech=silent)
    assert "did you mean" in fault(speech=silent.with_name(f"{silent.name}s"))
    assert "is no folder of speech" in fault(speech=silent / "a.wav")
    assert "give --speech FOLDER" in fault(speech=None)
    assert "is no video" in fault(video=speech)
    teacher = {"pseudo": {"method": "wav2lip"}, "store": store.url}
    with pytest.raises(MissingWeights, match="wav2lip"):
        Plan.of(make(**teacher)).check()
    with pytest.raises(SettingsError, match="no preset of a personalisation 'huge'"):
        make(preset="huge")
    with pytest.raises(SettingsError, match=r"renderer\.steps: there is no such setting"):
        make(renderer={"steps": 3})
    with pytest.raises(SettingsError, match=r"size\.wide"):
        Plan.of(make(expression={"settings": {"size": {"wide": 3}}}))


def test_one_speaker_is_too_few_unless_time_is_held_out(make: Make, voices: Path) -> None:
    alone = {"speech": voices / "anna", "person": "^(.)"}
    with pytest.raises(InputError, match=r"of one speaker \(0\), who can't be held out"):
        Plan.of(make(**alone)).check()
    by_time = {"expression": {"settings": {"held_out": "time"}}}
    assert Plan.of(make(**alone, **by_time)).speech.speakers == ["0"]


@pytest.mark.dub
def test_a_video_without_the_face_is_refused(make: Make, tmp_path: Path) -> None:
    video = make_video(tmp_path / "wall.mp4", frames=10, size=(96, 64), audio="aac")
    with pytest.raises(InputError, match="shows no face that could be learned"):
        personalise(make(video=video, store=str(tmp_path / "store")))


@pytest.mark.dub
@pytest.mark.parametrize(("pairs", "until"), [("real", 59 / 25), ("both", 0.8 * 59 / 25)])
def test_the_last_fifth_of_the_persons_own_speech_is_not_learned_from(
    make: Make, pairs: str, until: float
) -> None:
    settings = make(expression={"settings": {"pairs": pairs}})
    plan = Plan.of(settings)
    assert plan.expression.held_out == ("time" if pairs == "real" else "speaker")
    assert bool(plan.speech.parts) == (pairs == "both")
    with open_run(Store(settings.store), workers=2):
        seen = see(Source.of(settings.video))
        own = own_pairs(plan, seen, fit_face(seen, plan.method.fit))
    assert own.attributes["labels"] == "real"
    assert own.sizes["tick"] == pytest.approx(25 * until, abs=1)


@pytest.mark.parametrize("preset", personalise_presets())
def test_presets_are_whole(preset: str, tmp_path: Path) -> None:
    given = {"video": tmp_path / "v.mp4", "speech": tmp_path, "output": tmp_path / "run"}
    settings = checked(PersonaliseSettings, given | {"preset": preset})
    assert PersonaliseSettings.model_validate(settings.model_dump(mode="json")) == settings
    plan = Plan.of(settings)
    assert plan.expression.pairs == "pseudo" and plan.expression.held_out == "speaker"
    assert settings.pseudo.minutes == {"small": 10, "paper": 300}[preset]


def test_dry_run_tells_steps_and_what_is_missing(tmp_path: Path) -> None:
    given = ("personalise", "talk.mp4", "--speech", tmp_path, "-o", tmp_path / "run", "--dry-run")
    more = ("--preset=small", "--set=renderer.trainer.steps=7", f"--store={tmp_path / 'store'}")
    done = invoke(*given, *more, "--set=pseudo.method=wav2lip")
    assert done.exit_code == 0, done.stderr
    shown = yaml.safe_load(done.stdout)
    assert shown["renderer"]["trainer"]["steps"] == 7
    assert [step.split(":")[0] for step in shown["steps"]] == STEPS
    assert shown["steps"][-1].endswith("7 steps")
    assert [fault.split(":")[0] for fault in shown["missing"]] == [
        "talk.mp4",
        f"there is no clip in {tmp_path}; it must hold",
        "the weights wav2lip_gan are missing",
    ]
    assert not (tmp_path / "run").exists()


# Foreign speech.


def write_wav(path: Path, seconds: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(np.zeros(round(16000 * seconds), "<i2").tobytes())


def spoken(folder: Path, *, minutes: float, **changes: Any) -> dict[str, float]:
    found = find_speech(folder, person=None, minutes=minutes, apart=folder / "none", **changes)
    seconds: dict[str, float] = {}
    for part in found.parts:
        seconds[part.speaker] = seconds.get(part.speaker, 0.0) + part.seconds
    return seconds


def test_speech_is_drawn_over_speakers_evenly(tmp_path: Path) -> None:
    for name, files in {"a": [40, 40], "b/1": [15], "c": [3, 0.5, 200], "d": [0.8]}.items():
        for number, seconds in enumerate(files):
            write_wav(tmp_path / name / f"{number}.wav", seconds)
    assert spoken(tmp_path, minutes=1) == pytest.approx({"a": 22.5, "b/1": 15, "c": 22.5})
    assert spoken(tmp_path, minutes=2) == pytest.approx({"a": 52.5, "b/1": 15, "c": 52.5})
    assert spoken(tmp_path, minutes=10) == pytest.approx({"a": 80, "b/1": 15, "c": 203})
    few = spoken(tmp_path, minutes=0.4)  # no speaker says less than ten seconds, if there is more
    assert sum(few.values()) == pytest.approx(24, abs=1) and min(few.values()) >= 3


def test_parts_say_whether_they_are_whole(tmp_path: Path) -> None:
    for number, seconds in enumerate((30, 12)):
        write_wav(tmp_path / str(number) / "x.wav", seconds)
    found = find_speech(tmp_path, person=None, minutes=0.5, apart=tmp_path / "1" / "x.wav")
    assert [(p.speaker, p.seconds, p.whole) for p in found.parts] == [("0", 30.0, True)]
    found = find_speech(tmp_path, person=None, minutes=0.5, apart=tmp_path)
    assert [(p.speaker, p.seconds, p.whole) for p in found.parts] == [
        ("0", 18.0, False),
        ("1", 12.0, True),
    ]


def test_files_without_sound_are_left_out_and_named(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", 2)
    (tmp_path / "b.wav").write_bytes(b"broken")
    make_video(tmp_path / "c.mp4", frames=5, size=(32, 32))
    found = find_speech(tmp_path, person=None, minutes=1, apart=tmp_path)
    assert found.speakers == ["a.wav"]
    assert any("b.wav" in note for note in found.notes)
    assert "1 files left out: no sound in them" in found.notes


# Time left.


def test_time_left_follows_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, told = [0.0], list[str]()
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    expected = {"a": 10.0, "b": 20.0, "c": 3000.0}
    steps = Steps(expected, tmp_path / "s.json", told.append)
    with steps.step("a", "begin"):
        now[0] += 1  # from the store: it tells nothing of the machine
    with steps.step("b", "work") as step:
        step.computed, step.count, step.unit = True, 8, "frames"
        now[0] += 40
    assert told == [
        "1 of 3, a: begin; about 50 min left",
        "1 of 3, a: from the store; about 50 min left",
        "2 of 3, b: work; about 50 min left",
        "2 of 3, b: 40 s, 0.2 frames/s; about 100 min left",
    ]
    assert Steps(expected, tmp_path / "s.json", told.append).seconds == {"a": 1.0, "b": 40.0}
    unknown = Steps({"a": 1.0, "b": None}, tmp_path / "t.json", told.append)
    assert unknown.left("a") is None and unknown.left("b", done=True) == 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_in_any_step_it_ends_with_the_same_bytes(
    make: Make, whole: PersonaliseReport, tmp_path: Path
) -> None:
    settings = make(store=str(tmp_path / "store"))
    preset = tmp_path / "tiny.yaml"
    parts = {"method_settings", "pseudo", "expression", "renderer"}
    preset.write_text(yaml.safe_dump(settings.model_dump(mode="json", include=parts)))
    command = [
        str(Path(sys.executable).with_name("dubflow")),
        *("personalise", str(settings.video), "--speech", str(settings.speech)),
        *("-o", str(settings.output), "--store", settings.store, "--preset", str(preset)),
        *("--direct", "--workers", "2"),
    ]
    store, run = tmp_path / "store", settings.output
    marks = [
        *(store / kind for kind in ("landmarks", "face_fit", "expression_pairs")),
        *(run / name / "checkpoints" / "step-0000001" for name in ("expression", "renderer")),
    ]
    one = {**os.environ, "OMP_NUM_THREADS": "1"}
    for mark in marks:
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=one)
        while not mark.exists() and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (run / "card.json").exists()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=one)
    assert done.returncode == 0, done.stderr
    assert weights_of(run, whole) == weights_of(whole.output, whole)
