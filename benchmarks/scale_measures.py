"""What `benchmarks.scale` measures: real dubs and preparations, stages and rows that do nothing.

Requests are counted where they arrive: at an S3 server in this process.
"""

import itertools
import logging
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import numpy as np
import psutil
import yaml
from distributed.utils import open_port

from benchmarks.sources import speech, talking_video
from flows.batch import batch
from flows.batches.settings import BatchSettings
from flows.dub import dub
from flows.dub_report import DubReport
from flows.preparation.settings import PrepareSettings
from flows.prepare import prepare
from flows.runtime.clusters import PRELOAD, open_cluster
from flows.runtime.local_server import local_server
from flows.settings import DubSettings
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.artifacts.store import Store
from tasks.engine.cluster import Cluster
from tasks.engine.open_run import open_run
from tasks.engine.run import usable_processors
from tasks.engine.stage import Blocks, Plan, Shard, stage
from viewer.sheet import contact_sheet

CLIP_SECONDS = 10
_STAGES, _RANGES, _ROWS, _TURNS = 60, 9, 10, 3
_SERVER, _SETTLE_SECONDS = "flows.runtime.guarded_server", 4.0
"""Prefect's server goes on for a while with what a run has told it."""

Spent = Mapping[str, float]
"""Seconds of "wall", of processors by whose they are, and counts of what was asked for."""


@dataclass(frozen=True)
class Measured:
    """All figures.

    Attributes:
        seconds: Of the long clip.
        long: Its dub, with all processors: "wall", "stages", "ranges", "worker" (seconds of all
            ranges).
        short: "dub", "prepare" → the same of a short clip, with one processor; and "gets" (GET and
            HEAD, lists among them) and "puts" (PUT, POST and DELETE) of an object store.
        store: A stage of one range that computes nothing, in this process: "wall", "command", and
            "further", the wall of each further range.
        dask: The same on a cluster, and "scheduler" and "workers".
        row: Of a batch, whose stages cost nothing: "wall", "command".
        prefect: The same as a task run, and "server"; its contact sheet is shown, but not drawn.
        sheets: Of drawing a contact sheet of the short and of the long clip.
    """

    seconds: int
    long: Spent
    short: Mapping[str, Spent]
    store: Spent
    dask: Spent
    row: Spent
    prefect: Spent
    sheets: Sequence[Spent]


def measure(folder: Path, *, seconds: int) -> Measured:
    """Everything, one after the other."""
    lengths = (CLIP_SECONDS, seconds)
    videos = [
        talking_video(folder / f"{n}.mp4", seconds=n, width=1280, height=720) for n in lengths
    ]
    sounds = [speech(folder / f"{n}.wav", seconds=n) for n in lengths]
    short = {"dub": partial(_dub, videos[0], sounds[0]), "prepare": partial(_prepare, videos[0])}
    # First, because it also loads libraries and networks.
    requests = {name: _object_requests(run, folder / f"{name}-s3") for name, run in short.items()}
    long = _dub(videos[1], sounds[1], folder / "long", workers=usable_processors())
    clips = {name: {**run(folder / name), **requests[name]} for name, run in short.items()}
    sheets = [_least(partial(contact_sheet, video)) for video in videos]
    store = _stage_cost(Store(folder / "toys"))
    with _cluster(2) as (cluster, look):
        dask = _stage_cost(Store(folder / "toys-dask"), cluster, look)
    # Last, because it loads Prefect.
    rows = _row_costs(videos[0], sounds[0], folder / "rows")
    return Measured(seconds, long, clips, store, dask, *rows, sheets)


def _own() -> Spent:
    """By this process, so far."""
    return {"wall": time.perf_counter(), "command": time.process_time()}


def _spent(perform: Callable[[], object], look: Callable[[], Spent] = _own) -> Spent:
    """How far what is looked at grows meanwhile."""
    before = look()
    perform()
    return {name: value - before[name] for name, value in look().items()}


def _least(perform: Callable[[], object], look: Callable[[], Spent] = _own) -> Spent:
    return min((_spent(perform, look) for _ in range(_TURNS)), key=lambda spent: spent["wall"])


def _seconds(process: psutil.Process) -> float:
    """Of processors, that it and those below it have used so far."""
    spent = 0.0
    for one in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            spent += sum(one.cpu_times()[:2])
    return spent


