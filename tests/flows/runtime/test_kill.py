"""`kill -9` of whole runs, and two runs that race on one store."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from stores.artifacts.store import Store
from tests.media_factory import EXAMPLE, content, make_video

KILLS = 20
FRAMES = 300


@pytest.fixture(scope="module")
def long_talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 frames, two shards of every frame array, with sound."""
    path = tmp_path_factory.mktemp("media") / "talk.mp4"
    return make_video(path, frames=FRAMES, size=(400, 300), real_faces=True, audio="aac")


def start(video: Path, store: Path, output: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [
            *(str(Path(sys.executable).with_name("dubflow")), "dub", str(video)),
            *(str(EXAMPLE.with_name("jfk.wav")), "-o", str(output)),
            *("--store", str(store), "--direct", "--json"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def finished_shards(store: Path) -> dict[str, int]:
    """Shard file → time of writing, of all that a killed run had finished."""
    found: dict[str, int] = {}
    for marker in store.glob("staging/*.done/*.json"):
        folder = marker.parent.with_suffix("")
        if folder.is_dir():
            for name in json.loads(marker.read_text())["files"]:
                found[f"{folder.name.split('-')[-1]}/{name}"] = _written(folder / name)
    for manifest in store.glob("*/*/*/manifest.json"):
        for name in json.loads(manifest.read_text())["files"]:
            found[f"{manifest.parent.name}/{name}"] = _written(manifest.parent / name)
    return found


def _written(path: Path) -> int:
    return path.stat().st_mtime_ns


@pytest.mark.slow
def test_killed_runs_resume(long_talk: Path, tmp_path: Path) -> None:
    rng = random.Random(4)
    begun = time.perf_counter()
    whole = start(long_talk, tmp_path / "whole", tmp_path / "whole.mp4")
    expected = json.loads(whole.communicate()[0])
    longest = time.perf_counter() - begun
    for number in range(KILLS):
        store, output = tmp_path / f"store{number}", tmp_path / f"out{number}.mp4"
        process = start(long_talk, store, output)
        time.sleep(rng.uniform(0.1, 0.95) * longest)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        before = finished_shards(store)
        report = rerun(long_talk, store, output)
        after = finished_shards(store)
        assert {name: after[name] for name in before} == before, (
            "a finished range was written again"
        )
        assert keys(report) == keys(expected)
        check_store(store)


@pytest.mark.slow
def test_two_runs_race_on_one_store(long_talk: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    racers = [start(long_talk, store, tmp_path / f"{name}.mp4") for name in "ab"]
    reports = [json.loads(racer.communicate()[0]) for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0]
    assert content(tmp_path / "a.mp4") == content(tmp_path / "b.mp4")
    for one, other in zip(reports[0]["stages"], reports[1]["stages"], strict=True):
        assert one["key"] == other["key"]
        assert min(one["computed"], other["computed"]) == 0, f"{one['name']} was computed twice"
    check_store(store)


def rerun(video: Path, store: Path, output: Path) -> dict[str, Any]:
    process = start(video, store, output)
    text = process.communicate()[0]
    assert process.returncode == 0
    report: dict[str, Any] = json.loads(text)
    assert report["frames"] == FRAMES
    assert output.stat().st_size > 10_000
    return report


def keys(report: dict[str, Any]) -> list[str]:
    return [stage["key"] for stage in report["stages"]]


def check_store(folder: Path) -> None:
    store = Store(folder)
    for kind, key in store.committed():
        assert store.get(kind, key).damage() == []
