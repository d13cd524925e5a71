"""What `benchmarks.scale` measures: real dubs and preparations, stages and rows that do nothing.

Requests and messages are counted where they arrive: at an S3 server in this process, at HTTP
clients of Prefect, and in Dask's scheduler.
"""

import inspect
import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import numpy as np
import psutil
import yaml

import flows.batch
from benchmarks.sources import speech, talking_video
from flows.batch import BatchSettings, batch
from flows.dub import dub
from flows.dub_report import DubReport
from flows.preparation.settings import PrepareSettings
from flows.prepare import prepare
from flows.runtime.clusters import open_cluster
from flows.runtime.local_server import local_server
from flows.settings import DubSettings
from stores.artifacts.artifact import Artifact
from stores.artifacts.builder import Builder
from stores.artifacts.schema import ArraySpec, Schema
from stores.artifacts.store import Store
from tasks.engine.cluster import Cluster
from tasks.engine.open_run import open_run
from tasks.engine.run import Progress, usable_processors
from tasks.engine.stage import Blocks, Plan, Shard, stage
from viewer.sheet import contact_sheet

CLIP_SECONDS = 10
_STAGES, _SHARDS, _ROWS, _TURNS = 60, 9, 10, 3
_SETTLE_SECONDS = 4.0
"""Prefect's server goes on for a while with what a run has told it."""
_BIN, _ROOT = Path(sys.executable).parent, str(Path(__file__).parent.parent)
_TOY_ROWS = 16


@dataclass(frozen=True)
class Recorded:
    """A run on an empty store.

    Attributes:
        wall: Seconds.
        stages: How many were computed.
        ranges: Of all stages.
        worker_seconds: Of all ranges.
        writing: Seconds of threads that wrote arrays into the store.
    """

    wall: float
    stages: int
    ranges: int
    worker_seconds: float
    writing: float


@dataclass(frozen=True)
class RangeCost:
    """What stages cost that compute nothing.

    Attributes:
        stage: Seconds of wall of a stage with one range.
        further: Seconds of wall of each further range.
        processor: Whose → processor seconds of a stage with one range.
        messages: That come to the scheduler and go from it, for each range.
    """

    stage: float
    further: float
    processor: Mapping[str, float]
    messages: float = 0.0


@dataclass(frozen=True)
class RowCost:
    """A row of a batch whose stages cost nothing.

    Attributes:
        wall: Seconds.
        command: Processor seconds.
        server: Processor seconds of Prefect's server.
        requests: HTTP requests to it.
        events: That it keeps.
        runs: Flow and task runs.
    """

    wall: float
    command: float
    server: float = 0.0
    requests: float = 0.0
    events: float = 0.0
    runs: float = 0.0


@dataclass(frozen=True)
class Requests:
    """That an object store gets: GET and HEAD, lists among them; PUT, POST and DELETE."""

    gets: int
    puts: int


@dataclass(frozen=True)
class Measured:
    """All figures.

    Attributes:
        seconds: Of the long clip.
        long: Its dub, with all processors.
        short: "dub", "prepare" → of a short clip, with one processor.
        requests: The same → of an object store.
        store: Stages that do nothing, in this process.
        dask: The same on a cluster of two workers.
        row: One that does nothing.
        prefect_row: The same as a task run; its contact sheet is shown, but not drawn.
        sheets: Seconds of wall, and of processors, that a contact sheet of the short and of the
            long clip takes.
    """

    seconds: int
    long: Recorded
    short: Mapping[str, Recorded]
    requests: Mapping[str, Requests]
    store: RangeCost
    dask: RangeCost
    row: RowCost
    prefect_row: RowCost
    sheets: Sequence[tuple[float, float]]


def measure(folder: Path, *, seconds: int) -> Measured:
    """Everything, one after the other."""
    lengths = (CLIP_SECONDS, seconds)
    videos = [
        talking_video(folder / f"{n}.mp4", seconds=n, width=1280, height=720) for n in lengths
    ]
    sounds = [speech(folder / f"{n}.wav", seconds=n) for n in lengths]
    # First, because it also loads libraries and networks.
    requests = _object_requests(videos[0], sounds[0], folder / "objects")
    long = _dub(videos[1], sounds[1], folder / "long", workers=usable_processors())
    short = {
        "dub": _dub(videos[0], sounds[0], folder / "short"),
        "prepare": _preparation(videos[0], folder / "preparation"),
    }
    sheets = [min(_timed(contact_sheet, video) for _ in range(_TURNS)) for video in videos]
    store = _range_cost(Store(folder / "toys"))
    with _cluster(2) as (processes, cluster):
        dask = _range_cost(Store(folder / "toys-dask"), cluster, processes)
    # Last, because it loads Prefect.
    rows = _row_costs(videos[0], sounds[0], folder / "rows")
    return Measured(seconds, long, short, requests, store, dask, *rows, sheets)