# Real work.


def _dub(video: Path, sound: Path, folder: Path, *, workers: int = 1, **given: Any) -> Spent:
    settings = {"video": video, "audio": sound, "output": folder / "out.mp4", "workers": workers}
    start = time.perf_counter()
    report = dub(DubSettings.model_validate(settings | _place(folder, given)), **given)
    return _recorded(time.perf_counter() - start, report.stages)


def _prepare(video: Path, folder: Path, **given: Any) -> Spent:
    """Prepare a data set of one clip."""
    settings = {"dataset": "folder", "data": folder / "data", "output": folder / "index.parquet"}
    settings |= {"workers": 1, **_place(folder, given)}
    (folder / "data").mkdir()
    (folder / "data" / "p00.mp4").symlink_to(video)
    report = prepare(PrepareSettings.model_validate(settings), **given)
    assert not report.failures, report.failures
    return _recorded(report.wall_seconds, report.stages)


def _place(folder: Path, given: dict[str, Any]) -> dict[str, str]:
    """The store that is given, else one in the folder, which is made."""
    folder.mkdir(parents=True)
    return {"store": given.pop("store", str(folder / "store"))}


def _recorded(wall: float, stages: Sequence[Any]) -> dict[str, float]:
    made = [one for one in stages if one.computed]
    ranges, worker = sum(one.computed for one in made), sum(one.seconds for one in made)
    return {"wall": wall, "stages": len(made), "ranges": ranges, "worker": worker}


def _object_requests(perform: Callable[..., Spent], folder: Path) -> Spent:
    """Of real work by a command and a worker of its own."""
    with _object_server(folder.name) as counts, _cluster(1) as (cluster, _):
        counts.clear()
        perform(folder, store=f"s3://{folder.name}", cluster=cluster)
        gets = counts["GET"] + counts["HEAD"]
        return {"gets": gets, "puts": counts.total() - gets}


