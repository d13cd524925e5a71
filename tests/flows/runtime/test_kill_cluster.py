"""`kill -9` of each part of a cluster and of a deployment, at random moments of a batch of 8 clips.

Afterwards every row is done, and no range was computed again but those that the killed processes
had begun and not finished. DUBFLOW_KILLS says how often each part is killed.
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from flows.batch import BatchReport, batch
from flows.batches.report import RowResult, State, read_report
from flows.batches.settings import BatchSettings
from flows.cli.artifacts import verify
from flows.runtime import local_server
from flows.runtime.clusters import ClusterSettings, open_cluster
from stores.artifacts.store import Store
from tasks.engine.cluster import Cluster
from tests.flows.runtime.range_notes import Range, check_costs, lost, notes, noting
from tests.flows.runtime.test_kill import finished_shards
from tests.media_factory import make_video

KILLS = int(os.environ.get("DUBFLOW_KILLS", "5"))
CLIPS = 8
BIN = Path(sys.executable).parent
FINAL = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
_PATIENCE = 300.0

Record = Callable[[str, object], None]
"""Keeps a figure with the test's result."""

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Batch:
    """Rows, and what they cost when nothing is killed.

    Attributes:
        rows: Of a manifest, without outputs.
        ranges: All that are computed.
    """

    rows: list[dict[str, Any]]
    ranges: frozenset[Range]


class Trial:
    """A batch in a folder of its own, until it has ended well."""

    def __init__(self, folder: Path, rows: list[dict[str, Any]]) -> None:
        folder.mkdir()
        self.store, self.log = folder / "store", folder / "ranges"
        self.manifest = folder / "manifest.yaml"
        named = [{**row, "output": f"{number}.mp4"} for number, row in enumerate(rows)]
        self.manifest.write_text(yaml.safe_dump(named))
        self.settings = BatchSettings.model_validate(
            {
                "manifest": self.manifest,
                "store": str(self.store),
                "defaults": {"sync": {"mode": "cut_off"}},
            }
        )
        self.lost: Counter[Range] = Counter()
        self._before: dict[str, int] = {}

    def note_deaths(self, dead: set[int]) -> None:
        """Call when they have ended."""
        self.lost += lost(self.log, self.store, dead)
        self._before = finished_shards(self.store)

    def check(self, undisturbed: Batch, record: Record) -> None:
        """All that has to be true at the end; counts go into the test's record."""
        begun = len(notes(self.log))
        record("ranges", len(undisturbed.ranges))
        record("begun", begun)
        record("lost", self.lost.total())
        rows = list(read_report(self.settings.report_path).values())
        assert len(rows) == CLIPS
        assert all_done(rows)
        assert all(Path(row.output).stat().st_size == row.size for row in rows)
        check_costs(self.log, undisturbed.ranges, self.lost)
        after = finished_shards(self.store)
        assert {name: after[name] for name in self._before} == self._before
        assert Store(self.store).unfinished() == []
        verify(store=str(self.store))  # ends with an exception if anything is damaged


def all_done(rows: list[RowResult]) -> bool:
    return all(row.state in (State.DONE, State.BEFORE) for row in rows)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory, speech: Path) -> list[dict[str, Any]]:
    """Short clips, no two alike."""
    folder = tmp_path_factory.mktemp("clips")
    return [
        {
            "video": str(
                make_video(
                    folder / f"{number}.mp4", frames=20 + number, size=(320, 240), real_faces=True
                )
            ),
            "audio": str(speech),
        }
        for number in range(CLIPS)
    ]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> Batch:
    trial = Trial(tmp_path_factory.mktemp("undisturbed") / "batch", rows)
    command = [str(BIN / "dubflow"), "batch", str(trial.manifest), "--store", str(trial.store)]
    done = subprocess.run(
        [*command, "--set", "sync.mode=cut_off", "--direct", "--json"],
        env={**os.environ, **noting(trial.log)},
        stdout=subprocess.PIPE,
        check=True,
    )
    found = Batch(rows, frozenset(note.range for note in notes(trial.log)))
    trial.check(found, lambda name, value: None)
    computed = sum(row["computed"] for row in json.loads(done.stdout)["rows"])
    assert computed == len(found.ranges) > CLIPS
    return found


