"""Clusters by name: processes of this machine, a scheduler's address, or a YAML file."""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from flows.names import YAML
from flows.presets import checked, read_yaml
from stores.errors import ClusterError, SettingsError
from stores.shipped import shipped_file
from tasks.engine.cluster import GPU, Cluster
from tasks.engine.run import PROCESSORS, usable_processors

if TYPE_CHECKING:
    from distributed import Client

PRELOAD = "flows.runtime.dask_worker"

_BYTES_PER_WORKER = 2 << 30
"""Of memory; a local cluster has no more workers than fit."""

_SCHEMES = ("tcp://", "tls://")

_CONFIG = {
    # Workers hold no data: nothing to spill, and a paused worker would wait for ever.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    # A library that holds the interpreter's lock through a long call is not dead.
    "distributed.scheduler.worker-ttl": "30 minutes",
    # A worker that dies is started again by its nanny; Dask would end the nanny if, 15 s after a
    # death, the worker is just not there, as after another one.
    "distributed.deploy.lost-worker-timeout": "365 days",
}


class TlsSettings(BaseModel):
    """Files of a scheduler that takes encrypted connections only."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ca: Path = Field(description="certificate of the authority, PEM")
    certificate: Path = Field(description="of this client, PEM")
    key: Path = Field(description="of this client, PEM")


class ClusterSettings(BaseModel):
    """Where calls of stages are performed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: str | None = Field(
        default=None, description="of a scheduler: tcp://host:port or tls://…; none: this machine"
    )
    tls: TlsSettings | None = Field(default=None, description="files for a tls:// address")
    workers: int = Field(
        default=0,
        ge=0,
        description="processes on this machine; 0: one per processor, as far as memory goes",
    )
    gpus: int | None = Field(
        default=None,
        ge=0,
        description="more processes, with a GPU each; none: as many as there are GPUs",
    )
    memory_gb: float = Field(
        default=0, ge=0, description="a process that holds more is started again; 0: an even share"
    )
    in_flight: int = Field(default=2, ge=1, description="calls under way per slot of the workers")
    patience_seconds: float = Field(
        default=60, gt=0, description="how long there may be no fitting worker, or no scheduler"
    )

    @model_validator(mode="after")
    def _check(self) -> "ClusterSettings":
        if self.address is None:
            if self.tls is not None:
                raise ValueError("tls is for an address")
            return self
        if not self.address.startswith(_SCHEMES):
            raise ValueError(f"expected tcp://host:port or tls://host:port, got {self.address}")
        if self.workers or self.gpus or self.memory_gb:
            raise ValueError("workers, gpus and memory_gb are for this machine, not for an address")
        return self


def read_cluster(spec: str, *, workers: int = 0) -> ClusterSettings:
    """What a text on the command line stands for.

    Args:
        spec: `local`, `local:N`, `tcp://host:port`, `tls://host:port`, a YAML file, or the name of
            one in configs/clusters.
        workers: Processes of `local`.

    Raises:
        SettingsError: it stands for nothing, or the file is not as it should be.
    """
    where = f"--cluster {spec}: "
    name, _, count = spec.partition(":")
    if name == "local":
        if count and not count.isdecimal():
            raise SettingsError(f"{where}expected local:N with a number")
        return ClusterSettings(workers=int(count) if count else workers)
    given = {"address": spec} if spec.startswith(_SCHEMES) else read_yaml(_file(spec))
    return checked(ClusterSettings, given, where=where)


@contextmanager
def open_cluster(
    spec: str | ClusterSettings | None, *, workers: int = 0
) -> Iterator[Cluster | None]:
    """Start or reach a cluster; on leaving, disconnect, and end what was started here.

    Args:
        spec: As `read_cluster` takes it; none gives None: this process computes.
        workers: As `read_cluster` takes it.

    Raises:
        SettingsError: as `read_cluster`.
        ClusterError: it can't be reached, or has no workers.
    """
    if spec is None:
        yield None
        return
    settings = read_cluster(spec, workers=workers) if isinstance(spec, str) else spec
    _silence()
    opened = _connected(settings) if settings.address is not None else _local(settings)
    with opened as client:
        cluster = Cluster(
            client, in_flight=settings.in_flight, patience_seconds=settings.patience_seconds
        )
        try:
            cluster.await_workers()
            yield cluster
        finally:
            cluster.close()


