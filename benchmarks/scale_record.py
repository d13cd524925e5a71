"""Real dubs and preparations, and work that is none, watched: what each costs whom."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

import flows.batch
import flows.dub
from benchmarks.scale_parts import (
    CountingProxy,
    Machines,
    count_messages,
    machines,
    object_server,
    processor_seconds,
    read_messages,
)
from benchmarks.scale_toys import chain, copy_row, nothing
from flows.batch import batch
from flows.batches.report import RowResult, State, write_report
from flows.batches.settings import BatchSettings
from flows.dub import dub
from flows.preparation.settings import PrepareSettings
from flows.prepare import prepare
from flows.runtime.clusters import open_cluster
from flows.settings import DubSettings
from stores.artifacts.builder import Builder
from stores.artifacts.catalog import write_catalog
from stores.artifacts.store import Store
from tasks.engine.cluster import Cluster, _Workers


@dataclass(frozen=True)
class Recorded:
    """A run on an empty store.

    Attributes:
        wall: Seconds.
        stages: (name, ranges, seconds of all of them), in order.
        writing: Seconds of threads that wrote arrays into the store.
    """

    wall: float
    stages: tuple[tuple[str, int, float], ...]
    writing: float = 0.0

    @property
    def ranges(self) -> int:
        """Of all stages."""
        return sum(ranges for _, ranges, _ in self.stages)


def recorded_dub(
    video: Path, sound: Path, folder: Path, *, workers: int, store: str = "", **more: Any
) -> Recorded:
    """Dub once; `store` is an empty folder if it is not given."""
    folder.mkdir()
    settings = DubSettings.model_validate(
        {
            "video": video,
            "audio": sound,
            "output": folder / "out.mp4",
            "store": store or str(folder / "store"),
            "workers": workers,
        }
    )
    written: list[float] = []
    write = Builder.write

    def timed(self: Builder, *args: Any, **kwargs: Any) -> None:
        begun = time.perf_counter()
        write(self, *args, **kwargs)
        written.append(time.perf_counter() - begun)

    with mock.patch.object(Builder, "write", timed):
        start = time.perf_counter()
        report = dub(settings, **more)
        wall = time.perf_counter() - start
    stages = tuple((s.name, s.computed, s.seconds) for s in report.stages if s.computed)
    return Recorded(wall, stages, sum(written))


def recorded_preparation(video: Path, folder: Path, *, store: str = "", **more: Any) -> Recorded:
    """Prepare a data set of one clip."""
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "p00.mp4").symlink_to(video)
    settings = PrepareSettings.model_validate(
        {
            "dataset": "folder",
            "data": folder / "data",
            "output": folder / "index.parquet",
            "store": store or str(folder / "store"),
            "workers": 1,
        }
    )
    report = prepare(settings, **more)
    if report.failures:
        raise SystemExit(f"{video} can't be prepared: {report.failures[0].reason}")
    stages = tuple((s.name, s.computed, s.seconds) for s in report.stages if s.computed)
    return Recorded(report.wall_seconds, stages)


def manifest(folder: Path, rows: int, given: Mapping[str, Any]) -> BatchSettings:
    """A batch of alike rows, one at a time; {number} in a cell is the row's."""
    folder.mkdir()
    path = folder / "manifest.yaml"
    cells = [
        {name: value(number) if callable(value) else value for name, value in given.items()}
        for number in range(rows)
    ]
    path.write_text(
        yaml.safe_dump([{**row, "output": f"{number}.mp4"} for number, row in enumerate(cells)])
    )
    return BatchSettings.model_validate(
        {"manifest": path, "store": str(folder / "store"), "rows": 1}
    )


@dataclass(frozen=True)
class Growth:
    """What a row of a batch costs for each row that is done already.

    Attributes:
        catalogs: How often a row writes the catalog of all artifacts.
        reports: How often a row writes the report of all rows, where many end in a second.
        per_artifact: Seconds, of writing the catalog.
        per_row: Seconds, of writing the report.
    """

    catalogs: float
    reports: float
    per_artifact: float
    per_row: float

    def seconds(self, artifacts: int) -> float:
        """For each row done, with so many artifacts of its own."""
        return self.catalogs * artifacts * self.per_artifact + self.reports * self.per_row


def recorded_growth(video: Path, sound: Path, folder: Path) -> Growth:
    """Small batches, and how often they write what is as long as all that is done."""
    rows, quick_rows = 4, 40
    given = {
        "video": str(video),
        "audio": str(sound),
        "sync.mode": "cut_off",
        "sync.end_seconds": lambda number: 1.0 + 0.2 * number,
    }
    settings = manifest(folder, rows, given)
    with mock.patch.object(flows.dub, "write_catalog", wraps=write_catalog) as catalogs:
        done = batch(settings)
    quick = manifest(folder / "quick", quick_rows, {"video": str(video), "audio": str(sound)})
    with (
        mock.patch.object(flows.batch, "dub", copy_row),
        mock.patch.object(flows.batch, "write_report", wraps=write_report) as reports,
    ):
        batch(quick)
    if done.count(State.DONE) != rows:
        raise SystemExit(f"a row failed: {[row.reason for row in done.rows]}")
    store = Store(settings.store)
    artifacts = len(list(store.committed()))
    start = time.perf_counter()
    write_catalog(store)
    per_artifact = (time.perf_counter() - start) / artifacts
    many = [RowResult(n, f"/clips/{n}.mp4", State.DONE, key=f"{n:064}") for n in range(20_000)]
    start = time.perf_counter()
    write_report(folder / "many.parquet", many)
    per_row = (time.perf_counter() - start) / len(many)
    each_catalogs = _in_each(catalogs.call_count, rows)
    each_reports = _in_each(reports.call_count, quick_rows)
    return Growth(each_catalogs, each_reports, per_artifact, per_row)


