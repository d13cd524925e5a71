"""What the pages of `dubflow inspect` ask for: plans, settings, and dubs made again."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from flows.dub import dub
from flows.inspection.changes import settings_schema
from flows.inspection.job import Lines, answer
from flows.inspection.plan import plan_redo
from flows.settings import DubSettings
from stores.artifacts.store import Store
from stores.backends.backend import LocalBackend
from stores.errors import InputError, SettingsError, StoreError
from stores.media.audio import decode_audio
from stores.runs import RunRecord, find_run
from tests.flows.conftest import FRAMES
from tests.media_factory import content

pytestmark = pytest.mark.dub

Make = Callable[..., DubSettings]
VIDEO = {"timeline", "faces", "face_descriptors", "track", "landmarks", "crops", "visibility"}
LAST = ["render", "composite", "dubbed"]


@pytest.fixture
def dubbed(settings: Make) -> tuple[Store, RunRecord]:
    """A finished dub."""
    given = settings()
    report = dub(given)
    store = Store(given.store)
    return store, find_run(store, report.run)


def states(plan: dict[str, Any], *wanted: str) -> list[str]:
    """Kinds of the stages in one of these states."""
    assert not plan["faults"]
    return [stage["kind"] for stage in plan["stages"] if stage["state"] in wanted]


def ask(request: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Result of a job in this process, and the lines that it told."""
    told = io.StringIO()
    result = answer(request, Lines(told))
    return result, [json.loads(line) for line in told.getvalue().splitlines()]


