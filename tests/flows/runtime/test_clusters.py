"""What --cluster takes, and a scheduler that goes away."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.runtime.clusters import ClusterSettings, open_cluster, read_cluster
from stores.artifacts.store import Store
from stores.errors import ClusterError, SettingsError
from tasks.engine.open_run import open_run
from tests.conftest import ROOT
from tests.tasks.toy_stages import ToySettings, numbers

DASK = Path(sys.executable).with_name("dask")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("local", {}),
        ("local:4", {"workers": 4}),
        ("tcp://lab:8786", {"address": "tcp://lab:8786"}),
        ("tls://lab:8786", {"address": "tls://lab:8786"}),
        ("workstation", {}),
        ("lan", {"address": "tcp://scheduler.lan:8786"}),
    ],
)
def test_what_names_a_cluster(spec: str, expected: dict[str, object]) -> None:
    assert read_cluster(spec) == ClusterSettings.model_validate(expected)


@pytest.mark.parametrize(
    ("spec", "content", "message"),
    [
        ("local:many", "", "--cluster local:many: expected local:N with a number"),
        ("http://lab", "", "expected local, local:N, tcp://host:port or a YAML file"),
        ("lost.yaml", None, "lost.yaml: no such file; check the path"),
        ("a.yaml", "adress: tcp://lab:1", "a.yaml: adress: there is no such setting (did you mean"),
        ("a.yaml", "address: lab:1", "expected tcp://host:port or tls://host:port, got lab:1"),
        ("a.yaml", "{address: 'tcp://lab:1', gpus: 2}", "are for this machine, not for an address"),
        ("a.yaml", "workers: {", "a.yaml is not YAML"),
    ],
)
def test_what_does_not(
    spec: str,
    content: str | None,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("a.yaml").write_text(content)
    with pytest.raises(SettingsError) as caught:
        read_cluster(spec)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_worker_that_is_slow_to_end_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import distributed.nanny

    kill = distributed.nanny.WorkerProcess.kill
    slow = []

    async def kills(self: Any, **options: Any) -> None:
        await kill(self, **options)
        slow.append(self)
        raise TimeoutError

    monkeypatch.setattr(distributed.nanny.WorkerProcess, "kill", kills)
    with open_cluster(ClusterSettings(workers=1, gpus=0)):
        pass
    assert slow


def test_nothing_looks_at_a_workers_frames_meanwhile() -> None:
    """Python 3.11 may stand still for ever in `sys._current_frames`."""

    def callbacks(dask_worker: Any) -> list[str]:
        return sorted(dask_worker.periodic_callbacks)

    with open_cluster(ClusterSettings(workers=1, gpus=0)) as cluster:
        assert cluster is not None
        (found,) = cluster._client.run(callbacks).values()
    assert "heartbeat" in found and not [name for name in found if "profile" in name]


def test_no_scheduler_there() -> None:
    settings = ClusterSettings(address=f"tcp://127.0.0.1:{free_port()}", patience_seconds=1)
    expected = r"^no scheduler answers at .*`dask scheduler`"
    with pytest.raises(ClusterError, match=expected), open_cluster(settings):
        pass


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Machines:
    """A scheduler and its workers, as a user starts them."""

    def __init__(self, log: Path) -> None:
        self.port = free_port()
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),  # for the toy stages
            "TOY_LOG": str(log),
            "TOY_SECONDS": "0.3",
        }
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        port, address = str(self.port), f"tcp://127.0.0.1:{self.port}"
        here = ("--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0")
        self._start("scheduler", "--port", port, *here)
        for resources in ((), ("--resources", "GPU=1")):
            options = (
                "--nthreads",
                "1",
                "--preload",
                "flows.runtime.dask_worker",
                *here,
                *resources,
            )
            self._start("worker", address, *options)

    def _start(self, *arguments: str) -> None:
        self._running.append(subprocess.Popen([str(DASK), *arguments], env=self._environment))

    def kill_scheduler(self) -> None:
        """`kill -9`; its workers end by themselves."""
        for process in self._running:
            if process.args[1] == "scheduler":
                process.kill()
        for process in self._running:
            process.wait(60)
        self._running.clear()

    def end(self) -> None:
        for process in self._running:
            process.kill()
        for process in self._running:
            process.wait(60)


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    started = Machines(tmp_path / "log")
    started.start()
    yield started
    started.end()


@pytest.mark.slow
@pytest.mark.parametrize("comes_back", [True, False])
def test_a_killed_scheduler(comes_back: bool, machines: Machines, tmp_path: Path) -> None:
    settings = ClusterSettings(
        address=f"tcp://127.0.0.1:{machines.port}", patience_seconds=120 if comes_back else 20
    )
    log, store = tmp_path / "log", Store(tmp_path / "store")

    def strike() -> None:
        while not log.exists() or len(log.read_text().split()) < 4:
            time.sleep(0.05)
        machines.kill_scheduler()
        if comes_back:
            machines.start()

    striker = threading.Thread(target=strike)
    with open_cluster(settings) as cluster:
        assert cluster is not None
        while cluster.workers < 2:
            time.sleep(0.1)
        assert cluster.offers_gpu
        with open_run(store, workers=4, cluster=cluster):
            striker.start()
            if comes_back:
                assert numbers(320, ToySettings()).damage() == []
            else:
                with pytest.raises(ClusterError, match=r"^the scheduler .* is gone; start it"):
                    numbers(320, ToySettings())
        striker.join()
    if comes_back:
        assert set(log.read_text().split()) == {str(shard) for shard in range(20)}
        assert len(log.read_text().split()) <= 22
