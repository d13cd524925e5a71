"""Processes whose work is counted: Dask's parts, servers, and proxies in front of them."""

import inspect
import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

METHODS = ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE")
_BIN = Path(sys.executable).parent
_ROOT = str(Path(__file__).parent.parent)
_START_SECONDS = 60.0


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def processor_seconds(processes: list[psutil.Process]) -> float:
    """That they, and the processes below them, have used so far."""
    spent = 0.0
    for top in processes:
        with suppress(psutil.NoSuchProcess):
            for one in (top, *top.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    times = one.cpu_times()
                    spent += times.user + times.system
    return spent


# ---- HTTP


class CountingProxy:
    """Passes connections on, from a process of its own, and counts requests by their method."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        method = multiprocessing.get_context("spawn")
        self._counts: Any = method.Array("q", len(METHODS))
        self._process = method.Process(
            target=_serve, args=(self.port, target, self._counts), daemon=True
        )

    def __enter__(self) -> "CountingProxy":
        self._process.start()
        await_port(self.port)
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.join()

    def counts(self) -> Counter[str]:
        """Requests so far."""
        with self._counts.get_lock():
            return Counter(dict(zip(METHODS, self._counts, strict=True)))


def _serve(port: int, target: int, counts: Any) -> None:
    listener = socket.create_server(("127.0.0.1", port), backlog=256)
    while True:
        near, _ = listener.accept()
        far = socket.create_connection(("127.0.0.1", target))
        threading.Thread(target=_pass_on, args=(near, far, counts), daemon=True).start()
        threading.Thread(target=_pass_on, args=(far, near, None), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket, counts: Any) -> None:
    """A client sends the next request after the answer, so that it begins a block of bytes."""
    with suppress(OSError):
        while data := source.recv(1 << 18):
            if counts is not None and b" HTTP/1.1\r\n" in data[:4096]:
                method = data.split(b" ", 1)[0].decode("latin1")
                if method in METHODS:
                    with counts.get_lock():
                        counts[METHODS.index(method)] += 1
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def await_port(port: int) -> None:
    """Return when somebody listens."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise SystemExit(f"nobody listens on port {port}") from None
            time.sleep(0.1)


@contextmanager
def object_server() -> Iterator[int]:
    """The port of an S3 server that keeps objects in memory."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = _start(command)
    try:
        await_port(port)
        yield port
    finally:
        _end(server)


# ---- Dask


@dataclass(frozen=True)
class Machines:
    """Processes of a Dask cluster.

    Attributes:
        address: Of the scheduler.
        scheduler: Its process.
        workers: Theirs.
    """

    address: str
    scheduler: list[psutil.Process]
    workers: list[psutil.Process]


@contextmanager
def machines(count: int) -> Iterator[Machines]:
    """A scheduler and so many workers, each a process of its own, as docs/cluster.md says."""
    port = free_port()
    address, here = f"tcp://127.0.0.1:{port}", ("--host", "127.0.0.1", "--no-dashboard")
    dask = str(_BIN / "dask")
    options = ("--nthreads", "1", "--preload", "flows.runtime.dask_worker", *here)
    scheduler = _start([dask, "scheduler", "--port", str(port), *here])
    workers = [_start([dask, "worker", address, *options]) for _ in range(count)]
    try:
        yield Machines(
            address,
            [psutil.Process(scheduler.pid)],
            [psutil.Process(worker.pid) for worker in workers],
        )
    finally:
        for process in (*workers, scheduler):
            _end(process)


def count_messages(dask_scheduler: Any) -> None:
    """On a scheduler: from now on, count messages that come and go, and tasks that end."""
    from distributed.batched import BatchedSend
    from distributed.diagnostics.plugin import SchedulerPlugin

    counts: Counter[str] = Counter()
    dask_scheduler.dubflow_counts = counts

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


def read_messages(dask_scheduler: Any) -> dict[str, int]:
    """On a scheduler: what has been counted so far."""
    return dict(dask_scheduler.dubflow_counts)


def _start(command: list[str]) -> "subprocess.Popen[bytes]":
    paths = [_ROOT, *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
