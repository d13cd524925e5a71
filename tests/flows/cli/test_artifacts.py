"""`dubflow artifacts list`, `lineage` and `gc`, as people read them."""

import json
from pathlib import Path

import pytest

from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.runs import RunRecord, record_run
from tasks.engine.open_run import open_run
from tests.command import invoke
from tests.tasks.toy_stages import ToySettings, copied, numbers, total


@pytest.fixture
def made(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Artifact:
    """A sum made of a file's copy, in a recorded run, in the default store."""
    monkeypatch.setenv("DUBFLOW_STORE", store.url)
    (tmp_path / "talk.mp4").write_text("talk")
    with open_run(store):
        copy = copied(Source.of(tmp_path / "talk.mp4"))
        made = total(numbers(4, ToySettings()), extra=copy)
    items = [(made.kind, made.key)]
    record_run(store, RunRecord("dub", {}, items, "/out/talk.de.mp4", id="0123456789ab"))
    return made


def test_list_says_of_what_in_which_run_how_large_and_how_old(made: Artifact) -> None:
    header, line, end = invoke("artifacts", "list", "--stage", "total").stdout.splitlines()
    assert header.split() == ["stage", "key", "source", "run", "size", "age"]
    assert line.split()[:4] == ["total", made.key[:12], "talk.mp4", "0123456789ab"]
    assert line.rstrip().endswith(" s")
    assert end.startswith("1 artifact, ")
    (row,) = json.loads(invoke("artifacts", "list", "--stage", "total", "--json").stdout)
    assert (row["sources"], row["runs"]) == (["talk.mp4"], ["0123456789ab"])
    for given in (("--source", "talk.mp4"), ("--run", "talk.de.mp4"), ("--since", "1h")):
        assert made.key[:12] in invoke("artifacts", "list", *given).stdout
    wrong = invoke("artifacts", "list", "--source", "tolk.mp4")
    assert wrong.exit_code == 1
    assert "did you mean talk.mp4?" in wrong.stderr


def test_what_is_taken_for_a_name_is_said(
    made: Artifact, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = invoke("artifacts", "list", "--run", "talk.de.mp4").stderr
    assert told.startswith("note: talk.de.mp4 is taken for run 0123456789ab: dub → /out/talk.de")
    assert invoke("artifacts", "list", "--run", "/out/talk.de.mp4").stderr == ""
    (tmp_path / "talk.de.mp4").touch()
    for command in (("list", "--run", "talk.de.mp4"), ("show", "talk.de.mp4", "--sheet", "a.png")):
        ended = invoke("artifacts", *command)
        assert "talk.de.mp4 was written by no run" in ended.stderr and ended.exit_code == 1
    (tmp_path / "talk.mp4").rename(tmp_path / "renamed.mp4")
    assert made.key[:12] in invoke("artifacts", "list", "--source", "renamed.mp4").stdout
    (tmp_path / "talk.mp4").write_text("another")
    with open_run(store):
        copied(Source.of(tmp_path / "talk.mp4"))
    (tmp_path / "talk.mp4").unlink()
    told = invoke("artifacts", "list", "--source", "talk.mp4").stderr
    assert told.startswith("note: talk.mp4 fits 2 files: talk.mp4 (")


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ("timeline", "no artifact of stage timeline here; there is copied, numbers, total"),
        ("restored", "what the stage restored makes is called total: give --stage total"),
        ("totl", "no stage 'totl'; did you mean total? Here there is copied, numbers, total"),
        ("qqq", "no stage 'qqq'; there is copied, numbers, total"),
    ],
)
def test_a_stage_without_artifacts_is_told_from_none_at_all(
    stage: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = {"timeline": "timeline", "restored": "total"}  # the true ones take seconds
    monkeypatch.setattr("flows.names.stage_kinds", lambda: kinds)
    assert words in invoke("artifacts", "list", "--stage", stage).stderr


def test_lineage_goes_down_to_the_file_and_up_to_what_uses_it(made: Artifact) -> None:
    shown = invoke("artifacts", "lineage", made.key).stdout
    assert shown.splitlines()[0].startswith(f"total {made.key[:12]}")
    assert "── talk.mp4 " in shown
    assert "run 0123456789ab: dub → /out/talk.de.mp4" in shown
    (kind, key), *_ = made.manifest.inputs.values()
    assert f"used by total {made.key[:12]}" in invoke("artifacts", "lineage", key).stdout
    told = json.loads(invoke("artifacts", "lineage", key, "--json").stdout)
    assert (told["kind"], told["used_by"]) == (kind, [f"total/{made.key}"])


def test_a_run_is_no_artifact_and_is_told_from_one(made: Artifact) -> None:
    for subject in ("talk.de.mp4", "0123456789ab"):
        for command in ("show", "lineage"):
            told = invoke("artifacts", command, subject).stderr
            assert f"{subject} --sheet FILE` draws a " in told


def test_gc_says_what_goes_and_what_stays_and_removes_only_when_told(made: Artifact) -> None:
    gc = ("artifacts", "gc", "--source", "talk.mp4")
    forgets, *kinds, frees, keeps, end = invoke(*gc).stdout.splitlines()
    assert forgets.startswith("forgets run 0123456789ab: dub → /out/talk.de.mp4, 2")
    assert len(kinds) == 3
    assert frees.startswith("frees ") and frees.endswith(": 3 artifacts, 1 record of runs")
    assert keeps == "keeps 0 bytes: 0 artifacts of 0 runs"
    assert end == "nothing was removed; add --yes"
    done = json.loads(invoke(*gc, "--yes", "--json").stdout)
    assert (done["removed"], len(done["artifacts"])) == (True, 3)
    assert done["runs"] == ["0123456789ab"]
    assert json.loads(invoke("artifacts", "list", "--json").stdout) == []