def _timed(perform: Callable[..., Any], *given: Any) -> tuple[float, float]:
    """Seconds of wall, and of this process."""
    start, mine = time.perf_counter(), time.process_time()
    perform(*given)
    return time.perf_counter() - start, time.process_time() - mine


def _processor_seconds(processes: Sequence[psutil.Process]) -> float:
    """That they, and the processes below them, have used so far."""
    spent = 0.0
    for top in processes:
        with suppress(psutil.NoSuchProcess):
            for one in (top, *top.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    times = one.cpu_times()
                    spent += times.user + times.system
    return spent


# Real work.


def _dub(
    video: Path, sound: Path, folder: Path, *, workers: int = 1, store: str = "", **more: Any
) -> Recorded:
    folder.mkdir()
    settings = {"video": video, "audio": sound, "output": folder / "out.mp4", "workers": workers}
    settings["store"] = store or str(folder / "store")
    written: list[float] = []
    write = Builder.write

    def timed(self: Builder, *args: Any, **kwargs: Any) -> None:
        written.append(_timed(lambda: write(self, *args, **kwargs))[0])

    with mock.patch.object(Builder, "write", timed):
        start = time.perf_counter()
        report = dub(DubSettings.model_validate(settings), **more)
        wall = time.perf_counter() - start
    return _recorded(wall, report.stages, sum(written))


def _preparation(video: Path, folder: Path, *, store: str = "", **more: Any) -> Recorded:
    """Prepare a data set of one clip."""
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "p00.mp4").symlink_to(video)
    settings = {"dataset": "folder", "data": folder / "data", "output": folder / "index.parquet"}
    settings |= {"store": store or str(folder / "store"), "workers": 1}
    report = prepare(PrepareSettings.model_validate(settings), **more)
    if report.failures:
        raise SystemExit(f"{video} can't be prepared: {report.failures[0].reason}")
    return _recorded(report.wall_seconds, report.stages)


def _recorded(wall: float, stages: Sequence[Any], writing: float = 0.0) -> Recorded:
    made = [one for one in stages if one.computed]
    ranges, seconds = sum(one.computed for one in made), sum(one.seconds for one in made)
    return Recorded(wall, len(made), ranges, seconds, writing)


def _object_requests(video: Path, sound: Path, folder: Path) -> dict[str, Requests]:
    """Of a dub and of a preparation, by a command and a worker of its own."""
    folder.mkdir()
    found = {}
    with _object_server() as (url, counts):
        known = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
            "AWS_REGION": "us-east-1",
        }
        with mock.patch.dict(os.environ, known), _cluster(1) as (_, cluster):
            for name in ("dub", "prepare"):
                httpx.put(f"{url}/{name}-bucket", trust_env=False).raise_for_status()
                counts.clear()
                more: dict[str, Any] = {"store": f"s3://{name}-bucket", "cluster": cluster}
                if name == "dub":
                    _dub(video, sound, folder / name, **more)
                else:
                    _preparation(video, folder / name, **more)
                gets = counts["GET"] + counts["HEAD"]
                found[name] = Requests(gets, counts.total() - gets)
    return found


