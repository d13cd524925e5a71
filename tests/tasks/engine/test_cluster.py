"""Stages on Dask workers in processes of their own: routing, bounds, kills, errors."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.runtime.clusters import ClusterSettings, open_cluster
from stores.artifacts.store import Store
from stores.errors import ClusterError, DubflowError, MediaError
from tasks.engine.cluster import Cluster
from tasks.engine.device_settings import DeviceSettings
from tasks.engine.open_run import open_run
from tasks.engine.run import NoProgress, Run
from tests.tasks.toy_stages import ToySettings, failing, fatal, network, numbers, total

pytestmark = [pytest.mark.dub, pytest.mark.long]

ROWS, SHARDS = 320, 20


class Counted(NoProgress):
    """Adds up rows."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()

    def advance(self, stage: str, rows: int) -> None:
        self.rows[stage] += rows


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where toy stages of the workers leave a line for each shard: its index, and the process."""
    return tmp_path_factory.mktemp("toys") / "log"


def opened(log: Path, settings: ClusterSettings) -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("TOY_LOG", str(log))
        patch.setenv("TOY_PROCESS", "1")
        patch.setenv("TOY_SECONDS_FILE", str(log.with_name("seconds")))
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        cluster = stack.enter_context(open_cluster(settings))
        assert cluster is not None
        yield cluster


@pytest.fixture(scope="module")
def pair(log: Path) -> Iterator[Cluster]:
    """Two workers, no GPU."""
    yield from opened(log, ClusterSettings(workers=2, gpus=0))


@pytest.fixture(scope="module")
def mixed(log: Path) -> Iterator[Cluster]:
    """A worker, and another that offers a GPU."""
    yield from opened(log, ClusterSettings(workers=1, gpus=1, in_flight=1))


@pytest.fixture(autouse=True)
def fresh(log: Path) -> None:
    log.unlink(missing_ok=True)
    pace(log, 0.0)


def pace(log: Path, seconds: float) -> None:
    """How long a shard takes from now on."""
    log.with_name("seconds").write_text(str(seconds))


def lines(log: Path) -> list[list[str]]:
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def run_on(cluster: Cluster, store: Store, **options: Any) -> AbstractContextManager[Run]:
    return open_run(store, workers=4, cluster=cluster, **options)


def process_ids(cluster: Cluster) -> dict[str, int]:
    return dict(cluster._client.run(os.getpid))


def test_artifacts_are_those_of_one_process(pair: Cluster, store: Store, tmp_path: Path) -> None:
    seen = Counted()
    with run_on(pair, store, progress=seen) as run:
        artifact = numbers(ROWS, ToySettings())
        summed = total(artifact)
        assert numbers(ROWS, ToySettings()).key == artifact.key
    assert [(r.hits, r.computed) for r in run.records] == [(0, SHARDS), (0, 1), (SHARDS, 0)]
    assert seen.rows == {"numbers": ROWS}
    assert artifact.damage() == []
    with open_run(Store(tmp_path / "other")):
        alone = numbers(ROWS, ToySettings())
        assert total(alone).read("sum") == summed.read("sum")
    assert alone.manifest.files == artifact.manifest.files


def test_both_workers_share_the_ranges(pair: Cluster, store: Store, log: Path) -> None:
    pace(log, 0.02)
    with run_on(pair, store):
        numbers(ROWS, ToySettings())
    assert Counter(int(index) for index, _ in lines(log)) == Counter(range(SHARDS))
    assert len({process for _, process in lines(log)}) == 2


def test_no_more_calls_under_way_than_allowed(
    pair: Cluster, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    under_way: list[int] = []
    submit = pair.submit

    def counted(*args: Any, **kwargs: Any) -> Any:
        under_way.append(sum(pair._under_way.values()))
        return submit(*args, **kwargs)

    monkeypatch.setattr(pair, "submit", counted)
    with open_run(store, workers=SHARDS, cluster=pair):
        numbers(ROWS, ToySettings())
    assert len(under_way) == SHARDS
    assert max(under_way) == 4, "two for each of two workers"
    assert sum(pair._under_way.values()) == 0


def test_the_key_does_not_depend_on_the_device(pair: Cluster, store: Store) -> None:
    with run_on(pair, store, devices=DeviceSettings(device="cpu")):
        first = network(20)
    with run_on(pair, store) as run:
        assert network(20).key == first.key
    assert run.records[0].hits


def test_networks_run_where_a_gpu_is_offered(mixed: Cluster, store: Store, log: Path) -> None:
    processes = process_ids(mixed)
    (offering,) = mixed.group(network=True).slots
    (other,) = mixed.group(network=False).slots
    with run_on(mixed, store, devices=DeviceSettings(device="cuda", batch=3)):
        made = network(ROWS)
    assert {int(process) for _, process in lines(log)} == {processes[offering]}
    assert set(made.read("batch")) == {3}, "the run's devices reach the workers"
    log.unlink()
    with run_on(mixed, store):
        numbers(ROWS, ToySettings())
    assert {int(process) for _, process in lines(log)} == {processes[other]}


def test_a_gpu_that_nobody_offers(pair: Cluster, store: Store) -> None:
    run = run_on(pair, store, devices=DeviceSettings(device="cuda"))
    with pytest.raises(ClusterError, match=r"no worker of tcp://.* offers a GPU"), run:
        pass
    with run_on(pair, store):
        network(20)


@pytest.mark.parametrize("shape", ["pair", "mixed"])
def test_a_killed_worker_costs_its_unfinished_shards(
    shape: str, request: pytest.FixtureRequest, store: Store, log: Path
) -> None:
    cluster: Cluster = request.getfixturevalue(shape)
    pace(log, 0.15)
    seen = Counted()
    with run_on(cluster, store, progress=seen):
        killer = threading.Thread(target=kill_after, args=(log, 4))
        killer.start()
        artifact = numbers(ROWS, ToySettings())
        killer.join()
    counts = Counter(int(index) for index, _ in lines(log))
    assert set(counts) == set(range(SHARDS))
    assert sum(counts.values()) <= SHARDS + 1, "only the shard in flight is computed again"
    assert artifact.damage() == []
    np.testing.assert_array_equal(artifact.read("value")[:, 0], np.arange(ROWS) * 2)
    assert seen.rows == {"numbers": ROWS}


def kill_after(log: Path, shards: int) -> None:
    """`kill -9` the worker that computed the latest of so many shards."""
    while len(lines(log)) < shards:
        time.sleep(0.01)
    os.kill(int(lines(log)[-1][1]), signal.SIGKILL)


def test_a_call_that_kills_its_workers(pair: Cluster, store: Store) -> None:
    died = pytest.raises(ClusterError, match=r"fatal .*: 4 workers died")
    with run_on(pair, store), died:
        fatal(5)


def test_errors_arrive_as_they_were_raised(pair: Cluster, store: Store) -> None:
    with run_on(pair, store):
        with pytest.raises(MediaError, match=r"^frame 7 of talk.mp4 is damaged$"):
            failing("media")
        with pytest.raises(ZeroDivisionError):
            failing("bug")
    assert sum(pair._under_way.values()) == 0


def test_a_stopped_run_ends_soon(pair: Cluster, store: Store, log: Path) -> None:
    pace(log, 0.2)
    start = time.monotonic()
    with run_on(pair, store) as run, pytest.raises(DubflowError, match="stopped"):
        threading.Timer(0.7, run.stop.set).start()
        numbers(ROWS, ToySettings())
    assert time.monotonic() - start < 3
    time.sleep(0.5)
    computed = len(lines(log))
    assert computed < SHARDS
    time.sleep(0.5)
    assert len(lines(log)) == computed, "workers noticed"
    pace(log, 0)
    with run_on(pair, store) as again:
        numbers(ROWS, ToySettings())
    assert again.records[0].hits >= computed - 2


def test_workers_must_see_the_store(
    pair: Cluster, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store.backend, "write", lambda name, data: None)
    with pytest.raises(ClusterError, match="does not see the store"), run_on(pair, store):
        pass


def test_workers_must_have_the_same_software(
    pair: Cluster, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.engine import cluster

    ours = {**cluster.software_versions(), "zarr": "9.9"}
    monkeypatch.setattr(cluster, "software_versions", lambda: ours)
    expected = r"other software on .*: zarr 3\.\S+ \(here 9.9\)"
    with pytest.raises(ClusterError, match=expected), run_on(pair, store):
        pass


def test_many_runs_share_a_cluster(pair: Cluster, tmp_path: Path) -> None:
    stores = [Store(tmp_path / str(number)) for number in range(4)]
    errors: list[BaseException] = []

    def one(store: Store) -> None:
        try:
            with run_on(pair, store):
                total(numbers(ROWS, ToySettings()))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=one, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert all(len(list(store.committed())) == 2 for store in stores)
