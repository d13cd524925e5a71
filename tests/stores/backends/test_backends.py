"""The promises of the store, on a folder and on an S3 server alike."""

import threading
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from stores.artifacts.artifact import Artifact
from stores.artifacts.builder import Derivation
from stores.artifacts.catalog import read_catalog, write_catalog
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.collector import Forget, collect
from stores.errors import DamagedArtifact, StoreError
from stores.runs import RunRecord, record_run, recorded_runs
from tasks.engine.open_run import open_run
from tests.tasks.toy_stages import NUMBERS, ToySettings, copied, numbers, total

ROWS = 40


@pytest.fixture
def any_store(any_url: str) -> Store:
    return Store(any_url)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a line per computed shard."""
    path = tmp_path / "log.txt"
    path.touch()
    monkeypatch.setenv("TOY_LOG", str(path))
    return path


def stored(artifact: Artifact, name: str) -> str:
    return f"{artifact.kind}/{artifact.key[:2]}/{artifact.key}/{name}"


def test_made_once_and_found_again(any_store: Store, log: Path) -> None:
    for _ in range(2):
        with open_run(any_store, workers=2) as run:
            made = numbers(ROWS, ToySettings())
            summed = total(made)
    assert [record.computed for record in run.records] == [0, 0]
    assert sorted(log.read_text().split()) == ["0", "1", "2"]
    found = Store(any_store.url).get("numbers", made.key)
    np.testing.assert_array_equal(found.read("value")[:, 0], np.arange(ROWS) * 2)
    np.testing.assert_array_equal(found.read_ragged("bytes", 2), np.full(3, 2))
    assert summed.read("sum")[0] == 3 * 2 * sum(range(ROWS))
    assert found.damage() == summed.damage() == []
    assert set(any_store.committed()) == {("numbers", made.key), ("total", summed.key)}
    assert any_store.match(made.key[:8]).key == made.key
    assert any_store.unfinished() == []


def test_all_backends_store_the_same_bytes(s3_url: str, tmp_path: Path) -> None:
    manifests = []
    for url in (s3_url, str(tmp_path / "store")):
        with open_run(Store(url)):
            manifests.append(numbers(ROWS, ToySettings()).manifest)
    assert manifests[0].files == manifests[1].files


def test_a_plain_file_comes_back(any_store: Store, tmp_path: Path) -> None:
    content = np.random.default_rng(0).bytes(9 << 20)
    (tmp_path / "given.bin").write_bytes(content)
    with open_run(any_store):
        artifact = copied(Source.of(tmp_path / "given.bin"))
    found = Store(any_store.url).get("copied", artifact.key)
    assert found.file("copy.bin").read_bytes() == content
    found.copy_file("copy.bin", tmp_path / "out.bin")
    assert (tmp_path / "out.bin").read_bytes() == content
    any_store.backend.write(stored(artifact, "copy.bin"), content[:-1] + b"?")
    with pytest.raises(DamagedArtifact, match=r"copy\.bin has other bytes"):
        found.copy_file("copy.bin", tmp_path / "out.bin")
    assert found.damage() == ["copy.bin has other bytes than were committed"]


@pytest.mark.parametrize("harm", ["missing", "emptied", "cut", "flipped"])
def test_damage_is_found(any_store: Store, harm: str) -> None:
    with open_run(any_store):
        artifact = numbers(ROWS, ToySettings())
        opened = any_store.get("numbers", artifact.key)
        opened.read("value", 0, 1)
        name = stored(artifact, "value/c/1/0")
        content = bytearray(any_store.backend.read(name))
        content[3] ^= 1
        if harm == "missing":
            any_store.backend.delete(name)
        else:
            any_store.backend.write(
                name, {"emptied": b"", "cut": bytes(content[:40]), "flipped": bytes(content)}[harm]
            )
        if harm == "flipped":
            assert any_store.get("numbers", artifact.key).damage()
        else:
            with pytest.raises(DamagedArtifact, match=r"value/c/1/0 .*verify --remove"):
                any_store.get("numbers", artifact.key)
        with pytest.raises(DamagedArtifact):
            opened.read("value")  # zarr 3.1 takes missing and emptied chunks for zeros
        if harm == "flipped":  # of the right size, so that nobody sees it before it is read
            any_store.remove("numbers", artifact.key)
        assert numbers(ROWS, ToySettings()).damage() == []


def test_no_manifest_no_artifact(any_store: Store) -> None:
    with open_run(any_store):
        artifact = numbers(ROWS, ToySettings())
        any_store.backend.delete(stored(artifact, "manifest.json"))
        assert any_store.find("numbers", artifact.key) is None
        assert list(any_store.committed()) == []
        assert numbers(ROWS, ToySettings()).damage() == []


def test_the_first_answer_counts(any_store: Store) -> None:
    """For all processes, until the artifact is there; the next artifact is asked anew."""
    key = numbers.key(ROWS, ToySettings())
    builders = [
        any_store.builder(Derivation(NUMBERS, key, 1, {}, {}), {"frame": ROWS}) for _ in range(3)
    ]

    def overtaken() -> str:
        assert builders[1].settled("precision", lambda: "half") == "half"
        return "float32"

    assert builders[0].settled("precision", overtaken) == "half"
    assert builders[2].settled("precision", lambda: "float32") == "half"
    assert builders[2].finished() == set()
    with open_run(any_store):
        assert numbers(ROWS, ToySettings()).damage() == []
    assert any_store.unfinished() == []


def test_finished_shards_are_taken_up(any_store: Store, log: Path) -> None:
    with open_run(any_store):
        key = numbers.key(ROWS, ToySettings())
        begin(any_store, key, shards=2)
        assert any_store.find("numbers", key) is None
        artifact = numbers(ROWS, ToySettings())
    assert log.read_text().split() == ["2"]
    assert artifact.damage() == []
    np.testing.assert_array_equal(artifact.read("value")[:, 0], np.arange(ROWS) * 2)


def test_a_marked_shard_that_is_cut_is_computed_again(any_store: Store, log: Path) -> None:
    with open_run(any_store):
        key = numbers.key(ROWS, ToySettings())
        begin(any_store, key, shards=3)
        (prefix,) = [p for p in any_store.unfinished() if not p.endswith(".done")]
        any_store.backend.write(f"{prefix}/value/c/1/0", b"cut")
        artifact = numbers(ROWS, ToySettings())
    assert log.read_text().split() == ["1"]
    assert artifact.damage() == []


def begin(store: Store, key: str, *, shards: int) -> None:
    """What a builder that was killed leaves behind."""
    builder = store.builder(Derivation(NUMBERS, key, 1, {}, {}), {"frame": ROWS})
    builder.prepare()
    for shard in range(shards):
        rows = np.arange(shard * 16, min(shard * 16 + 16, ROWS), dtype=np.float32)
        value = np.repeat(rows[:, None], 3, axis=1) * np.float32(2)
        builder.write(
            shard, {"value": value, "bytes": np.full(shard + 1, shard, np.uint8)}, seconds=0.0
        )


def test_racing_threads_compute_once(any_store: Store, log: Path) -> None:
    keys = []

    def work() -> None:
        with open_run(Store(any_store.url)):
            keys.append(numbers(ROWS, ToySettings()).key)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 4
    assert sorted(log.read_text().split()) == ["0", "1", "2"]


def test_collector_keeps_what_runs_refer_to(any_store: Store) -> None:
    with open_run(any_store):
        source = numbers(20, ToySettings())
        kept, loose = total(source), numbers(20, ToySettings(factor=5))
        begin(any_store, numbers.key(ROWS, ToySettings(factor=7)), shards=1)
        with pytest.raises(StoreError, match="a run is working on the store"):
            collect(any_store, dry_run=False)
    record_run(any_store, RunRecord("dub", {}, [("total", kept.key)], None))
    assert [run.command for run in recorded_runs(any_store)] == ["dub"]
    planned = collect(any_store, dry_run=True)
    assert planned.artifacts == [("numbers", loose.key)]
    assert planned.leftovers
    assert collect(any_store, dry_run=False) == planned
    assert set(any_store.committed()) == {("total", kept.key), ("numbers", source.key)}
    assert any_store.unfinished() == []
    everything = Forget(older_than=timedelta(seconds=-1))
    assert len(collect(any_store, forget=everything, dry_run=False).runs) == 1
    assert list(any_store.committed()) == []
    assert all(name.endswith(".lock") for name in any_store.backend.names(""))


def test_runs_wait_for_the_collector(any_store: Store) -> None:
    begun = threading.Event()

    def work() -> None:
        with open_run(Store(any_store.url)):
            begun.set()

    with any_store.backend.unused() as unused:
        assert unused()
        thread = threading.Thread(target=work)
        thread.start()
        assert not begun.wait(1.0)
    assert begun.wait(10.0)
    thread.join()


def test_catalog(any_store: Store) -> None:
    with open_run(any_store):
        first = numbers(20, ToySettings())
        total(first)
    assert write_catalog(any_store) == read_catalog(any_store)
    assert {row["kind"] for row in read_catalog(any_store).to_pylist()} == {"numbers", "total"}
    assert any_store.backend.size("catalog.parquet")