@pytest.fixture(params=range(KILLS))
def chance(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(f"{request.node.originalname} {request.param}")


@pytest.fixture
def trial(tmp_path: Path, undisturbed: Batch) -> Trial:
    return Trial(tmp_path / "batch", undisturbed.rows)


def await_moment(trial: Trial, undisturbed: Batch, chance: random.Random) -> None:
    """Return when so many ranges have begun, and a little later."""
    wanted = chance.randrange(1, len(undisturbed.ranges) - 1)
    wait_until(lambda: len(notes(trial.log)) >= wanted)
    time.sleep(chance.uniform(0, 0.3))


def wait_until(seen: Callable[[], Any], *, seconds: float = _PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline, "waited for nothing"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# ---- Dask


@pytest.fixture(scope="module")
def machine(
    tmp_path_factory: pytest.TempPathFactory, undisturbed: Batch
) -> Iterator[tuple[Cluster, Path]]:
    """A local cluster of two workers, and the link under which they find the log."""
    log = tmp_path_factory.mktemp("machine") / "ranges"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in noting(log).items():
            patch.setenv(name, value)
        with open_cluster(ClusterSettings(workers=2, gpus=0)) as cluster:
            assert cluster is not None
            yield cluster, log


def test_a_killed_dask_worker(
    machine: tuple[Cluster, Path],
    trial: Trial,
    undisturbed: Batch,
    chance: random.Random,
    record_property: Record,
) -> None:
    cluster, log = machine
    log.unlink(missing_ok=True)
    trial.log = log
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(batch, trial.settings, cluster=cluster)
        await_moment(trial, undisturbed, chance)
        worker = chance.choice(sorted({note.process for note in notes(log)}))
        kill({worker})
        trial.note_deaths({worker})
        report: BatchReport = running.result(_PATIENCE)
    assert all_done(report.rows), "Dask's own retry is enough"
    trial.check(undisturbed, record_property)


class Machines:
    """A scheduler and two workers, as a user starts them."""

    def __init__(self, log: Path) -> None:
        self.port = free_port()
        self._environment = {**os.environ, **noting(log)}
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        here = ("--host", "127.0.0.1", "--no-dashboard")
        scheduler = self._start("scheduler", "--port", str(self.port), *here)
        address = f"tcp://127.0.0.1:{self.port}"
        options = ("--nthreads", "1", "--preload", "flows.runtime.dask_worker", *here)
        self._running = [scheduler, *(self._start("worker", address, *options) for _ in range(2))]

    def _start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [str(BIN / "dask"), *arguments], env=self._environment, stderr=subprocess.DEVNULL
        )

    def kill_scheduler(self) -> None:
        """`kill -9`; returns when its workers have ended by themselves."""
        below = [child for each in self._running[1:] for child in family(each.pid)]
        self._running[0].kill()
        self._running[0].wait()
        for process in self._running[1:]:
            process.wait(_PATIENCE)
        psutil.wait_procs(below, timeout=_PATIENCE)

    def end(self) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.wait(_PATIENCE)


def test_a_killed_scheduler(
    trial: Trial, undisturbed: Batch, chance: random.Random, record_property: Record
) -> None:
    machines = Machines(trial.log)
    machines.start()
    settings = ClusterSettings(
        address=f"tcp://127.0.0.1:{machines.port}", patience_seconds=_PATIENCE
    )
    with ExitStack() as stack:
        stack.callback(machines.end)
        cluster = stack.enter_context(open_cluster(settings))
        running = stack.enter_context(ThreadPoolExecutor(1)).submit(
            batch, trial.settings, cluster=cluster
        )
        await_moment(trial, undisturbed, chance)
        workers = {note.process for note in notes(trial.log)}
        machines.kill_scheduler()
        trial.note_deaths(workers)
        machines.start()
        report: BatchReport = running.result(_PATIENCE)
        assert all_done(report.rows), "the batch waits for the scheduler, and goes on"
    trial.check(undisturbed, record_property)


# ---- Prefect


class Deployment:
    """A server with the deployments, and one worker; both can be killed and started again."""

    def __init__(self, home: Path, log: Path) -> None:
        self.log = log
        self._port = free_port()
        self._environment = {
            **local_server._environment("127.0.0.1", self._port, home, None),
            **noting(log),
        }
        self.server: subprocess.Popen[Any] | None = None
        self.worker: subprocess.Popen[Any] | None = None

    def start_server(self) -> None:
        self.server = self._start(
            "server", "start", "--host", "127.0.0.1", "--port", str(self._port)
        )
        local_server._wait_for(self.server, "127.0.0.1", self._port)

    def start_worker(self) -> None:
        self.worker = self._start("worker", "start", "--pool", local_server.CPU_POOL)

    def deploy(self) -> None:
        for pool in (local_server.CPU_POOL, local_server.GPU_POOL):
            local_server.run_prefect(
                ("work-pool", "create", pool, "--type", "process"), self._environment
            )
        local_server.run_prefect(("deploy", "--name", "batch"), self._environment)

    def run(self, settings: BatchSettings) -> str:
        """Start a run; gives its identifier."""
        deployment = self.ask("GET", "/deployments/name/batch/batch")["id"]
        parameters = {"settings": settings.model_dump(mode="json")}
        made = self.ask(
            "POST",
            f"/deployments/{deployment}/create_flow_run",
            {"parameters": parameters, "state": {"type": "SCHEDULED"}},
        )
        return str(made["id"])

    def state(self, run: str) -> str:
        return str(self.ask("GET", f"/flow_runs/{run}")["state"]["type"])

    def give_up(self, run: str) -> None:
        """Say that a run is dead; by itself the server lets the next one begin in five minutes."""
        crashed = {"state": {"type": "CRASHED"}, "force": True}
        self.ask("POST", f"/flow_runs/{run}/set_state", crashed)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        url = f"http://127.0.0.1:{self._port}/api{path}"
        with httpx.Client(timeout=30, trust_env=False) as client:
            answer = client.request(method, url, json=body)
        answer.raise_for_status()
        return answer.json()

    def end(self) -> None:
        for process in (self.worker, self.server):
            if process is not None:
                kill({each.pid for each in family(process.pid)})
                process.wait()

    def _start(self, *arguments: str) -> "subprocess.Popen[Any]":
        return subprocess.Popen(
            [sys.executable, "-m", "prefect", *arguments],
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def family(process: int) -> list[psutil.Process]:
    """A process and all below it."""
    try:
        top = psutil.Process(process)
        return [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def kill(processes: set[int]) -> None:
    """`kill -9`, and wait for the end."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    wait_until(lambda: not any(is_alive(process) for process in processes))


def is_alive(process: int) -> bool:
    """Zombies are dead, whether or not someone has asked how they died."""
    try:
        return bool(psutil.Process(process).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(scope="module")
def deployment(
    tmp_path_factory: pytest.TempPathFactory, undisturbed: Batch
) -> Iterator[Deployment]:
    """One for all trials: also after many kills it must do its work."""
    folder = tmp_path_factory.mktemp("deployment")
    made = Deployment(folder / "prefect", folder / "ranges")
    try:
        made.start_server()
        made.deploy()
        made.start_worker()
        yield made
    finally:
        made.end()


def begin(deployment: Deployment, trial: Trial) -> str:
    deployment.log.unlink(missing_ok=True)
    trial.log = deployment.log
    return deployment.run(trial.settings)


def bring_to_end(deployment: Deployment, trial: Trial, run: str) -> bool:
    """Wait for the run, and start it again if it has died.

    Returns:
        Whether the first one came to its end.
    """
    wait_until(lambda: not living(trial.log))
    if deployment.state(run) == "COMPLETED":
        return True
    trial.note_deaths({note.process for note in notes(trial.log)})
    deployment.give_up(run)
    again = deployment.run(trial.settings)
    wait_until(lambda: deployment.state(again) in FINAL, seconds=600)
    assert deployment.state(again) == "COMPLETED"
    return False


def living(log: Path) -> set[int]:
    """Processes that began ranges, and have not ended."""
    return {process for process in {note.process for note in notes(log)} if is_alive(process)}


def test_a_killed_prefect_worker(
    deployment: Deployment,
    trial: Trial,
    undisturbed: Batch,
    chance: random.Random,
    request: pytest.FixtureRequest,
    record_property: Record,
) -> None:
    run = begin(deployment, trial)
    await_moment(trial, undisturbed, chance)
    assert deployment.worker is not None
    alone = request.node.callspec.params["chance"] % 2 == 1
    everything = {process.pid for process in family(deployment.worker.pid)}
    kill({deployment.worker.pid} if alone else everything | living(trial.log))
    deployment.worker.wait()
    deployment.start_worker()
    survived = bring_to_end(deployment, trial, run)
    assert alone or not survived
    record_property("survived", survived)
    trial.check(undisturbed, record_property)


def test_a_killed_prefect_server(
    deployment: Deployment,
    trial: Trial,
    undisturbed: Batch,
    chance: random.Random,
    record_property: Record,
) -> None:
    run = begin(deployment, trial)
    await_moment(trial, undisturbed, chance)
    assert deployment.server is not None
    kill({process.pid for process in family(deployment.server.pid)})
    deployment.server.wait()
    time.sleep(chance.uniform(0, 10))
    deployment.start_server()
    record_property("survived", bring_to_end(deployment, trial, run))
    trial.check(undisturbed, record_property)


def test_a_power_cut(
    deployment: Deployment, trial: Trial, undisturbed: Batch, record_property: Record
) -> None:
    """Server, worker and run at once: the next run begins by itself when the lease has ended."""
    run = begin(deployment, trial)
    await_moment(trial, undisturbed, random.Random(6))
    assert deployment.server is not None
    assert deployment.worker is not None
    parts = [*family(deployment.server.pid), *family(deployment.worker.pid)]
    kill({process.pid for process in parts} | living(trial.log))
    for process in (deployment.server, deployment.worker):
        process.wait()
    trial.note_deaths({note.process for note in notes(trial.log)})
    deployment.start_server()
    deployment.start_worker()
    again = deployment.run(trial.settings)
    wait_until(lambda: deployment.state(again) in FINAL, seconds=900)
    assert deployment.state(again) == "COMPLETED"
    assert deployment.state(run) not in FINAL, "nobody has told the server of its end"
    trial.check(undisturbed, record_property)
