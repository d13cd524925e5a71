"""What only an object store can go through: leases that expire, a server that is away."""

import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import pytest

from stores import collector
from stores.artifacts.artifact import Artifact
from stores.artifacts.builder import Derivation
from stores.artifacts.store import Store
from stores.backends import bucket, leases
from stores.backends.backend import record_of
from stores.backends.bucket import Bucket, open_bucket
from stores.backends.downloads import Downloads
from stores.backends.manifest import FileRecord
from stores.collector import collect
from stores.errors import DamagedArtifact, StoreError, StoreFull, StoreUnreachable
from tasks.engine.open_run import open_run
from tests.stores.backends.test_backends import ROWS, begin, stored
from tests.stores.object_server import Wire, environment
from tests.tasks.toy_stages import NUMBERS, ToySettings, numbers, total

pytestmark = [pytest.mark.dub, pytest.mark.long]

CHILD = """
import sys
from stores.backends import leases
from stores.artifacts.store import Store
from tasks.engine.open_run import open_run
from tests.tasks.toy_stages import ToySettings, numbers

leases.BEAT_SECONDS, leases.DEAD_SECONDS = 0.3, 2.0
with open_run(Store(sys.argv[1])):
    numbers(40, ToySettings())
"""


@pytest.fixture
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.3)
    monkeypatch.setattr(leases, "DEAD_SECONDS", 2.0)


def start(url: str, log: Path, *, seconds: float) -> "subprocess.Popen[bytes]":
    """Another process that makes the numbers, slowly."""
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, url],
        env=os.environ | {"TOY_LOG": str(log), "TOY_SECONDS": str(seconds)},
    )