@contextmanager
def _connected(settings: ClusterSettings) -> "Iterator[Client]":
    from distributed import Client, Security

    assert settings.address is not None
    security = None
    if settings.tls is not None:
        security = Security(
            tls_ca_file=str(settings.tls.ca),
            tls_client_cert=str(settings.tls.certificate),
            tls_client_key=str(settings.tls.key),
            require_encryption=True,
        )
    try:
        client = Client(
            settings.address,
            security=security,
            timeout=settings.patience_seconds,
            set_as_default=False,
        )
    except (OSError, TimeoutError, ValueError, ImportError) as error:
        raise ClusterError(
            f"no scheduler answers at {settings.address}: start one with `dask scheduler`, or name "
            f"another with --cluster ({_first_line(error)})"
        ) from error
    with client:
        yield client


@contextmanager
def _local(settings: ClusterSettings) -> "Iterator[Client]":
    """A scheduler in this process, and workers in processes of their own that end with it."""
    import dask.config
    from distributed import Client, Scheduler
    from distributed.deploy.spec import SpecCluster
    from distributed.system import MEMORY_LIMIT

    from flows.runtime.dask_nanny import Nanny

    gpus = _gpus()[: settings.gpus] if settings.gpus is not None else _gpus()
    tokens = [*gpus, *[""] * ((settings.gpus or 0) - len(gpus))]
    processors = usable_processors()
    count = settings.workers or max(1, min(processors, MEMORY_LIMIT // _BYTES_PER_WORKER))
    memory = int(settings.memory_gb * 1e9) or MEMORY_LIMIT // (count + len(tokens))
    share = {PROCESSORS: str(max(1, processors // (count + len(tokens))))}
    options: dict[str, Any] = {
        "nthreads": 1,
        "memory_limit": memory,
        "preload": [PRELOAD],
        "host": "127.0.0.1",
        "dashboard": False,
        "dashboard_address": "127.0.0.1:0",
    }
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if gpus else {}
    workers: dict[str, Any] = {
        f"cpu-{number}": {"cls": Nanny, "options": {**options, "env": {**share, **hidden}}}
        for number in range(count)
    }
    for number, gpu in enumerate(tokens):
        seen = {"CUDA_VISIBLE_DEVICES": gpu} if gpu else {}
        workers[f"gpu-{number}"] = {
            "cls": Nanny,
            "options": {**options, "env": {**share, **seen}, "resources": {GPU: 1}},
        }
    scheduler = {
        "cls": Scheduler,
        "options": {"host": "127.0.0.1", "dashboard": False, "dashboard_address": "127.0.0.1:0"},
    }
    with dask.config.set(_CONFIG), ExitStack() as stack:
        with _interrupts_later():
            try:
                processes = SpecCluster(workers=workers, scheduler=scheduler, name="dubflow")
            except (OSError, RuntimeError, TimeoutError) as error:
                raise ClusterError(
                    f"the local cluster does not start: {_first_line(error)}"
                ) from error
            stack.enter_context(processes)
            client = stack.enter_context(Client(processes, set_as_default=False))
        yield client


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """Keep Ctrl-C waiting; what is started inside never gets it.

    A terminal sends it to all processes of a command. Workers inherit the mask, so that only the
    driver hears it, and ends them in order.
    """
    resource_tracker.ensure_running()  # which would lift the mask, if the first worker started it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _silence() -> None:
    """What Dask has to say becomes a ClusterError, unless the user wants to read it."""
    import distributed  # noqa: F401  (sets the levels of its loggers)

    if os.environ.get("DASK_LOGGING__DISTRIBUTED") == "critical":  # our own default
        for name in ("distributed", "distributed.client"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _gpus() -> list[str]:
    """Those that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [each for each in named.split(",") if each]
    folder = Path("/proc/driver/nvidia/gpus")
    return [str(number) for number in range(len(list(folder.iterdir())))] if folder.is_dir() else []


def _file(spec: str) -> Path:
    if spec.endswith(YAML):
        return Path(spec)
    try:
        return shipped_file(f"configs/clusters/{spec}.yaml")
    except FileNotFoundError:
        raise SettingsError(
            f"--cluster {spec}: expected local, local:N, tcp://host:port or a YAML file"
        ) from None


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
