"""Personalising: found faults, weights that a dub can use, and nothing done twice."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from flows.names import personalise_presets
from flows.personalisation.folder import finished
from flows.personalisation.plan import Plan
from flows.personalisation.report import PersonaliseReport
from flows.personalisation.settings import PersonaliseSettings
from flows.personalise import personalise
from flows.presets import checked
from stores.artifacts.store import Store
from stores.errors import InputError, MissingWeights, SettingsError, TrainingError
from stores.weights.trained import read_header
from tasks.training.pairs import read_pairs
from tests.command import invoke
from tests.flows.conftest import cut_wav
from tests.media_factory import EXAMPLE, make_video

Make = Callable[..., PersonaliseSettings]

_QUICK = {"batch_size": 2, "validate_every": 2, "checkpoint_every": 1, "device": "cpu"}
_TINY: dict[str, Any] = {
    "method_settings": {"fit": {"mode": "mesh"}, "faces": {"side": 256}},
    "expression": {
        "trainer": {**_QUICK, "steps": 2, "deterministic": True},
        "settings": {"size": {"width": 4, "window": 1}},
    },
    "renderer": {
        "trainer": {**_QUICK, "steps": 2, "workers": 0, "deterministic": True},
        "settings": {"size": {"width": 1}, "critic_width": 2},
    },
}


@pytest.fixture(scope="session")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three speakers: two in folders, one in none; and what nobody says."""
    folder = tmp_path_factory.mktemp("voices")
    for number, speaker in enumerate(("anna", "ben", ".")):
        (folder / speaker).mkdir(exist_ok=True)
        cut_wav(EXAMPLE.with_name("jfk.wav"), folder / speaker, 2.0 * number, 2.0 * number + 1.6)
    (folder / "notes.txt").write_text("who said what")
    return folder


@pytest.fixture
def make(talk: Path, voices: Path, shared_store: Path, tmp_path: Path) -> Make:
    def make(**changes: Any) -> PersonaliseSettings:
        given = {
            "video": talk,
            "speech": voices,
            "output": tmp_path / "run",
            "store": str(shared_store),
            "preset": "small",
            "workers": 2,
        }
        return checked(PersonaliseSettings, given | _TINY | changes)

    return make


def weights_of(report: PersonaliseReport) -> dict[str, bytes]:
    return {name: (report.output / name).read_bytes() for name in report.weights}


@pytest.mark.dub
def test_a_run_is_whole_and_given_again_does_nothing(make: Make, shared_store: Path) -> None:
    settings, told, again = make(), list[str](), list[str]()
    report = personalise(settings, say=told.append)
    run = settings.output
    assert {"method.yaml", "pairs.json", "card.md", "card.json"} <= {p.name for p in run.iterdir()}
    method = yaml.safe_load((run / "method.yaml").read_text())
    assert method["fit"]["mode"] == "mesh" and method["faces"]["side"] == 256
    for name in ("expression", "renderer"):
        header = read_header(run / method[name])
        assert header.network == f"meta_talk_{name}"
        if name == "renderer":
            assert header.trained_on["person"] == report.person
    assert report.speakers == 3 and report.minutes == pytest.approx(4.8 / 60, abs=0.01)
    assert report.teacher == "speech_to_lips"
    assert {"opening_correlation"} <= set(report.figures["expression"]) or report.figures
    speakers = [p.attributes["speaker"] for p in read_pairs(run / "pairs.json", Store(shared_store))]
    assert speakers == ["4.0-5.6.wav", "anna", "ben"]
    assert list(report.seconds) == ["video", "face", "speech", "expression", "renderer"]
    begun = [line.split(":")[0] for line in told if " of 5, " in line][::2]
    assert begun == [f"{n} of 5, {name}" for n, name in enumerate(report.seconds, 1)]
    stored, written = set(Store(shared_store).committed()), weights_of(report)
    assert personalise(settings, say=again.append) == report
    assert again == ["all of it was done before"]
    assert set(Store(shared_store).committed()) == stored and weights_of(report) == written