def test_a_plan_tells_what_a_change_reruns_and_writes_nothing(
    dubbed: tuple[Store, RunRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, record = dubbed
    for writes in ("write", "create", "delete", "publish", "building", "folder", "scratch"):
        monkeypatch.delattr(LocalBackend, writes)  # other tests write in the same store meanwhile
    unchanged = plan_redo(store, record, {}, None)
    assert states(unchanged, "computed", "follows") == []
    blend = plan_redo(store, record, {"blend": {"strength": 0.731}}, None)
    assert states(blend, "computed") == ["composite"]
    assert states(blend, "follows") == ["dubbed"]
    mouths = plan_redo(store, record, {"method_settings": {"adapt": False}}, None)
    assert states(mouths, "computed") == ["speaker"]
    assert states(mouths, "follows") == ["lip_expression", "motion", "lenders", *LAST]
    part = plan_redo(store, record, {}, (10, 40))
    assert set(states(part, "stored")) >= VIDEO
    assert states(part, "computed") == ["waveform", "output_frames"]
    assert states(part, "follows")[-3:] == LAST
    ranges = {stage["kind"]: stage["ranges"] for stage in part["stages"]}
    whole = {stage["kind"]: stage["ranges"] for stage in unchanged["stages"]}
    assert (ranges["render"], ranges["crops"]) == (1, whole["crops"])


def test_a_plan_says_what_is_wrong_with_settings(dubbed: tuple[Store, RunRecord]) -> None:
    store, record = dubbed
    for changes, words in (
        ({"blend": {"strength": 2}}, "blend.strength: "),
        ({"blur": 1}, "blur: "),
        ({"method": "exemplr"}, "did you mean exemplar?"),
        ({"method_settings": {"adopt": True}}, "adopt: "),
        ({"method": "wav2lip"}, "the weights wav2lip_gan are missing"),
        ({"output": "/etc/passwd"}, "output: a redo keeps it"),
        ({"audio": "/nowhere.wav"}, "/nowhere.wav"),
    ):
        plan = plan_redo(store, record, changes, None)
        assert not plan["stages"]
        assert words in plan["faults"][0]
        assert "\n" not in plan["faults"][0]
    for span in ((0, FRAMES + 1), (7, 7), (-1, 4)):
        assert "the dub has 0 to 59" in plan_redo(store, record, {}, span)["faults"][0]


def test_schema_and_values_are_those_of_dub_and_method(dubbed: tuple[Store, RunRecord]) -> None:
    store, record = dubbed
    found, _ = ask({"do": "schema", "store": store.url, "run": record.id})
    properties, values = found["schema"]["properties"], found["values"]
    assert set(properties) == set(values) >= {"method", "blend", "sync", "method_settings"}
    assert not {"video", "output", "store"} & set(properties)
    assert "exemplar" in properties["method"]["enum"]
    assert set(properties["method_settings"]["properties"]) == set(values["method_settings"])
    assert values["method_settings"]["adapt"] is True
    other = settings_schema(record, "wav2lip")
    assert other["values"]["method"] == "wav2lip"
    assert "adapt" not in other["values"]["method_settings"]
    json.dumps(other)


def test_a_span_is_dubbed_beside_the_old_file_and_recorded(
    dubbed: tuple[Store, RunRecord],
) -> None:
    store, record = dubbed
    assert record.output is not None
    old = Path(record.output)
    bytes_before = old.read_bytes()
    changes = {"blend": {"strength": 0.25}}
    told = states(plan_redo(store, record, changes, (10, 40)), "computed", "follows")
    request = {"do": "redo", "store": store.url, "run": record.id, "span": [10, 40]}
    first, lines = ask(request | {"changes": changes})
    second, _ = ask(request | {"changes": changes})
    shown = [line["progress"] for line in lines if "progress" in line]
    assert set(told) <= {each["name"].partition(" ")[0] for each in shown if each["done"] == 0}
    assert all(each["done"] <= (each["total"] or each["done"]) for each in shown)
    assert Path(first["output"]) == old.with_name("out.redo1.mp4")
    assert Path(second["output"]) == old.with_name("out.redo2.mp4")
    assert content(Path(first["output"])) == content(Path(second["output"]))
    assert old.read_bytes() == bytes_before
    assert {"progress": {"name": "dubbed", "done": 1, "total": 1}} in lines
    made = find_run(store, first["run"])
    assert made.redo_of == {"run": record.id, "span": [10, 40]}
    assert made.output == first["output"]
    with av.open(first["output"]) as container:
        assert sum(1 for _ in container.decode(video=0)) == 30
    part = decode_audio(old.with_name("out.redo1.wav"), mono=True)[:, 0]
    whole = decode_audio(record.settings["audio"], mono=True)[:, 0]
    np.testing.assert_allclose(part, whole[round(0.4 * 16000) :][: len(part)], atol=1e-4)
    assert len(part) == round(30 / 25 * 16000)


def test_a_redo_of_all_is_named_too(dubbed: tuple[Store, RunRecord]) -> None:
    store, record = dubbed
    found, _ = ask({"do": "redo", "store": store.url, "run": record.id, "changes": {}})
    assert found["output"].endswith("out.redo1.mp4")
    assert find_run(store, found["run"]).redo_of == {"run": record.id, "span": None}
    assert record.output is not None
    assert content(Path(found["output"])) == content(Path(record.output))


def test_what_cannot_be_done_is_told(dubbed: tuple[Store, RunRecord], tmp_path: Path) -> None:
    store, record = dubbed
    request = {"do": "redo", "store": store.url, "run": record.id}
    assert record.output is not None
    with pytest.raises(SettingsError, match="strength"):
        ask(request | {"changes": {"blend": {"strength": 7}}, "span": [0, 9]})
    with pytest.raises(InputError, match="a span is"):
        ask(request | {"span": "all"})
    with pytest.raises(InputError, match="there is no job 'fly'"):
        ask(request | {"do": "fly"})
    for wrong in ("../../etc/passwd", "0" * 12):
        with pytest.raises(StoreError, match="no record of a run"):
            ask(request | {"run": wrong})
    assert not list(Path(record.output).parent.glob("*redo*"))


@pytest.mark.long
def test_as_a_process_it_answers_in_lines_and_stops_on_sigterm(
    dubbed: tuple[Store, RunRecord],
) -> None:
    store, record = dubbed

    def start(**request: Any) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.inspection.job"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"},
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps({"store": store.url, "run": record.id} | request))
        process.stdin.close()
        process.stdin = None
        return process

    out, _ = (plan := start(do="plan", changes={"blend": {"strength": 5}})).communicate(timeout=120)
    assert plan.returncode == 0
    assert json.loads(out.splitlines()[-1])["result"]["faults"]
    out, _ = (bad := start(do="redo", changes={"blur": 1})).communicate(timeout=120)
    assert bad.returncode == 1
    assert json.loads(out)["error"].startswith("blur: there is no such setting; there is video, ")
    stopped = start(do="redo", changes={"method_settings": {"adapt": False}}, span=[0, 50])
    assert stopped.stdout is not None
    assert "progress" in json.loads(stopped.stdout.readline())
    stopped.send_signal(signal.SIGTERM)
    out, _ = stopped.communicate(timeout=120)
    assert stopped.returncode == 1
    assert json.loads(out.splitlines()[-1])["error"].startswith("stopped; finished ranges are kept")
    assert record.output is not None
    assert not list(Path(record.output).parent.glob("*redo*"))
