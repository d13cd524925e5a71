"""What the store promises: damage is found, a full disk explained, nothing in use collected."""

import errno
import io
import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from stores.artifacts.artifact import Artifact
from stores.artifacts.catalog import write_catalog
from stores.artifacts.keys import canonical_json, content_key
from stores.artifacts.store import Store
from stores.collector import Forget, collect
from stores.errors import DamagedArtifact, StoreError, StoreFull
from stores.runs import RunRecord, record_run
from tasks.engine.open_run import open_run
from tasks.engine.run import Run
from tests.tasks.toy_stages import ToySettings, numbers, total


def files_of(store: Store, artifact: Artifact) -> list[Path]:
    folder = artifact.file("")
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def test_keys_are_canonical() -> None:
    assert content_key({"a": 1, "b": [1.5, None]}) == content_key({"b": [1.5, None], "a": 1})
    assert content_key({"a": 1}) != content_key({"a": 1.0})
    for unstable in ({1, 2}, Path("x"), np.float32(1)):
        with pytest.raises(TypeError):
            canonical_json({"x": unstable})
    with pytest.raises(ValueError):
        canonical_json(float("nan"))


def test_a_flipped_byte_anywhere_is_found(run: Run, store: Store) -> None:
    artifact = numbers(40, ToySettings())
    rng = np.random.default_rng(0)
    for path in files_of(store, artifact):
        if path.name == "manifest.json":
            continue
        original = path.read_bytes()
        for position in rng.integers(0, len(original), 5):
            damaged = bytearray(original)
            damaged[position] ^= 1 << int(rng.integers(8))
            path.write_bytes(damaged)
            name = path.relative_to(artifact.file("")).as_posix()
            assert artifact.damage() == [f"{name} has other bytes than were committed"]
        path.write_bytes(original)
    assert artifact.damage() == []


def test_damaged_chunks_are_never_read(run: Run, store: Store) -> None:
    artifact = numbers(40, ToySettings())
    shard = artifact.file("value/c/1/0")
    original = shard.read_bytes()
    for position in range(0, len(original), 7):
        damaged = bytearray(original)
        damaged[position] ^= 0x10
        shard.write_bytes(damaged)
        try:
            values = store.get("numbers", artifact.key).read("value")
        except DamagedArtifact as error:
            assert artifact.key in str(error)
        else:  # the flipped bit lies in bytes that hold no data of these rows
            np.testing.assert_array_equal(values[:, 0], np.arange(40) * 2)


@pytest.mark.parametrize("harm", ["missing", "emptied", "cut"])
def test_a_file_of_another_size_is_refused_at_opening(run: Run, store: Store, harm: str) -> None:
    artifact = numbers(40, ToySettings())
    shard = artifact.file("value/c/0/0")
    if harm == "missing":
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes()[:10] if harm == "cut" else b"")
    with pytest.raises(DamagedArtifact, match=r"value/c/0/0 .*verify --remove"):
        store.get("numbers", artifact.key)
    assert numbers(40, ToySettings()).damage() == []
    assert run.records[-1].computed == 3
    (note,) = run.notes
    assert artifact.key[:12] in note
    assert "value/c/0/0" in note


def test_a_damaged_manifest_is_made_again(run: Run, store: Store) -> None:
    artifact = numbers(40, ToySettings())
    for content in (b"", b"{", b"[]", b"\xff"):
        artifact.file("manifest.json").write_bytes(content)
        assert numbers(40, ToySettings()).damage() == []
    assert len(run.notes) == 4


def test_what_a_newer_version_made_stays(run: Run, store: Store) -> None:
    artifact = numbers(40, ToySettings())
    path = artifact.file("manifest.json")
    newer = json.loads(path.read_text()) | {"schema_version": 99, "unheard_of": 1}
    path.write_text(json.dumps(newer))
    with pytest.raises(StoreError, match="newer version of Dubflow") as caught:
        numbers(40, ToySettings())
    assert not isinstance(caught.value, DamagedArtifact)
    assert json.loads(path.read_text()) == newer


def test_a_chunk_found_damaged_in_a_run_is_taken_out_and_made_again(store: Store) -> None:
    with open_run(store):
        artifact = numbers(40, ToySettings())
    good = artifact.file("value/c/1/0").read_bytes()
    artifact.file("value/c/1/0").write_bytes(good[:9] + bytes([good[9] ^ 1]) + good[10:])
    with (
        pytest.raises(DamagedArtifact, match="the same command makes it again") as caught,
        open_run(store),
    ):
        total(numbers(40, ToySettings()))
    assert "verify" not in str(caught.value)
    with open_run(store) as run:
        assert total(numbers(40, ToySettings())).read("sum")[0] == 3 * 2 * sum(range(40))
    assert [record.computed for record in run.records] == [3, 1]