def await_that(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def lines(log: Path) -> list[str]:
    return log.read_text().split() if log.exists() else []


@pytest.mark.usefixtures("short_leases")
def test_a_killed_builder_is_succeeded(
    s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    child = start(s3_url, log, seconds=1.0)
    await_that(lambda: len(lines(log)) >= 2)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert lines(log) == ["0", "1"]
    monkeypatch.setenv("TOY_LOG", str(log))
    store = Store(s3_url)
    markers = store.backend.names(f"staging/numbers-{numbers.key(ROWS, ToySettings())}.done")
    begun = time.monotonic()
    with open_run(store) as run:
        artifact = numbers(ROWS, ToySettings())
    assert time.monotonic() - begun < 2 * leases.DEAD_SECONDS + 3
    assert run.records[0].hits == len(markers) >= 1
    assert len(lines(log)) == 2 + 3 - len(markers)
    assert artifact.damage() == []
    assert collect(store, dry_run=False).artifacts == [("numbers", artifact.key)]
    assert store.backend.unfinished(["numbers"]) == []


def test_racing_processes_compute_once(s3_url: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    children = [start(s3_url, log, seconds=0.2) for _ in range(2)]
    assert [child.wait() for child in children] == [0, 0]
    assert lines(log) == ["0", "1", "2"]


@pytest.mark.usefixtures("short_leases")
def test_the_living_keep_their_lease(s3_url: str) -> None:
    first, second = open_bucket(s3_url), open_bucket(s3_url + "/")
    assert first is second
    other = Bucket(first.url, first.objects, first.objects)  # as another process sees it
    order = []

    def wait_for_it() -> None:
        with leases.exclusive(other, "staging/key.lock"):
            order.append("second")

    with leases.exclusive(first, "staging/key.lock"):
        thread = threading.Thread(target=wait_for_it)
        thread.start()
        time.sleep(leases.DEAD_SECONDS + 1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    with leases.in_use(other), leases.unused(first) as unused:
        assert not unused()
    with leases.unused(first) as unused:
        assert unused()


@pytest.fixture(params=["memory", "s3"])
def any_bucket(request: pytest.FixtureRequest) -> Bucket:
    """An empty one of each kind."""
    if request.param == "memory":
        return open_bucket(f"memory://{secrets.token_hex(4)}")
    return open_bucket(request.getfixturevalue("s3_url"))


@pytest.mark.parametrize("when", ["before", "while"])
def test_a_holder_that_stalled_leaves_its_successor_alone(
    any_bucket: Bucket, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was taken for dead before it gave its lease back, or in the middle of that."""
    name, successor = "staging/key.lock", b'{"session": "successor"}'
    stalled = Bucket(any_bucket.url, any_bucket.objects, any_bucket.objects)

    def succeed() -> None:
        found = any_bucket.get_tagged(name)
        assert found is not None and found[0] != successor
        assert any_bucket.swap(name, successor, found[1])

    def late(*given: Any) -> Any:
        monkeypatch.undo()
        found = obstore.get(*given)
        succeed()
        return found

    with leases.exclusive(stalled, name):
        if when == "before":
            succeed()
        else:
            monkeypatch.setattr(bucket.obstore, "get", late)
    assert any_bucket.get(name) == successor


def test_what_is_given_back_is_taken_at_once(
    any_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases.time, "sleep", lambda seconds: pytest.fail("it waits"))
    other = Bucket(any_bucket.url, any_bucket.objects, any_bucket.objects)
    for each in (any_bucket, other, any_bucket):
        with leases.exclusive(each, "staging/key.lock"):
            pass
        with leases.unused(each) as unused:
            assert unused()
        with leases.in_use(each):
            pass


@pytest.mark.usefixtures("short_leases")
def test_collector_waits_for_the_dead_only(s3_url: str) -> None:
    store = Store(s3_url)
    store.backend.write("in-use/elsewhere-1.json", b"{}")
    begun = time.monotonic()
    with store.backend.unused() as unused:
        assert unused()
    assert time.monotonic() - begun >= leases.DEAD_SECONDS
    assert store.backend.names("in-use") == []


def test_a_collector_that_stood_still_takes_nothing_away(
    s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others may have taken it for dead and begun to work; it can't know."""
    store = Store(s3_url)
    artifact, now = _made(store), leases._now
    live = collector._live

    def slow(*given: Any) -> Any:
        monkeypatch.setattr(leases, "_now", lambda: now() + leases.DEAD_SECONDS)
        return live(*given)

    monkeypatch.setattr(collector, "_live", slow)
    with pytest.raises(StoreError, match="stood still for so long"):
        collect(store, dry_run=False)
    assert store.get("numbers", artifact.key).damage() == []
    monkeypatch.setattr(collector, "_live", live)
    assert collect(store, dry_run=False).artifacts == [("numbers", artifact.key)]


def test_a_late_builder_touches_nothing(s3_url: str) -> None:
    """It was taken for dead, and wakes after its successor has committed."""
    store = Store(s3_url)
    with open_run(store):
        artifact = numbers(ROWS, ToySettings())
    before = store.backend.names(f"numbers/{artifact.key[:2]}/{artifact.key}")
    late = store.builder(_recipe(artifact), {"frame": ROWS})
    late.prepare()
    late.write(0, {"value": np.ones((16, 3), np.float32), "bytes": np.ones(9, np.uint8)}, seconds=1)
    late.discard()
    assert late.commit({}, seconds=0.0).manifest == artifact.manifest
    assert artifact.damage() == []
    assert store.backend.names(f"numbers/{artifact.key[:2]}/{artifact.key}") == before


def test_what_another_took_away_is_missed(any_bucket: Bucket) -> None:
    """A builder that wakes late and begins anew makes no holes in what its successor commits."""
    store = Store(any_bucket.url)
    given = _made(store)
    key = total.key(given)
    made_of = Derivation(total.schema, key, 1, {"numbers": ("numbers", given.key)}, {})
    successor, late = (store.builder(made_of, {"one": 1}) for _ in range(2))
    successor.prepare()
    successor.write_whole({"sum": np.ones(1)})
    late.discard()
    late.prepare()
    with pytest.raises(StoreError, match=r"lost sum/c/0 while it was made: run the same"):
        successor.commit({}, seconds=0.0)
    assert store.find("total", key) is None


def _made(store: Store) -> Artifact:
    with open_run(store):
        return numbers(ROWS, ToySettings())


def test_only_the_first_manifest_counts(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(s3_url)
    with open_run(store):
        artifact = numbers(ROWS, ToySettings())
    late = store.builder(_recipe(artifact), {"frame": ROWS})
    monkeypatch.setattr(late, "_is_late", lambda: False)
    assert late.commit({"other": 1}, seconds=0.0).manifest == artifact.manifest


def _recipe(artifact: Artifact) -> Derivation:
    return Derivation(NUMBERS, artifact.key, 1, {}, {})


def test_a_server_that_is_cut_off_for_a_while_costs_nothing(
    s3_url: str, s3_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = Wire(s3_port)
    monkeypatch.setenv("AWS_ENDPOINT_URL", environment(wire.port)["AWS_ENDPOINT_URL"])
    monkeypatch.setattr(bucket, "_RETRY_SECONDS", 0.5)
    monkeypatch.setenv("TOY_SECONDS", "0.2")
    log = tmp_path / "log"
    monkeypatch.setenv("TOY_LOG", str(log))

    def cut() -> None:
        await_that(lambda: bool(lines(log)))
        wire.cut(3.0)

    cutting = threading.Thread(target=cut)
    cutting.start()
    with open_run(Store(s3_url)):
        artifact = numbers(10 * 16, ToySettings())
    cutting.join()
    assert lines(log) == [str(shard) for shard in range(10)]
    assert artifact.damage() == []
    wire.down()


def test_a_server_that_stays_away_is_one_clear_line(
    s3_url: str, s3_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = Wire(s3_port)
    monkeypatch.setenv("AWS_ENDPOINT_URL", environment(wire.port)["AWS_ENDPOINT_URL"])
    monkeypatch.setattr(bucket, "_RETRY_SECONDS", 0.5)
    store = Store(s3_url)
    with open_run(store):
        artifact = numbers(ROWS, ToySettings())
        monkeypatch.setattr(bucket, "PATIENCE_SECONDS", 1.0)
        wire.down()
        for ask in (lambda: artifact.read("value"), lambda: store.find("numbers", artifact.key)):
            with pytest.raises(StoreUnreachable, match="does not answer") as caught:
                ask()
            assert "\n" not in str(caught.value)
            assert not isinstance(caught.value, DamagedArtifact)


def test_what_is_cut_after_opening_is_damage(s3_url: str) -> None:
    store = Store(s3_url)
    with open_run(store):
        artifact = numbers(ROWS, ToySettings())
        store.backend.write(stored(artifact, "value/c/1/0"), b"x" * 10)
        with pytest.raises(DamagedArtifact):
            artifact.read("value")


def test_what_can_be_wrong_with_the_address(
    s3_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match="names no bucket"):
        Store("s3://")
    missing = Store("s3://no-such-bucket/x")
    for ask in (
        lambda: list(missing.committed()),
        lambda: missing.find("numbers", "0" * 32),
        lambda: missing.backend.write("x", b""),
    ):
        with pytest.raises(StoreError, match=r"bucket .* does not exist"):
            ask()
    monkeypatch.setattr(bucket, "FIRST_PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(bucket, "_RETRY_SECONDS", 0.5)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StoreUnreachable, match="does not answer"):
        list(Store(s3_url).committed())
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StoreError, match="without AWS_SECRET_ACCESS_KEY"):
        Store(s3_url)


def test_a_server_without_conditions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bucket, "create", lambda self, name, data: True)
    with (
        pytest.raises(StoreError, match="ignores If-None-Match"),
        Store("memory://without-conditions").backend.in_use(),
    ):
        pass


def test_an_answer_that_was_lost_counts(s3_url: str) -> None:
    objects = open_bucket(s3_url)
    assert objects.create("manifest.json", b"mine")
    assert objects.create("manifest.json", b"mine")
    assert not objects.create("manifest.json", b"another's")
    tagged = objects.get_tagged("manifest.json")
    assert tagged is not None
    assert objects.swap("manifest.json", b"new", tagged[1])
    assert objects.swap("manifest.json", b"new", tagged[1])
    assert not objects.swap("manifest.json", b"newer", tagged[1])
    assert not objects.swap("missing.json", b"newer", tagged[1])


def test_a_store_in_memory_serves_one_process() -> None:
    store = Store("memory://trial")
    with open_run(store):
        key = numbers.key(ROWS, ToySettings())
        begin(store, key, shards=1)
        assert numbers(ROWS, ToySettings()).damage() == []
    assert store.unfinished() == []


def test_copies_are_checked_shared_and_bounded(tmp_path: Path) -> None:
    downloads = Downloads(tmp_path, limit_bytes=25)
    contents = [bytes([number]) * 10 for number in range(3)]
    paths = []
    for age, content in zip((3000, 2000, 1000), contents, strict=True):
        path = downloads.fetch("a/x.bin", _record(content), iter([content[:4], content[4:]]))
        assert path.read_bytes() == content
        assert downloads.fetch("a/x.bin", _record(content), _unread()) == path
        os.utime(path, (time.time() - age,) * 2)
        paths.append(path)
    assert [path.exists() for path in paths] == [False, True, True]
    paths[1].write_bytes(b"y" * 10)
    again = Downloads(tmp_path).fetch("a/x.bin", _record(contents[1]), iter([contents[1]]))
    assert again.read_bytes() == contents[1]
    with pytest.raises(ValueError, match=r"a/x\.bin has other bytes"):
        downloads.fetch("a/x.bin", _record(b"wanted"), iter([b"other!"]))
    assert not list(tmp_path.rglob("*.part"))


def test_a_quota_is_a_full_store() -> None:
    text = "Server returned non-2xx status code: 507 Insufficient Storage: <Error></Error>"
    assert isinstance(bucket._refusal(text, "s3://x"), StoreFull)


def _record(content: bytes) -> FileRecord:
    return record_of([content])


def _unread() -> Iterator[bytes]:
    raise AssertionError("the copy is there already")
    yield b""
