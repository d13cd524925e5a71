"""Calls of a stage on the workers of a cluster.

One Dask task per call. Results are not moved: the store has them, and a future only says that a
call has ended. A call may be performed again at any time, because a worker was lost or Dask gave up
a finished task: whatever is in the store by then is not computed again.
"""

import json
import queue
import socket
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from stores.errors import ClusterError
from tasks.engine.cluster import GPU, TOPIC, Cluster, WorkerGroup
from tasks.engine.device_settings import DeviceSettings
from tasks.engine.executors import Call, perform_call
from tasks.engine.run import Progress, Run

if TYPE_CHECKING:
    from distributed import Future, Worker

ATTEMPTS = 4
"""How often a call may lose its worker: as often as Dask's own `allowed-failures` lets it."""

_POLL_SECONDS = 0.5
_TELL_SECONDS = 0.5
"""A worker tells of finished rows no more often than this, for the scheduler's sake."""


class DaskExecutor:
    """Submits calls, a bounded number at a time."""

    def __init__(self, run: Run, cluster: Cluster) -> None:
        self._run = run
        self._cluster = cluster

    def perform(self, stage: str, calls: Sequence[Call]) -> None:
        _Performance(self._run, self._cluster, stage, calls).finish()

    def note_hit(self, stage: str, artifact: Artifact) -> None:
        return


