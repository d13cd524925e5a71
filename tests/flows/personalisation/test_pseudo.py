"""Pseudo labels by each teacher, from a video and a speech to pairs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from flows.personalisation.pseudo import pseudo_pairs, pseudo_weights
from models.face_fit.settings import FitSettings
from models.meta_talk.pseudo_settings import PseudoSettings
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.errors import MissingWeights, SettingsError
from tasks.engine.device_settings import DeviceSettings
from tasks.engine.open_run import open_run
from tasks.engine.run import Run
from tasks.source.face_basis import own_basis_key
from tasks.source.face_fit import face_fit
from tasks.source.face_fit_person import face_fit_person
from tasks.source.faces import faces
from tasks.source.fitted import Fitted
from tasks.source.landmarks import landmarks
from tasks.source.seen import Seen
from tasks.source.timeline import timeline
from tasks.source.track import follow_person
from tasks.speech.speech_windows import speech_windows
from tasks.speech.waveform import waveform
from tasks.weights.networks import find_weights
from tests.flows.conftest import cut_wav
from tests.flows.methods.test_ip_lap import LANDMARKS, RENDERER, write_trained
from tests.media_factory import EXAMPLE, make_video
from tests.published_weights import add_filled, write_registry

pytestmark = pytest.mark.dub

FRAMES = 8


class Given(NamedTuple):
    """A target, and the settings of each teacher, in a run."""

    run: Run
    seen: Seen
    fitted: Fitted
    teacher: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Given]:
    """A silent video of a real face, fitted to its landmarks."""
    folder = tmp_path_factory.mktemp("target")
    store = Store(folder / "store")
    path = make_video(folder / "talk.mp4", frames=FRAMES, size=(400, 300), real_faces=True)
    with pytest.MonkeyPatch.context() as patch:
        registry = write_registry(folder / "own.yaml", "wav2lip_gan", "wav2lip")
        patch.setenv("DUBFLOW_WEIGHTS", str(registry))
        add_filled(store, "wav2lip_gan", folder)
        trained = {
            "landmarks": str(write_trained(LANDMARKS, {}, folder)),
            "renderer": str(write_trained(RENDERER, {}, folder)),
        }
        with open_run(store, workers=1, devices=DeviceSettings(device="cpu", batch=5)) as run:
            video = Source.of(path)
            clock = timeline(video)
            found = faces(video, clock)
            points = landmarks(found, follow_person(video, clock, found), timeline=clock)
            seen = Seen(video, clock, points, None)
            mesh = FitSettings(mode="mesh")
            person = face_fit_person(seen, basis=own_basis_key(), settings=mesh)
            fit = face_fit(seen, person=person, frozen=None, settings=mesh)
            teacher = {"ip_lap": trained | {"references": 1}}
            yield Given(run, seen, Fitted(person, fit), teacher)


def heard(folder: Path, start: float, stop: float) -> Artifact:
    return waveform(Source.of(cut_wav(EXAMPLE.with_name("jfk.wav"), folder, start, stop)))


def pairs(given: Given, speech: Artifact, method: str, **changes: Any) -> Artifact:
    settings = {"method": method, "teacher": given.teacher.get(method, {})} | changes
    return pseudo_pairs(
        *(given.seen, given.fitted, speech),
        speaker="jfk",
        features=speech_windows(speech, features="logmel80"),
        settings=PseudoSettings.model_validate(settings),
    )


@pytest.mark.long
@pytest.mark.parametrize("method", ["wav2lip", "ip_lap", "exemplar", "speech_to_lips"])
def test_a_teacher_labels_speech(given: Given, method: str, tmp_path: Path) -> None:
    speech = heard(tmp_path, 0.3, 0.54)
    found = pairs(given, speech, method)
    assert found.kind == "expression_pairs" and found.sizes["tick"] == 6
    valid, delta = found.read("valid"), found.read("delta")
    assert valid.mean() > 0.8 and np.isfinite(delta).all()
    assert delta[valid, 0].std() > 0 and not delta[~valid].any()
    anyone = method == "speech_to_lips"
    assert found.attributes == {
        "labels": "pseudo",
        "speaker": "jfk",
        "basis": own_basis_key(),
        "person": None if anyone else given.fitted.person.key,
    }
    before = len(given.run.records)
    assert pairs(given, speech, method).key == found.key
    assert not any(record.computed for record in given.run.records[before:])


def test_other_speech_finds_the_target_in_the_store(given: Given, tmp_path: Path) -> None:
    pairs(given, heard(tmp_path, 0.3, 0.7), "exemplar")
    before = len(given.run.records)
    pairs(given, heard(tmp_path, 2.0, 2.4), "exemplar")
    computed = {each.name for each in given.run.records[before:] if each.computed}
    assert computed >= {"render", "pseudo_expression", "expression_pairs"}
    assert not computed & {"crops", "pseudo_faces", "face_fit"}


def test_a_target_that_speaks_gives_the_scale_once(given: Given, tmp_path: Path) -> None:
    own = heard(tmp_path, 4.0, 4.4)
    speaking = given._replace(
        seen=Seen(*(given.seen.video, given.seen.timeline), given.seen.landmarks, own)
    )
    first = pairs(speaking, heard(tmp_path, 0.3, 0.7), "speech_to_lips")
    before = len(given.run.records)
    pairs(speaking, heard(tmp_path, 2.0, 2.4), "speech_to_lips")
    scales = [each for each in given.run.records[before:] if each.name == "pseudo_scale"]
    assert [each.computed for each in scales] == [0]
    assert first.attributes["person"] == given.fitted.person.key
    assert len(first.attributes["ratio"]) == 64
    plain = pairs(speaking, heard(tmp_path, 0.3, 0.7), "speech_to_lips", rescale=False)
    assert plain.attributes["person"] is None


def test_what_is_held_out_is_not_dubbed(given: Given, tmp_path: Path) -> None:
    speech = heard(tmp_path, 0.3, 1.1)
    pseudo_pairs(
        *(given.seen, given.fitted, speech),
        speaker="jfk",
        features=speech_windows(speech, features="logmel80"),
        settings=PseudoSettings(method="exemplar"),
        until_seconds=0.16,
    )
    frames = [each for each in given.run.records if each.name == "output_frames"][-1]
    shown = given.run.store.get("output_frames", frames.key).read("source_frame")
    assert len(shown) == 20 and set(shown) == set(range(4))


def test_missing_weights_are_named(given: Given) -> None:
    assert pseudo_weights(PseudoSettings(method="exemplar")) == ()
    assert pseudo_weights(PseudoSettings(method="speech_to_lips")) == ()
    trained = {"method": "ip_lap", "teacher": given.teacher["ip_lap"]}
    names = pseudo_weights(PseudoSettings.model_validate(trained))
    assert all(name.endswith(".safetensors") for name in names)
    assert pseudo_weights(PseudoSettings()) == ("wav2lip_gan",)
    (missing,) = pseudo_weights(PseudoSettings(teacher={"weights": "wav2lip"}))
    with pytest.raises(MissingWeights, match="dubflow weights add wav2lip"):
        find_weights(missing)
    with pytest.raises(SettingsError, match="leave teacher out"):
        pseudo_weights(PseudoSettings(method="speech_to_lips", teacher={"adapt": False}))