@contextmanager
def _object_server(bucket: str) -> Iterator[Counter[str]]:
    """Requests of an S3 server with that bucket; processes started meanwhile know its address."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication as Objects
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    counts: Counter[str] = Counter()
    answer = Objects.__call__

    def counted(self: Any, environment: Any, start_response: Any) -> Any:
        counts[environment["REQUEST_METHOD"]] += 1
        return answer(self, environment, start_response)

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    with mock.patch.object(Objects, "__call__", counted), ExitStack() as stack:
        server.start()
        stack.callback(server.stop)
        url = "http://{}:{}".format(*server.get_host_and_port())
        httpx.put(f"{url}/{bucket}", trust_env=False).raise_for_status()
        known = {"ENDPOINT_URL": url, "ACCESS_KEY_ID": "none", "SECRET_ACCESS_KEY": "none"}
        known = {f"AWS_{name}": value for name, value in known.items()}
        stack.enter_context(mock.patch.dict(os.environ, known, AWS_REGION="us-east-1"))
        yield counts


# Stages that do nothing.

_ROWS_OF_RANGE = 16
TOY = Schema("toy", {"value": ArraySpec(("frame",), "float32", shard=_ROWS_OF_RANGE)}, {})


@stage(TOY, version=1, plan=lambda before, number, parts: Plan(parts * _ROWS_OF_RANGE))
def toy(before: Artifact | None, number: int, *, parts: int, shards: Sequence[Shard]) -> Blocks:
    """Zeros, in so many ranges; takes an artifact as real stages do."""
    for shard in shards:
        yield {"value": np.zeros(shard.stop - shard.start, np.float32)}


def _stage_cost(
    store: Store, cluster: Cluster | None = None, look: Callable[[], Spent] = _own
) -> Spent:
    """Of chains of stages, none of which is in the store."""
    numbers = itertools.count()

    def chain(stages: int, parts: int) -> None:
        with open_run(store, workers=parts, cluster=cluster):
            made: Artifact | None = None
            for number in itertools.islice(numbers, stages):
                made = toy(made, number, parts=parts)

    chain(4, _RANGES)
    one = {n: s / _STAGES for n, s in _least(partial(chain, _STAGES, 1), look).items()}
    few = _STAGES // 4
    nine = _least(partial(chain, few, _RANGES), look)
    assert nine.get("tasks", 0) <= few * _RANGES, "more than one scheduler task for a range"
    return {**one, "further": max(0.0, nine["wall"] / few - one["wall"]) / (_RANGES - 1)}


@contextmanager
def _cluster(count: int) -> Iterator[tuple[Cluster, Callable[[], Spent]]]:
    """A scheduler and so many workers, each a process of its own, and what they have done."""
    port = str(open_port("127.0.0.1"))
    address, here = f"tcp://127.0.0.1:{port}", ("--host", "127.0.0.1", "--no-dashboard")
    options = ("--nworkers", str(count), "--nthreads", "1", "--preload", PRELOAD)
    dask = str(Path(sys.executable).with_name("dask"))
    commands = ["scheduler", "--port", port, *here], ["worker", address, *options, *here]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with ExitStack() as stack:
        started = []
        for command in commands:
            process = psutil.Popen([dask, *command], env=environment, **quiet)
            started.append(stack.enter_context(process))
            stack.callback(process.terminate)
        cluster = stack.enter_context(open_cluster(address))
        assert cluster is not None
        client = cluster._client
        client.wait_for_workers(count, timeout=60)

        def look() -> Spent:
            spent = dict(zip(("scheduler", "workers"), map(_seconds, started), strict=True))
            return {**_own(), **spent, "tasks": client.run_on_scheduler(_tasks)}

        yield cluster, look


def _tasks(dask_scheduler: Any) -> int:
    """That have ended; on a scheduler."""
    return sum(each.state_counts["memory"] for each in dask_scheduler.task_prefixes.values())


# Rows that do nothing.


def _copied(settings: DubSettings, **given: object) -> DubReport:
    """In the place of a dub: all of a row but its stages."""
    shutil.copyfile(settings.video, settings.output)
    found: dict[str, Any] = {"no_face_ranges": [], "stages": [], "notes": [], "versions": {}}
    found |= dict.fromkeys(("frames", "valid_frames", "seconds", "speech_seconds"), 1)
    return DubReport(output=settings.output, **found)


def _row_costs(video: Path, sound: Path, folder: Path) -> tuple[Spent, Spent]:
    """Without Prefect, and as a task run of a real server."""
    places = (folder / str(number) for number in itertools.count())

    def rows(perform: Callable[[BatchSettings], object], count: int) -> None:
        place = next(places)
        place.mkdir(parents=True)
        row = {"video": str(video), "audio": str(sound)}
        cells = [{**row, "output": f"{number}.mp4"} for number in range(count)]
        (place / "manifest.yaml").write_text(yaml.safe_dump(cells))
        settings = {"manifest": place / "manifest.yaml", "store": str(place / "store"), "rows": 1}
        perform(BatchSettings.model_validate(settings))

    def cost(perform: Callable[[BatchSettings], object], look: Callable[[], Spent] = _own) -> Spent:
        """Of each of ten more rows, so that what a batch costs by itself is left out."""
        rows(perform, 1)
        few, many = (_spent(partial(rows, perform, 2 + more), look) for more in (0, _ROWS))
        return {name: (many[name] - few[name]) / _ROWS for name in many}

    plain = cost(lambda settings: batch(settings, perform=lambda row, _: _copied(row.settings)))
    port = open_port()
    with local_server(host="127.0.0.1", port=port, pools=(), home=folder / "home", data=folder):
        os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
        from flows import prefect_flows  # reads the address

        sheet = contact_sheet(video)
        (server,) = (p for p in psutil.Process().children() if _SERVER in p.cmdline())

        def look() -> Spent:
            time.sleep(_SETTLE_SECONDS)
            counts = [client.post(f"/{sort}_runs/count").json() for sort in ("flow", "task")]
            return {**_own(), "server": _seconds(server), "runs": sum(counts)}

        with (
            httpx.Client(base_url=os.environ["PREFECT_API_URL"], trust_env=False) as client,
            mock.patch.object(prefect_flows, "dub", _copied),
            mock.patch.object(prefect_flows, "contact_sheet", lambda path: sheet),
        ):
            prefect = cost(prefect_flows.batch_flow, look)
    assert prefect["runs"] <= 1 + 1e-9, "more than one run for a clip"
    return plain, prefect