@contextmanager
def _object_server() -> Iterator[tuple[str, Counter[str]]]:
    """Address of an S3 server in a thread that keeps objects in memory, and its requests."""
    from moto.moto_server import werkzeug_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    objects = werkzeug_app.DomainDispatcherApplication(werkzeug_app.create_backend_app)
    counts: Counter[str] = Counter()

    def counted(environment: Any, start_response: Any) -> Any:
        counts[environment["REQUEST_METHOD"]] += 1
        return objects(environment, start_response)

    handler = werkzeug_app.MotoRequestHandler
    server = make_server("127.0.0.1", 0, counted, threaded=True, request_handler=handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", counts
    finally:
        server.shutdown()


# Stages that do nothing.

TOY = Schema("toy", {"value": ArraySpec(("frame",), "float32", shard=_TOY_ROWS)}, {})


@stage(TOY, version=1, plan=lambda before, number, parts: Plan(parts * _TOY_ROWS))
def toy(before: Artifact | None, number: int, *, parts: int, shards: Sequence[Shard]) -> Blocks:
    """Zeros, in so many ranges; takes an artifact as real stages do."""
    for shard in shards:
        yield {"value": np.zeros(shard.stop - shard.start, np.float32)}


def _chain(store: Store, cluster: Cluster | None, first: int, stages: int, parts: int) -> None:
    """So many stages after one another, none of which is in the store."""
    with open_run(store, workers=parts, cluster=cluster):
        made: Artifact | None = None
        for number in range(first, first + stages):
            made = toy(made, number, parts=parts)


def _range_cost(
    store: Store,
    cluster: Cluster | None = None,
    others: Mapping[str, Sequence[psutil.Process]] | None = None,
) -> RangeCost:
    """Measured on chains of stages, after a first one; the best wall time counts."""
    others = others or {}
    _chain(store, cluster, 0, 4, _SHARDS)
    before = {name: _processor_seconds(processes) for name, processes in others.items()}
    ones = [_timed(_chain, store, cluster, 1000 * n, _STAGES, 1) for n in range(1, 1 + _TURNS)]
    processor = {"command": sum(mine for _, mine in ones) / _TURNS / _STAGES}
    for name, processes in others.items():
        spent = _processor_seconds(processes) - before[name]
        processor[name] = spent / _TURNS / _STAGES
    few = _STAGES // 4
    longs = [_timed(_chain, store, cluster, 10**5 * n, few, _SHARDS) for n in range(1, 1 + _TURNS)]
    each, several = min(ones)[0] / _STAGES, min(longs)[0] / few
    messages = 0.0
    if cluster is not None:
        client = cluster._client
        client.run_on_scheduler(_count_messages)
        _chain(store, cluster, 10**7, _STAGES, 3)
        counts = client.run_on_scheduler(lambda dask_scheduler: dict(dask_scheduler.counts))
        ranges = 3 * _STAGES
        assert counts["tasks"] <= ranges, "more than one scheduler task for a range"
        messages = counts["messages"] / ranges
    return RangeCost(each, max(0.0, several - each) / (_SHARDS - 1), processor, messages)


@contextmanager
def _cluster(count: int) -> Iterator[tuple[Mapping[str, Sequence[psutil.Process]], Cluster]]:
    """A scheduler and so many workers, each a process of its own, as docs/cluster.md says."""
    port = _free_port()
    address, here = f"tcp://127.0.0.1:{port}", ("--host", "127.0.0.1", "--no-dashboard")
    options = ("--nthreads", "1", "--preload", "flows.runtime.dask_worker", *here)
    commands = [["scheduler", "--port", str(port), *here]] + count * [["worker", address, *options]]
    paths = [_ROOT, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = [
        psutil.Popen([str(_BIN / "dask"), *command], env=environment, **quiet)
        for command in commands
    ]
    try:
        with open_cluster(address) as cluster:
            assert cluster is not None
            deadline = time.monotonic() + 60
            while cluster.workers < count and time.monotonic() < deadline:
                time.sleep(0.2)
            yield {"scheduler": started[:1], "workers": started[1:]}, cluster
    finally:
        for process in reversed(started):
            process.terminate()
            try:
                process.wait(15)
            except psutil.TimeoutExpired:
                process.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _count_messages(dask_scheduler: Any) -> None:
    """On a scheduler: from now on, count messages that come and go, and tasks that end."""
    from distributed.batched import BatchedSend
    from distributed.diagnostics.plugin import SchedulerPlugin

    counts: Counter[str] = Counter()
    dask_scheduler.counts = counts

    def counted(handler: Any) -> Any:
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            counts["messages"] += 1
            return await handler(*args, **kwargs)

        def called(*args: Any, **kwargs: Any) -> Any:
            counts["messages"] += 1
            return handler(*args, **kwargs)

        return awaited if inspect.iscoroutinefunction(handler) else called

    for name, handler in list(dask_scheduler.stream_handlers.items()):
        dask_scheduler.stream_handlers[name] = counted(handler)
    send = BatchedSend.send

    def sent(self: Any, *messages: Any) -> None:
        counts["messages"] += len(messages)
        send(self, *messages)

    BatchedSend.send = sent  # type: ignore[method-assign]

    class Ends(SchedulerPlugin):
        def transition(self, key: Any, start: str, finish: str, *args: Any, **kwargs: Any) -> None:
            counts["tasks"] += start == "processing" and finish == "memory"

    dask_scheduler.add_plugin(Ends(), name="dubflow-counts")


# Rows that do nothing.


def copy_row(
    settings: DubSettings,
    *,
    progress: Progress | None = None,
    cluster: Cluster | None = None,
    catalog: bool = True,
) -> DubReport:
    """In the place of a dub: all of a row but its stages."""
    shutil.copyfile(settings.video, settings.output)
    return DubReport(
        output=settings.output,
        frames=1,
        valid_frames=1,
        no_face_ranges=[],
        seconds=1.0,
        speech_seconds=1.0,
        stages=[],
        notes=[],
        versions={},
    )


def _row_costs(video: Path, sound: Path, folder: Path) -> tuple[RowCost, RowCost]:
    """Without Prefect and as a task run of a real server.

    Each of two batches, so that what a batch costs by itself is left out.
    """
    few = 2

    def settings(name: str, rows: int) -> BatchSettings:
        place = folder / f"{name}{rows}"
        place.mkdir(parents=True)
        given = {"video": str(video), "audio": str(sound)}
        cells = [given | {"output": f"{number}.mp4"} for number in range(rows)]
        (place / "manifest.yaml").write_text(yaml.safe_dump(cells))
        return BatchSettings.model_validate(
            {"manifest": place / "manifest.yaml", "store": str(place / "store"), "rows": 1}
        )

    with mock.patch.object(flows.batch, "dub", copy_row):
        _timed(batch, settings("warm", 1))
        plain = [_timed(batch, settings("plain", rows)) for rows in (few, few + _ROWS)]
    port = _free_port()
    with local_server(host="127.0.0.1", port=port, pools=(), home=folder / "home", data=folder):
        os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
        from flows import prefect_flows  # reads the address

        sheet = contact_sheet(video)
        with (
            mock.patch.object(prefect_flows, "dub", copy_row),
            mock.patch.object(prefect_flows, "contact_sheet", lambda path: sheet),
        ):
            _watched(prefect_flows.batch_flow, settings("first", 1))
            flow = [
                _watched(prefect_flows.batch_flow, settings("prefect", rows))
                for rows in (few, few + _ROWS)
            ]
    row, prefect_row = (
        RowCost(*((long - short) / _ROWS for short, long in zip(*pair, strict=True)))
        for pair in (plain, flow)
    )
    assert prefect_row.runs <= 1 + 1e-9, "more than one run for a clip"
    return row, prefect_row


def _watched(perform: Callable[[BatchSettings], Any], settings: BatchSettings) -> list[float]:
    """What it takes of a Prefect server: the fields of a RowCost."""
    server = [p for p in psutil.Process().children() if {"prefect", "server"} <= set(p.cmdline())]
    idle = _processor_seconds(server)
    time.sleep(_SETTLE_SECONDS)
    spent, kept = _processor_seconds(server), _kept()
    idle = (spent - idle) / _SETTLE_SECONDS
    requests, start = Counter[str](), time.perf_counter()
    with _counted(httpx.Client, requests), _counted(httpx.AsyncClient, requests):
        wall, command = _timed(perform, settings)
        time.sleep(_SETTLE_SECONDS)
    busy = _processor_seconds(server) - spent - idle * (time.perf_counter() - start)
    events, runs = (after - before for before, after in zip(kept, _kept(), strict=True))
    return [wall, command, busy, requests["sent"], events, runs]


@contextmanager
def _counted(client: type[Any], requests: Counter[str]) -> Iterator[None]:
    """Count requests of HTTP clients of this process."""
    send = client.send

    def sent(self: Any, *args: Any, **kwargs: Any) -> Any:
        requests["sent"] += 1
        return send(self, *args, **kwargs)

    with mock.patch.object(client, "send", sent):
        yield


def _kept() -> tuple[float, float]:
    """Events and runs that the server holds."""
    with httpx.Client(
        base_url=os.environ["PREFECT_API_URL"], trust_env=False, timeout=30
    ) as client:

        def ask(path: str, **body: Any) -> Any:
            return client.post(path, json=body).raise_for_status().json()

        runs = sum(float(ask(f"/{sort}_runs/count")) for sort in ("flow", "task"))
        return float(ask("/events/filter", limit=1)["total"]), runs
