"""Prefect's server, the work pools, the deployments and workers, as processes of this machine."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from stores.errors import ClusterError

CPU_POOL, GPU_POOL = "dubflow-cpu", "dubflow-gpu"
_LEASES = "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"
_LEASES_IN_FILES = "prefect.server.concurrency.lease_storage.filesystem"
"""Which runs hold the places that a deployment has. Prefect's default is memory: a run that dies
together with the server would hold its place for ever."""

_START_SECONDS = 120.0
_STOP_SECONDS = 15.0


@dataclass(frozen=True)
class LocalServer:
    """A server that runs.

    Attributes:
        url: Of its pages.
        environment: For processes that shall talk to it.
        workers: Their processes.
    """

    url: str
    environment: dict[str, str]
    workers: Sequence["subprocess.Popen[str]"]

    def prefect(self, *arguments: str) -> str:
        """What a `prefect` command prints.

        Raises:
            ClusterError: it fails.
        """
        return run_prefect(arguments, self.environment)


@contextmanager
def local_server(
    *,
    host: str,
    port: int,
    pools: Sequence[str],
    home: Path | None,
    data: Path | None,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[LocalServer]:
    """Server, pools, deployments of prefect.yaml, and one worker for each of `pools`.

    Args:
        host: Where the server listens.
        port: Where the server listens.
        pools: CPU_POOL, GPU_POOL or both.
        home: Folder of Prefect's database; None is Prefect's own.
        data: Folder that the nightly preparation reads.
        say: Is told what is waited for.

    Raises:
        ClusterError: the server does not start, or refuses the deployments.
    """
    environment = _environment(host, port, home, data)
    with ExitStack() as running:
        say("starting Prefect's server …")
        address = ["--host", host, "--port", str(port)]
        server = _process(address, environment, module="flows.runtime.guarded_server")
        _wait_for(running.enter_context(server), host, port)
        say("making work pools and deployments …")
        for pool in (CPU_POOL, GPU_POOL):
            create = ("work-pool", "create", pool, "--type", "process", "--overwrite")
            run_prefect(create, environment)
        run_prefect(("deploy", "--all"), environment)
        say("starting workers …")
        workers = []
        for pool in pools:
            limit = ["--limit", "1"] if pool == GPU_POOL else []
            worker = _process(["worker", "start", "--pool", pool, *limit], environment)
            workers.append(running.enter_context(worker))
        yield LocalServer(f"http://{host}:{port}", environment, workers)


def run_prefect(arguments: Sequence[str], environment: dict[str, str]) -> str:
    """What a `prefect` command prints.

    Raises:
        ClusterError: it fails.
    """
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
        env=environment,
        cwd=environment["DUBFLOW_HOME"],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        last = " ".join((done.stderr + done.stdout).split())[-300:]
        raise ClusterError(f"`prefect {' '.join(arguments)}` failed: {last}")
    return done.stdout


def _environment(host: str, port: int, home: Path | None, data: Path | None) -> dict[str, str]:
    environment = {
        **os.environ,
        "PREFECT_API_URL": f"http://{host}:{port}/api",
        "PREFECT_SERVER_UI_ENABLED": "true",
        _LEASES: os.environ.get(_LEASES, _LEASES_IN_FILES),
        "DUBFLOW_HOME": str(Path(__file__).parents[2]),
        "DUBFLOW_DATA": str((data or Path(os.environ.get("DUBFLOW_DATA", "data"))).absolute()),
    }
    if home is not None:
        environment["PREFECT_HOME"] = str(home.absolute())
    return environment


@contextmanager
def _process(
    arguments: list[str], environment: dict[str, str], *, module: str = "prefect"
) -> "Iterator[subprocess.Popen[str]]":
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.runtime.tied", module, *arguments],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(server: "subprocess.Popen[str]", host: str, port: int) -> None:
    """Until this server answers; what another one at the same port says does not count.

    Raises:
        ClusterError: it has ended, or does not answer.
    """
    url = f"http://{host}:{port}/api/health"
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise ClusterError(
                f"Prefect's server ended at once (status {server.returncode}); is port {port} "
                f"taken? `--port` names another; `prefect server start --port {port}` shows more"
            )
        if _listens(server.pid, port) and _is_healthy(url):
            return
        time.sleep(0.5)
    raise ClusterError(
        f"Prefect's server did not answer at {url} within {_START_SECONDS:.0f} s; is the port "
        "taken? `--port` names another"
    )


def _listens(process: int, port: int) -> bool:
    """Whether the process, or one that it started, listens at the port."""
    try:
        started = psutil.Process(process)
        return any(
            connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            for each in (started, *started.children(recursive=True))
            for connection in each.net_connections("tcp")
        )
    except psutil.NoSuchProcess:
        return False


def _is_healthy(url: str) -> bool:
    import httpx

    try:
        return httpx.get(url, timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False