def test_an_artifact_removed_under_a_reader_is_never_read_as_zeros(run: Run, store: Store) -> None:
    artifact = numbers(40, ToySettings())
    opened = store.get("numbers", artifact.key)
    opened.read("value", 0, 1)
    store.remove("numbers", artifact.key)
    with pytest.raises(DamagedArtifact, match="is missing"):
        opened.read("value", 20, 40)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("file", ["manifest.json", "zarr.json", "value/zarr.json", "value/c/1/0"])
def test_what_cannot_be_read_is_not_called_damage(
    run: Run, store: Store, monkeypatch: pytest.MonkeyPatch, code: int, file: str
) -> None:
    artifact = numbers(40, ToySettings())
    path = artifact.file(file)
    opened = io.open

    def refuse(name: object, *args: Any, **kwargs: Any) -> Any:
        if str(name) == str(path):
            raise OSError(code, os.strerror(code), str(name))
        return opened(name, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(io, "open", refuse)
        with pytest.raises(StoreError, match=os.strerror(code)) as caught:
            store.get("numbers", artifact.key).read("value")
        assert not isinstance(caught.value, DamagedArtifact)
        assert str(path) in str(caught.value)
        assert "verify" not in str(caught.value)
    assert artifact.damage() == []


def test_a_wrong_name_is_not_called_damage(run: Run) -> None:
    with pytest.raises(KeyError):
        numbers(40, ToySettings()).read("colour")


def test_no_manifest_no_artifact(run: Run, store: Store) -> None:
    artifact = numbers(40, ToySettings())
    artifact.file("manifest.json").unlink()
    assert store.find("numbers", artifact.key) is None
    assert list(store.committed()) == []


def test_full_disk_is_explained_and_the_store_stays_usable(
    run: Run, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreFull, match="finished ranges are kept"):
        numbers(40, ToySettings())
    monkeypatch.setattr(os, "fsync", fsync)
    artifact = numbers(40, ToySettings())
    assert artifact.damage() == []


def test_a_block_of_zeros_is_data(run: Run) -> None:
    artifact = numbers(40, ToySettings(factor=0))
    assert artifact.damage() == []
    assert not artifact.read("value").any()


def test_collector_waits_for_running_work(run: Run, store: Store) -> None:
    with pytest.raises(StoreError, match="working on the store"):
        collect(store, dry_run=False)


def test_collector_follows_inputs(store: Store) -> None:
    with open_run(store):
        source = numbers(20, ToySettings())
        kept, loose = total(source), numbers(20, ToySettings(factor=5))
    record_run(store, RunRecord("dub", {}, [("total", kept.key)], None))
    planned = collect(store, dry_run=True)
    assert planned.artifacts == [("numbers", loose.key)]
    assert store.find("numbers", loose.key) is not None
    done = collect(store, dry_run=False)
    assert done == planned
    assert set(store.committed()) == {("total", kept.key), ("numbers", source.key)}
    everything = collect(store, forget=Forget(older_than=timedelta(seconds=-1)), dry_run=False)
    assert len(everything.runs) == 1
    assert list(store.committed()) == []


def test_records_of_a_newer_version_are_read(store: Store) -> None:
    with open_run(store):
        kept, loose = numbers(20, ToySettings()), numbers(20, ToySettings(factor=5))
    record = RunRecord("dub", {}, [("numbers", kept.key)], None)
    newer = json.dumps(record.__dict__ | {"unheard_of": {"a": 1}})
    store.backend.write("runs/newer.json", newer.encode())
    assert collect(store, dry_run=False).artifacts == [("numbers", loose.key)]
    assert list(store.committed()) == [("numbers", kept.key)]
    store.backend.write("runs/broken.json", b"{")
    with pytest.raises(StoreError, match=r"runs/broken\.json is no record of a run"):
        collect(store, dry_run=False)
    assert list(store.committed()) == [("numbers", kept.key)]


def test_match_wants_one_artifact(run: Run, store: Store) -> None:
    artifact = numbers(20, ToySettings())
    assert store.match(artifact.key[:6]).key == artifact.key
    assert store.match(f"numbers/{artifact.key[:6]}").key == artifact.key
    with pytest.raises(StoreError, match="no artifact begins"):
        store.match("total/")
    total(artifact)
    with pytest.raises(StoreError, match="2 artifacts begin"):
        store.match("")


def test_catalog_is_a_table_of_all_artifacts(run: Run, store: Store) -> None:
    first = numbers(20, ToySettings())
    total(first)
    write_catalog(store)
    rows = pq.read_table(store.backend.local_path("catalog.parquet")).to_pylist()
    assert {row["kind"] for row in rows} == {"numbers", "total"}
    (row,) = (row for row in rows if row["kind"] == "total")
    assert row["inputs"] == [f"numbers/{first.key}"]
    assert row["stored_bytes"] > 0


def test_unknown_scheme_is_refused() -> None:
    with pytest.raises(StoreError, match="gs://bucket"):
        Store("gs://bucket")
