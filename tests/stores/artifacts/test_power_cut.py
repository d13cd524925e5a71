"""Power cuts: what was not brought to the disk is gone, and the same command goes on from there."""

import json
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from flows.batches.report import RowResult, State, read_report, write_report
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.whole_files import replacing
from tasks.engine.open_run import open_run
from tests.tasks.toy_stages import ToySettings, copied, numbers, total

pytestmark = pytest.mark.dub

ROWS = 40
CUTS = 20


class PowerCut(BaseException):
    """The machine stops."""


class Disk:
    """Notes what `fsync` brought to the disk; stops the machine at one of the calls."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.calls = 0
        self._stop_at = stop_at
        self._kept: dict[int, tuple[int, int]] = {}
        self._fsync = os.fsync

    def fsync(self, handle: int) -> None:
        if self.calls == self._stop_at:
            raise PowerCut
        self.calls += 1
        self._fsync(handle)
        found = os.fstat(handle)
        self._kept[found.st_ino] = (found.st_size, found.st_mtime_ns)

    def forget(self, folder: Path) -> list[str]:
        """Empty every file that was not brought to the disk as it is now; gives their names."""
        lost = []
        for path in sorted(folder.rglob("*")):
            found = path.stat()
            kept = self._kept.get(found.st_ino) == (found.st_size, found.st_mtime_ns)
            if path.is_file() and found.st_size and not kept:
                os.truncate(path, 0)
                lost.append(path.relative_to(folder).as_posix())
        return lost


@contextmanager
def disk(monkeypatch: pytest.MonkeyPatch, stop_at: int | None = None) -> Iterator[Disk]:
    with monkeypatch.context() as patch:
        watched = Disk(stop_at)
        patch.setattr(os, "fsync", watched.fsync)
        yield watched


def work(folder: Path, given: Path) -> dict[str, str]:
    """Stages of each kind; gives the digest of every file, by name."""
    store = Store(folder)
    with open_run(store, workers=2):
        made = numbers(ROWS, ToySettings())
        artifacts = [made, total(made), copied(Source.of(given))]
        np.testing.assert_array_equal(made.read("value")[:, 0], np.arange(ROWS) * 2)
    assert [artifact.damage() for artifact in artifacts] == [[], [], []]
    return {
        f"{artifact.kind}/{name}": record.digest
        for artifact in artifacts
        for name, record in artifact.manifest.files.items()
    }


@pytest.fixture
def given(tmp_path: Path) -> Path:
    path = tmp_path / "given.bin"
    path.write_bytes(b"content" * 1000)
    return path


def test_what_is_committed_is_on_the_disk(
    tmp_path: Path, given: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with disk(monkeypatch) as watched:
        made = work(tmp_path / "store", given)
    assert watched.forget(tmp_path / "store") == []
    assert work(tmp_path / "store", given) == made


def test_finished_shards_are_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut while the manifest is written loses no shard."""
    with disk(monkeypatch) as watched, open_run(Store(tmp_path / "all")):
        numbers(ROWS, ToySettings())
    store = Store(tmp_path / "store")
    with (
        disk(monkeypatch, watched.calls - 8) as watched,
        pytest.raises(PowerCut),
        open_run(store),
    ):
        numbers(ROWS, ToySettings())
    watched.forget(tmp_path / "store")
    with open_run(store) as run:
        numbers(ROWS, ToySettings())
    assert (run.records[0].hits, run.records[0].computed) == (3, 0)


def test_after_a_power_cut_at_any_moment_the_same_is_made(
    tmp_path: Path, given: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with disk(monkeypatch) as watched:
        whole = work(tmp_path / "whole", given)
    moments = random.Random(0).sample(range(watched.calls), CUTS)
    for moment in moments:
        folder = tmp_path / f"cut {moment}"
        with disk(monkeypatch, moment) as watched, pytest.raises(PowerCut):
            work(folder, given)
        watched.forget(folder)
        assert work(folder, given) == whole, f"the power was cut at call {moment} of fsync"


def test_all_that_was_never_brought_to_the_disk_is_made_again(tmp_path: Path, given: Path) -> None:
    """As by a disk that lies about fsync: every file of the store is emptied."""
    made = work(tmp_path / "store", given)
    for path in (tmp_path / "store").rglob("*"):
        if path.is_file():
            os.truncate(path, 0)
    assert work(tmp_path / "store", given) == made


def test_a_file_that_is_replaced_is_the_old_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.json"
    with disk(monkeypatch) as watched:
        with replacing(path) as beside:
            beside.write_text(json.dumps("old"))
        assert watched.forget(tmp_path) == []
    with disk(monkeypatch, 0), pytest.raises(PowerCut), replacing(path) as beside:
        beside.write_text(json.dumps("new"))
    assert json.loads(path.read_text()) == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_report_of_a_batch_survives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.parquet"
    row = RowResult(1, "out.mp4", State.DONE, key="k")
    with disk(monkeypatch) as watched:
        write_report(path, [row])
        watched.forget(tmp_path)
    assert read_report(path) == {1: row}
