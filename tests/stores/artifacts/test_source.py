"""A source's bytes belong to its key: what changes on the way is never kept under the old one."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stores.artifacts import source as source_module
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.errors import ClusterError, DubflowError, MediaError
from tasks.engine.arguments import encode
from tasks.engine.call import Call
from tasks.engine.device_settings import DeviceSettings
from tasks.engine.open_run import open_run
from tasks.engine.perform import perform_call
from tasks.engine.run import Run
from tests.tasks.toy_stages import copied, first_bytes

ROWS = 64


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    path = tmp_path / "talk.mp4"
    path.write_bytes(b"A" * 100)
    return path


def rewrite(path: Path, content: bytes) -> None:
    """In place, at another time than before."""
    before = path.stat().st_mtime_ns
    path.write_bytes(content)
    os.utime(path, ns=(before + 10**9, before + 10**9))


def replace(path: Path, content: bytes) -> None:
    """By another file of the same size and time."""
    found = path.stat()
    beside = path.with_suffix(".new")
    beside.write_bytes(content)
    os.utime(beside, ns=(found.st_atime_ns, found.st_mtime_ns))
    beside.rename(path)


def remove(path: Path, content: bytes) -> None:
    path.unlink()


@pytest.mark.parametrize("change", [rewrite, replace, remove])
def test_a_change_before_the_stage_is_an_error(
    run: Run, store: Store, talk: Path, change: Callable[[Path, bytes], None]
) -> None:
    given = Source.of(talk)
    change(talk, b"B" * 100)
    with pytest.raises(MediaError, match=r"talk\.mp4"):
        copied(given)
    with pytest.raises(MediaError, match=r"talk\.mp4"):
        first_bytes(given, rows=ROWS)
    assert list(store.committed()) == []


@pytest.mark.parametrize("change", [rewrite, replace])
def test_a_change_while_a_stage_reads_is_an_error(
    run: Run,
    store: Store,
    talk: Path,
    change: Callable[[Path, bytes], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = Source.of(talk)
    body = copied.body

    def changing(source: Source, *, folder: Path) -> Any:
        change(talk, b"B" * 100)
        return body(source, folder=folder)

    with monkeypatch.context() as patch:
        patch.setattr(copied, "body", changing)
        with pytest.raises(MediaError, match=r"talk\.mp4 changed while it was read; run again"):
            copied(given)
    assert list(store.committed()) == []
    change(talk, b"A" * 100)
    assert copied(Source.of(talk)).file("copy.bin").read_bytes() == b"A" * 100


def test_no_shard_of_changed_bytes_counts_as_finished(
    store: Store, talk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = first_bytes.body

    def changing(source: Source, *, rows: int, shards: Any) -> Any:
        for shard in shards:
            if shard.index == 2:
                rewrite(talk, b"B" * 100)
            yield from body(source, rows=rows, shards=[shard])

    with monkeypatch.context() as patch:
        patch.setattr(first_bytes, "body", changing)
        with pytest.raises(MediaError, match="changed while it was read"), open_run(store):
            first_bytes(Source.of(talk), rows=ROWS)
    rewrite(talk, b"A" * 100)
    with open_run(store) as run:
        made = first_bytes(Source.of(talk), rows=ROWS)
    assert set(made.read("byte")) == {ord("A")}
    assert (run.records[0].hits, run.records[0].computed) == (2, 2)


def test_a_worker_that_finds_another_file_makes_nothing(store: Store, talk: Path) -> None:
    given = Source.of(talk)
    call = Call(
        stage=copied.address,
        kind="copied",
        key=copied.key(given),
        store=store.url,
        arguments={"source": encode(given)},
        devices=DeviceSettings(),
        network=False,
    )
    rewrite(talk, b"B" * 100)
    with pytest.raises(ClusterError, match=r"finds other bytes in .*talk\.mp4"):
        perform_call(call)
    talk.unlink()
    with pytest.raises(DubflowError, match=r"talk\.mp4"):
        perform_call(call)
    assert list(store.committed()) == []
    talk.write_bytes(b"A" * 100)
    perform_call(call)
    assert store.get("copied", call.key).file("copy.bin").read_bytes() == b"A" * 100


def test_a_worker_reads_a_file_for_its_key_once(
    store: Store, talk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    file_key = source_module.file_key

    def noted(path: Path) -> str:
        read.append(path)
        return file_key(path)

    monkeypatch.setattr(source_module, "file_key", noted)
    linked = talk.with_name("link.mp4")
    linked.symlink_to(talk)
    assert [Source.known(linked).key for _ in range(3)] == [Source.known(linked).key] * 3
    assert len(read) == 1
    rewrite(talk, b"B" * 100)
    Source.known(linked)
    assert len(read) == 2


def test_a_name_that_leads_elsewhere_is_another_file(
    talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other" / "talk.mp4"
    other.parent.mkdir()
    other.write_bytes(b"B" * 100)
    keys = [Source.of(path).key for path in (talk, other)]
    assert keys[0] != keys[1]
    name, link = Path(talk.name), tmp_path / "link.mp4"
    for folder, key in ((tmp_path, keys[0]), (other.parent, keys[1])):
        monkeypatch.chdir(folder)
        link.unlink(missing_ok=True)
        link.symlink_to(folder / name)
        assert [Source.known(name).key, Source.known(link).key] == [key, key]


def test_a_file_that_is_being_written_is_refused(
    talk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_key = source_module.file_key

    def growing(path: Path) -> str:
        key = file_key(path)
        with path.open("ab") as file:
            file.write(b"more")
        return key

    monkeypatch.setattr(source_module, "file_key", growing)
    with pytest.raises(MediaError, match="changed while it was read"):
        Source.of(talk)
