"""The stage decorator: keys, hits, resuming, races, and what a killed run leaves behind."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from stores.artifacts.source import Source
from stores.artifacts.store import Store
from tasks.engine.run import Run
from tests.tasks.toy_stages import (
    ROWS_PER_SHARD,
    Pair,
    ToySettings,
    copied,
    numbers,
    total,
    total_of_pair,
)

CHILD = """
import sys
from stores.artifacts.store import Store
from tasks.engine.open_run import open_run
from tests.tasks.toy_stages import ToySettings, numbers
with open_run(Store(sys.argv[1]), workers=2) as run:
    numbers(160, ToySettings())
print(run.records[0].hits, run.records[0].computed)
"""


def child(store: Path, log: Path, seconds: float) -> "subprocess.Popen[str]":
    environment = {**os.environ, "TOY_LOG": str(log), "TOY_SECONDS": str(seconds)}
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(store)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_second_call_is_served_from_the_store(run: Run) -> None:
    first = numbers(100, ToySettings())
    again = numbers(100, ToySettings())
    assert first.key == again.key
    assert [(r.hits, r.computed) for r in run.records] == [(0, 7), (7, 0)]
    np.testing.assert_array_equal(again.read("value")[:, 0], np.arange(100) * 2)
    assert again.read_ragged("bytes", 6).tolist() == [6] * 7


def test_key_follows_settings_and_inputs(run: Run) -> None:
    doubled, tripled = numbers(20, ToySettings()), numbers(20, ToySettings(factor=3))
    assert doubled.key != tripled.key
    assert total(doubled).key != total(tripled).key
    assert total(doubled).key != total(doubled, extra=tripled).key
    assert total(tripled).read("sum")[0] == 3 * 3 * sum(range(20))


def test_stage_version_is_part_of_the_key(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = numbers.key(20, ToySettings())
    monkeypatch.setattr(numbers, "version", 2)
    assert numbers.key(20, ToySettings()) != before


def test_a_bundle_that_a_body_takes_counts_by_its_fields(run: Run) -> None:
    doubled, tripled = numbers(20, ToySettings()), numbers(20, ToySettings(factor=3))
    made = total_of_pair(Pair(doubled, tripled), factor=10)
    assert made.read("sum")[0] == 10 * (2 + 3) * 3 * sum(range(20))
    assert made.manifest.inputs == {
        "numbers": ("numbers", doubled.key),
        "extra": ("numbers", tripled.key),
    }
    assert made.manifest.parameters == {"factor": 10}
    assert total_of_pair.key(numbers=doubled, extra=tripled, factor=10) == made.key
    assert total_of_pair.key(Pair(tripled, doubled), factor=10) != made.key


def test_artifact_describes_itself(run: Run) -> None:
    artifact = numbers(20, ToySettings())
    facts = total(artifact).manifest
    assert facts.inputs == {"numbers": ("numbers", artifact.key)}
    assert facts.attributes == {"note": "exact"}
    assert facts.versions["numpy"] == np.__version__
    array = artifact.group["value"]
    assert array.attrs["units"] == "px"
    assert array.metadata.dimension_names == ("frame", "axis")
    assert dict(artifact.group.attrs)["parameters"] == {"rows": 20, "settings": {"factor": 2.0}}


def test_plain_file_in_an_artifact(run: Run, tmp_path: Path) -> None:
    original = tmp_path / "a.bin"
    original.write_bytes(b"content")
    artifact = copied(Source.of(original))
    assert artifact.file("copy.bin").read_bytes() == b"content"
    renamed = original.rename(tmp_path / "b.bin")
    copied(Source.of(renamed))
    assert run.records[-1].hits == 1, "a source counts by its bytes, not its name"


def test_an_error_keeps_finished_shards(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))
    body, staging = numbers.body, Path(run.store.url) / "staging"

    def fails_at_three(rows: int, settings: ToySettings, *, shards: list) -> object:
        for block, shard in zip(body(rows, settings, shards=shards), shards, strict=True):
            if shard.index == 3:
                while len(list(staging.glob("*.done/*.json"))) < 3:  # those of the other range
                    time.sleep(0.01)
                raise OSError("camera on fire")
            yield block

    monkeypatch.setattr(numbers, "body", fails_at_three)
    with pytest.raises(OSError, match="camera on fire"):
        numbers(80, ToySettings())
    monkeypatch.setattr(numbers, "body", body)
    artifact = numbers(80, ToySettings())
    done = run.records[-1]
    assert done.hits >= 3
    assert done.hits + done.computed == 5
    np.testing.assert_array_equal(artifact.read("value")[:, 1], np.arange(80) * 2)


def test_other_ranges_stop_when_one_failed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    body, computed = numbers.body, []

    def fails_in_the_second_range(rows: int, settings: ToySettings, *, shards: list) -> object:
        for block, shard in zip(body(rows, settings, shards=shards), shards, strict=True):
            if shard.index == 50:
                raise OSError("camera on fire")
            time.sleep(0.05)
            computed.append(shard.index)
            yield block

    monkeypatch.setattr(numbers, "body", fails_in_the_second_range)
    with pytest.raises(OSError, match="camera on fire"):
        numbers(100 * ROWS_PER_SHARD, ToySettings())
    assert len(computed) < 20
    assert not run.stop.is_set()


def test_killed_runs_lose_nothing_that_was_finished(tmp_path: Path) -> None:
    rng = random.Random(1)
    store, log = tmp_path / "store", tmp_path / "log"
    killed = 0
    for _ in range(4):
        process = child(store, log, 0.12)
        while not log.exists() and process.poll() is None:
            time.sleep(0.02)
        time.sleep(rng.uniform(0.05, 0.3))
        if process.poll() is None:
            killed += 1
            process.send_signal(signal.SIGKILL)
        process.communicate()
    process = child(store, log, 0)
    hits, computed = map(int, process.communicate()[0].split())
    assert process.returncode == 0
    assert killed >= 1
    assert hits + computed == 160 // ROWS_PER_SHARD
    calls = Counter(log.read_text().split())
    assert set(calls) == {str(i) for i in range(10)}
    assert sum(calls.values()) <= 10 + 2 * killed, "only shards in flight are computed again"
    opened = Store(store)
    (artifact,) = (opened.get(*item) for item in opened.committed())
    assert artifact.damage() == []
    np.testing.assert_array_equal(artifact.read("value")[:, 2], np.arange(160) * 2)


def test_two_racing_runs_share_the_work(tmp_path: Path) -> None:
    store, log = tmp_path / "store", tmp_path / "log"
    racers = [child(store, log, 0.03) for _ in range(2)]
    counts = [tuple(map(int, racer.communicate()[0].split())) for racer in racers]
    assert sorted(counts) == [(0, 10), (10, 0)]
    assert Counter(log.read_text().split()) == {str(i): 1 for i in range(10)}


def test_a_stage_outside_a_run_says_what_is_missing() -> None:
    with pytest.raises(RuntimeError, match="open_run"):
        numbers(10, ToySettings())