class _Ticket:
    """A call, and where it is."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.rows = 0
        self.attempts = 0
        self.lane: WorkerGroup | None = None

    def __str__(self) -> str:
        shards = self.call["shards"]
        part = f" shards {shards[0]}-{shards[-1]}" if shards else ""
        return f"{self.call['stage'].rpartition(':')[2]} {self.call['key'][:8]}{part}"


class _Performance:
    """The calls of one stage, from the first submission to the last result."""

    def __init__(self, run: Run, cluster: Cluster, stage: str, calls: Sequence[Call]) -> None:
        self._run = run
        self._cluster = cluster
        self._stage = stage
        self._waiting = deque(_Ticket(call) for call in calls)
        self._under_way: dict[Future[Any], _Ticket] = {}
        self._news: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        self._fit_since = time.monotonic()
        self._was_connected = True
        self._counting = threading.Lock()

    def finish(self) -> None:
        """Return when all are done."""
        try:
            while self._waiting or self._under_way:
                self._submit()
                self._listen()
                self._look_after()
        except BaseException:
            self._cluster.cancel(self._under_way)
            for ticket in self._under_way.values():
                assert ticket.lane is not None
                self._cluster.give_back(ticket.lane)
            raise

    def _submit(self) -> None:
        while self._waiting and self._cluster.connected:
            ticket = self._waiting[0]
            lane = self._cluster.lane(network=_wants_gpu(ticket.call))
            if not self._cluster.take(lane):
                return
            ticket.lane = lane
            try:
                future = self._cluster.submit(
                    perform_remotely,
                    _for_lane(ticket.call, lane),
                    lane,
                    label=f"{self._stage}-{ticket.call['key'][:8]}",
                    on_rows=partial(self._tick, ticket),
                )
            except BaseException:
                self._cluster.give_back(lane)
                raise
            self._waiting.popleft()
            self._under_way[future] = ticket
            future.add_done_callback(self._news.put)

    def _listen(self) -> None:
        """Take in what has ended, or wait a moment."""
        try:
            future = self._news.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            return
        ticket = self._under_way.get(future)
        if ticket is None:  # given up before
            return
        status = future.status  # before it is put down, after which it is "cancelled"
        if status == "error":
            raise self._explained(ticket, future) from None
        self._put_down(future, ticket)
        if status == "finished":
            if ticket.call["rows"] is not None:
                self._tick(ticket, ticket.call["rows"])
        else:
            self._again(ticket)

    def _look_after(self) -> None:
        """See to what Dask would leave hanging.

        Raises:
            ClusterError: nothing helps.
        """
        if self._run.stop.is_set() or self._cluster.stopped:
            raise ClusterError(
                "stopped; finished ranges are kept, the same command goes on from there"
            )
        if self._cluster.connected:
            if not self._was_connected:
                self._cluster.heard_again()
            self._stranded()
        self._was_connected = self._cluster.connected
        calls = [*self._waiting, *self._under_way.values()]
        if self._was_connected and all(self._fits(ticket) for ticket in calls):
            self._fit_since = time.monotonic()
        elif self._cluster.lost or self._waited() > self._cluster.patience_seconds:
            raise ClusterError(self._what_is_missing())

    def _stranded(self) -> None:
        """Calls whose workers are all gone: Dask would wait for workers at the same addresses."""
        for future, ticket in list(self._under_way.items()):
            lane = ticket.lane
            if lane is None or not lane.closed:
                continue
            now = self._cluster.lane(network=_wants_gpu(ticket.call))
            if now.slots and lane.slots.keys().isdisjoint(now.slots):
                self._cluster.cancel([future])
                self._put_down(future, ticket)
                self._again(ticket)

    def _fits(self, ticket: _Ticket) -> bool:
        return bool(self._cluster.lane(network=_wants_gpu(ticket.call)).slots)

    def _waited(self) -> float:
        return time.monotonic() - self._fit_since

    def _what_is_missing(self) -> str:
        address, seconds = self._cluster.address, f"{self._waited():.0f} s"
        if not self._was_connected:
            return (
                f"the scheduler {address} is gone; start it and its workers again, and then the "
                "same command: finished ranges are kept"
            )
        call = next(iter([*self._under_way.values(), *self._waiting])).call
        gpu = self._cluster.lane(network=_wants_gpu(call)).name == GPU
        sort = "worker with a GPU" if gpu else "worker"
        return (
            f"{self._stage} waits for a {sort}, and {address} has had none for {seconds}; start "
            "one, and then the same command: finished ranges are kept"
        )

    def _put_down(self, future: "Future[Any]", ticket: _Ticket) -> None:
        del self._under_way[future]
        assert ticket.lane is not None
        self._cluster.give_back(ticket.lane)
        self._cluster.forget(future)

    def _again(self, ticket: _Ticket) -> None:
        ticket.attempts += 1
        if ticket.attempts >= ATTEMPTS:
            raise ClusterError(_died(ticket))
        self._waiting.append(ticket)

    def _explained(self, ticket: _Ticket, future: "Future[Any]") -> BaseException:
        from distributed import KilledWorker

        error: BaseException = future.exception()
        if isinstance(error, KilledWorker):
            return ClusterError(_died(ticket))
        if isinstance(error, ModuleNotFoundError):
            return ClusterError(
                f"a worker of {self._cluster.address} has no {error.name}; install Dubflow there, "
                "the same version"
            )
        return error.with_traceback(future.traceback())

    def _tick(self, ticket: _Ticket, rows: int) -> None:
        """Show progress; a call counts no more rows than it has, however often it is performed.

        Args:
            ticket: The call.
            rows: New ones; all of the call when it has ended.
        """
        whole = ticket.call["rows"]
        with self._counting:
            if whole is not None:
                rows = min(rows, whole - ticket.rows)
            ticket.rows += rows
        if rows > 0:
            self._run.progress.advance(self._stage, rows)


def _wants_gpu(call: Call) -> bool:
    return bool(call["network"]) and call["devices"]["device"] != "cpu"


def _for_lane(call: Call, lane: WorkerGroup) -> Call:
    """Workers without a GPU do their best, whatever device the run demands of those that have."""
    if lane.name == GPU or call["devices"]["device"] == "cpu":
        return call
    return {**call, "devices": {**call["devices"], "device": "auto"}}


def _died(ticket: _Ticket) -> str:
    return (
        f"{ticket}: {ATTEMPTS} workers died while they computed it; most often their memory is too "
        "small, or the input crashes a library; DASK_LOGGING__DISTRIBUTED=info shows more"
    )


def perform_remotely(text: str, key: str) -> None:
    """On a worker: do one call.

    Args:
        text: The call as JSON.
        key: Of its future.
    """
    from distributed import get_worker

    call: dict[str, Any] = json.loads(text)
    url = call["store"]
    if "://" not in url and not Path(url).is_dir():
        raise ClusterError(f"the worker on {socket.gethostname()} does not see the store {url}")
    worker = get_worker()
    stop = _NotWanted(worker, key)
    run = Run(
        Store(url),
        devices=DeviceSettings.model_validate(call["devices"]),
        progress=_Teller(worker, key),
        stop=stop,
        lent=True,
    )
    with run.current():
        perform_call(call)
    if stop.is_set():
        raise ClusterError("cancelled")  # nobody hears it, but it must not count as done


class _NotWanted(threading.Event):
    """Set when the driver has cancelled the call or is gone."""

    def __init__(self, worker: "Worker", key: str) -> None:
        super().__init__()
        self._worker = worker
        self._key = key

    def is_set(self) -> bool:
        task = self._worker.state.tasks.get(self._key)
        return super().is_set() or task is None or task.state in ("cancelled", "forgotten")


class _Teller(Progress):
    """Sends rows to the driver, many at a time."""

    def __init__(self, worker: "Worker", key: str) -> None:
        self._worker = worker
        self._key = key
        self._rows = 0
        self._told = time.monotonic()

    def begin(self, stage: str, rows: int | None, done: int) -> None:
        return

    def advance(self, stage: str, rows: int) -> None:
        self._rows += rows
        if time.monotonic() - self._told >= _TELL_SECONDS:
            message: Mapping[str, Any] = {"call": self._key, "rows": self._rows}
            self._worker.log_event(TOPIC, message)
            self._rows, self._told = 0, time.monotonic()

    def end(self, stage: str, *, cached: bool) -> None:
        return