def _in_each(calls: int, rows: int) -> float:
    """Of calls, how many each row makes; the first and the last do no harm."""
    return min(1.0, max(0, calls - 2) / (rows - 2))


# ---- an object store


@dataclass(frozen=True)
class Requests:
    """That an object store gets.

    Attributes:
        gets: GET and HEAD, lists among them.
        puts: PUT, POST and DELETE.
    """

    gets: int
    puts: int


def object_requests(video: Path, sound: Path, folder: Path) -> dict[str, Requests]:
    """Of a dub and of a preparation, by a command and a worker in processes of their own."""
    import httpx

    folder.mkdir()
    found = {}
    with object_server() as port, CountingProxy(port) as proxy:
        known = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}",
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
            "AWS_REGION": "us-east-1",
        }
        with mock.patch.dict(os.environ, known), _cluster(1) as (_, cluster):
            for name in ("dub", "prepare"):
                url = f"http://127.0.0.1:{port}/{name}-bucket"
                httpx.put(url, trust_env=False).raise_for_status()
                store, before = f"s3://{name}-bucket", proxy.counts()
                if name == "dub":
                    recorded_dub(
                        video, sound, folder / name, workers=1, store=store, cluster=cluster
                    )
                else:
                    recorded_preparation(video, folder / name, store=store, cluster=cluster)
                made = proxy.counts() - before
                gets = made["GET"] + made["HEAD"]
                found[name] = Requests(gets, made.total() - gets)
    return found


# ---- the store and Dask


@dataclass(frozen=True)
class RangeCost:
    """What stages cost that compute nothing.

    Attributes:
        stage: Seconds of wall of a stage with one range.
        further: Seconds of wall of each further range.
        processor: Whose → processor seconds of a stage with one range.
    """

    stage: float
    further: float
    processor: Mapping[str, float]


def range_cost(
    store: Store, cluster: Cluster | None, others: Machines | None, *, stages: int, times: int = 3
) -> RangeCost:
    """Measured on chains of stages, after a first one; the best counts."""
    several = 9
    chain(store, cluster, first=0, stages=4, shards=several)
    parts = {} if others is None else {"scheduler": others.scheduler, "workers": others.workers}
    walls, longs = [], []
    mine = 0.0
    before = {name: processor_seconds(processes) for name, processes in parts.items()}
    for turn in range(times):
        start, own = time.perf_counter(), time.process_time()
        chain(store, cluster, first=1000 * turn, stages=stages, shards=1)
        walls.append((time.perf_counter() - start) / stages)
        mine += time.process_time() - own
    processor = {"command": mine / (times * stages)}
    for name, processes in parts.items():
        processor[name] = (processor_seconds(processes) - before[name]) / (times * stages)
    few = stages // 4
    for turn in range(times):
        start = time.perf_counter()
        chain(store, cluster, first=1000 * (times + turn), stages=few, shards=several)
        longs.append((time.perf_counter() - start) / few)
    further = max(0.0, min(longs) - min(walls)) / (several - 1)
    return RangeCost(min(walls), further, processor)


@dataclass(frozen=True)
class DaskCost:
    """What Dask does.

    Attributes:
        cost: Of stages that compute nothing.
        messages: That come to the scheduler and go from it, for each range.
        tasks: Of the scheduler, for each range.
        tasks_per_second: That do nothing, one after the other on two workers.
        messages_per_second: With one processor for the scheduler.
    """

    cost: RangeCost
    messages: float
    tasks: float
    tasks_per_second: float
    messages_per_second: float


def dask_cost(store: Store, *, stages: int, tasks: int) -> DaskCost:
    """Measured with two workers."""
    from distributed import wait

    with _cluster(2) as (processes, cluster):
        cost = range_cost(store, cluster, processes, stages=stages)
        client = cluster._client
        client.run_on_scheduler(count_messages)
        run = chain(store, cluster, first=50_000, stages=stages, shards=3)
        ranges = sum(record.computed for record in run.records)
        counted = client.run_on_scheduler(read_messages)
        spent = processor_seconds(processes.scheduler)
        start = time.perf_counter()
        with client.as_current():
            wait(client.map(nothing, range(tasks), pure=False))
        wall = time.perf_counter() - start
        spent = processor_seconds(processes.scheduler) - spent
        after = client.run_on_scheduler(read_messages)
    return DaskCost(
        cost,
        counted["messages"] / ranges,
        counted["tasks"] / ranges,
        tasks / wall,
        (after["messages"] - counted["messages"]) / spent,
    )


def look_cost(workers: int) -> float:
    """Seconds that a command takes to see which of so many workers take a call."""
    cluster = Cluster(mock.MagicMock(status="running"))
    cluster._looked = float("inf")
    cluster._workers = _Workers(
        {
            f"tcp://10.0.0.1:{number}": {"resources": {}, "nthreads": 1, "status": "running"}
            for number in range(workers)
        }
    )
    times = 200
    start = time.perf_counter()
    for _ in range(times):
        cluster.lane(network=False)
    return (time.perf_counter() - start) / times


@contextmanager
def _cluster(workers: int) -> Iterator[tuple[Machines, Cluster]]:
    with machines(workers) as processes, open_cluster(processes.address) as cluster:
        assert cluster is not None
        deadline = time.monotonic() + 60
        while cluster.workers < workers and time.monotonic() < deadline:
            time.sleep(0.2)
        yield processes, cluster
