"""The command as a user types it: output streams, exit codes, errors of one line."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from flows.dub import dub, is_result_of
from flows.settings import DubSettings
from stores.artifacts.store import Store
from stores.media.scanning import scan
from tests.command import invoke
from tests.media_factory import damage, make_audio, make_video
from viewer.drawings.draw import SHEET_PICTURES

pytestmark = pytest.mark.dub

Make = Callable[..., DubSettings]


def dubflow(*arguments: object) -> "subprocess.CompletedProcess[str]":
    """Run the installed command in a process of its own."""
    return subprocess.run(
        [str(Path(sys.executable).with_name("dubflow")), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "200"},
    )


@pytest.mark.long
def test_json_is_all_there_is_on_stdout(settings: Make) -> None:
    given = settings()
    dub(given)
    given.output.unlink()
    done = dubflow(
        "dub", given.video, given.audio, "-o", given.output, "--store", given.store, "--json"
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert set(report) >= {
        *("output", "frames", "valid_frames", "no_face_ranges", "in_reach", "stages", "versions"),
    }
    assert f"the source shows {100 * report['in_reach']:.0f} % of the wanted mouths" in done.stderr
    assert set(report["stages"][0]) == {"name", "seconds", "hits", "computed", "key", "role"}
    assert not any(stage["computed"] for stage in report["stages"])
    assert "all came from the store" in done.stderr
    assert given.output.is_file()


def test_the_same_command_again_replaces_what_it_made_and_another_does_not(settings: Make) -> None:
    given = settings()
    dub(given)
    assert is_result_of(given)
    assert not is_result_of(given.model_copy(update={"precision": "bfloat16"}))
    line = ("dub", given.video, given.audio, "-o", given.output, "--store", given.store)
    other = invoke(*line, "--quality", 30, "--direct")
    assert (other.exit_code, "--overwrite" in other.stderr) == (1, True)
    again = invoke(*line, "--set", "workers=2", "--direct")
    assert again.exit_code == 0, again.stderr
    given.output.write_bytes(b"mine")
    assert not is_result_of(given)


def test_unusable_videos_are_refused_in_one_line(tmp_path: Path, speech: Path) -> None:
    talk = make_video(tmp_path / "talk.mp4", frames=50, real_faces=True, audio="aac")
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("this is not a video\n" * 100)
    damage(talk, tmp_path / "short.mp4", kind="truncate", seed=1)
    make_audio(tmp_path / "sound.m4a", codec="aac")
    make_video(tmp_path / "one.mp4", frames=1)
    damage(talk, tmp_path / "noise.mp4", kind="noise", seed=3)
    for name in ("empty", "text", "short", "one", "noise", "missing", "sound"):
        path = tmp_path / (f"{name}.m4a" if name == "sound" else f"{name}.mp4")
        done = invoke(
            "dub", path, speech, "-o", tmp_path / "out.mp4", "--store", tmp_path / "s", "--direct"
        )
        assert done.exit_code == 1, name
        lines = done.stderr.strip().splitlines()
        assert lines[-1].startswith("dubflow: ")
        assert path.name in lines[-1]
        assert "Traceback" not in done.output
        assert not (tmp_path / "out.mp4").exists()


def test_dry_run_prints_settings_that_can_be_given_back(settings: Make, tmp_path: Path) -> None:
    given = settings()
    arguments = ("dub", given.video, given.audio, "-o", given.output, "--store", given.store)
    shown = invoke(
        *arguments, "--set", "blend.mode=multiband", "--quality", 20, "--start", 1, "--dry-run"
    )
    values = yaml.safe_load(shown.stdout)
    assert values["blend"]["mode"] == "multiband"
    assert values["encode"]["crf"] == 20
    assert values["sync"]["start_seconds"] == 1
    assert "takes about " in shown.stderr and "for " + str(given.output) in shown.stderr
    config = tmp_path / "settings.yaml"
    config.write_text(shown.stdout)
    assert invoke(*arguments, "--config", config, "--dry-run").stdout == shown.stdout


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        (("-o", "no/x.mp4"), ["no/x.mp4: its folder does not exist; create no first"]),
        (("--start", 3, "--end", 2), ["--start 3 s does not lie before --end 2 s"]),
        (("--start", 9), ["--start 9 s lies behind the end: talk.mp4 lasts 2.4"]),
        (("-o", "talk.mp4"), ["the output talk.mp4 would overwrite an input"]),
        (("-o", "mine.mp4", "--bed", "no.wav"), ["no.wav: no such file", "mine.mp4 is there: "]),
        (("-o", "mine.mp4"), ["mine.mp4 is there: --overwrite replaces it, or name another file"]),
        (
            ("--bed", "no.wav", "--end", 0.5, "--start", 0.5),
            ["--start 0.5 s does not lie before --end 0.5 s", "no.wav: no such file"],
        ),
    ],
)
def test_a_dry_run_refuses_what_a_dub_would(
    talk: Path,
    speech: Path,
    changes: tuple[object, ...],
    wanted: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("talk.mp4").symlink_to(talk)
    Path("mine.mp4").write_text("mine")
    line = ("dub", "talk.mp4", speech, "-o", "out.mp4", "--store", "store", *changes)
    dry, real = invoke(*line, "--dry-run"), invoke(*line, "--direct")
    assert (dry.exit_code, real.exit_code) == (1, 1)
    assert yaml.safe_load(dry.stdout)["video"] == "talk.mp4"
    for told, words in zip(dry.stderr.splitlines(), wanted, strict=True):
        assert told.startswith(f"dubflow: {words}")
    assert len(real.stderr.splitlines()) == 1 and real.stderr in dry.stderr
    assert not list(Store("store").committed())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("blend.modus=x", "blend.modus"),
        ("encode.crf=99", "encode.crf"),
        ("crf", "NAME=VALUE"),
        ("method_settings.lenders.candidates=1", "lenders.candidates"),
    ],
)
def test_wrong_settings_name_themselves(settings: Make, change: str, message: str) -> None:
    given = settings()
    done = invoke("dub", given.video, given.audio, "-o", given.output, "--set", change)
    assert done.exit_code == 1
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_artifacts_are_listed_shown_and_drawn(settings: Make, tmp_path: Path) -> None:
    given = settings()
    dub(given)
    store = ("--store", given.store)
    rows = json.loads(invoke("artifacts", "list", "--json", *store).stdout)
    kinds = {row["kind"] for row in rows}
    assert kinds >= {"timeline", "faces", "crops", "mel", "motion", "render", "dubbed"}
    shown = invoke("artifacts", "show", "landmarks/", *store)
    if shown.exit_code:  # several videos share the store
        assert "give more digits" in shown.stderr
    for kind in ("landmarks", "mel"):
        key = next(row["key"] for row in rows if row["kind"] == kind)
        picture = tmp_path / f"{kind}.png"
        done = invoke("artifacts", "show", f"{kind}/{key}", "--preview", picture, *store)
        assert done.exit_code == 0, done.output
        assert picture.stat().st_size > 1000
        assert key in done.stdout
    assert "[px]" in invoke(
        "artifacts", "show", next(r["key"] for r in rows if r["kind"] == "landmarks"), *store
    ).stdout.replace("\n", "")


def test_preview_as_video(settings: Make, tmp_path: Path) -> None:
    given = settings()
    report = dub(given)
    key = next(stage.key for stage in report.stages if stage.name == "crops")
    movie = tmp_path / "crops.mp4"
    assert (
        invoke("artifacts", "show", key, "--preview", movie, "--store", given.store).exit_code == 0
    )
    assert movie.stat().st_size > 1000
    refused = invoke("artifacts", "show", key, "--preview", "x.gif", "--store", given.store)
    assert refused.exit_code == 1
    assert ".png or .mp4" in refused.stderr
    nowhere = tmp_path / "none" / "crops.png"
    refused = invoke("artifacts", "show", key, "--preview", nowhere, "--store", given.store)
    assert refused.exit_code == 1
    assert f"--preview {nowhere}" in refused.stderr


@pytest.mark.parametrize("kind", ["crops", "render", "faces", "landmarks", "dubbed"])
def test_a_preview_shows_every_frame(kind: str, settings: Make, tmp_path: Path) -> None:
    given = settings()  # more frames than a contact sheet has cells
    report = dub(given)
    key = next(stage.key for stage in report.stages if stage.name == kind)
    movie = tmp_path / "all.mp4"
    store = ("--store", given.store)
    done = invoke("artifacts", "show", f"{kind}/{key}", "--preview", movie, *store)
    assert done.exit_code == 0, done.output
    assert len(scan(movie)) == report.frames == 60 > SHEET_PICTURES


def test_verify_finds_and_removes_damage(settings: Make, tmp_path: Path) -> None:
    given = settings(store=str(tmp_path / "store"), sync={"end_seconds": 0.4})
    report = dub(given)
    store = ("--store", given.store)
    assert invoke("artifacts", "verify", *store).exit_code == 0
    opened = Store(given.store)
    key = next(stage.key for stage in report.stages if stage.name == "render")
    shard = opened.get("render", key).file("patch/000000/c/0")
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 4
    shard.write_bytes(data)
    found = invoke("artifacts", "verify", "--json", *store)
    assert found.exit_code == 1
    assert json.loads(found.stdout)["damaged"][0]["key"] == key
    assert invoke("artifacts", "verify", "--remove", *store).exit_code == 0
    again = dub(given)
    assert {stage.name for stage in again.stages if stage.computed} == {"render"}


@pytest.mark.long
def test_gc_keeps_recorded_runs(settings: Make, tmp_path: Path) -> None:
    given = settings(store=str(tmp_path / "store"), sync={"end_seconds": 0.4})
    dub(given)
    store = ("--store", given.store)
    assert json.loads(invoke("artifacts", "gc", "--json", *store).stdout)["artifacts"] == []
    forgotten = invoke("artifacts", "gc", "--older-than-days", 0, "--yes", "--json", *store)
    assert len(json.loads(forgotten.stdout)["artifacts"]) > 10
    assert list(Store(given.store).committed()) == []


def test_doctor_is_content(tmp_path: Path) -> None:
    done = invoke("doctor", "--json", "--store", tmp_path / "store")
    assert done.exit_code == 0, done.output
    findings = json.loads(done.stdout)
    assert findings["healthy"]
    assert "libx264" in findings["encoders"]


def test_help_teaches() -> None:
    shown = dubflow("dub", "--help").stdout
    for word in ("--face", "--sync-mode", "--start", "--keep-background", "--set", "Examples"):
        assert word in shown
