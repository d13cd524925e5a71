"""Calls of a stage on the workers of a cluster.

One Dask task per call. Results are not moved: the store has them, and a future only says that a
call has ended. A call may be performed again at any time, because a worker was lost or Dask gave up
a finished task: whatever is in the store by then is not computed again.
"""

import queue
import socket
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from stores.errors import ClusterError
from tasks.engine.call import Call
from tasks.engine.cluster import GPU, TOPIC, Cluster, WorkerGroup
from tasks.engine.perform import perform_call
from tasks.engine.run import Progress, Run

if TYPE_CHECKING:
    from distributed import Future, Worker

ATTEMPTS = 4
"""How often a call may lose its worker: as often as Dask's own `allowed-failures` lets it."""

_POLL_SECONDS = 0.5
_REPORT_SECONDS = 0.5
"""A worker tells of finished rows no more often than this, for the scheduler's sake."""


class DaskExecutor:
    """Submits calls to a cluster, a bounded number at a time."""

    settle_seconds = 60.0
    """A shared mount may take so long to show what another machine wrote: NFS keeps names for up
    to a minute."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def ranges(self, run: Run, *, network: bool) -> int:
        return min(run.workers, self._cluster.slots(network=True)) if network else run.workers

    def perform(self, run: Run, calls: Sequence[Call]) -> None:
        if calls:
            _Performance(run, self._cluster, calls).finish()

    def note_hit(self, artifact: Artifact) -> None:
        return


@dataclass
class _PendingCall:
    """A call, and where it is.

    Attributes:
        call: What to do.
        rows: Finished so far.
        attempts: That lost their worker.
        group: Workers that it was given to; None while it waits.
    """

    call: Call
    rows: int = 0
    attempts: int = 0
    group: WorkerGroup | None = None


class _Performance:
    """The calls of one stage, from the first submission to the last result."""

    def __init__(self, run: Run, cluster: Cluster, calls: Sequence[Call]) -> None:
        self._run = run
        self._cluster = cluster
        self._kind = calls[0].kind
        self._waiting = deque(_PendingCall(call) for call in calls)
        self._under_way: dict[Future[Any], _PendingCall] = {}
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
            for pending in self._under_way.values():
                assert pending.group is not None
                self._cluster.give_back(pending.group)
            raise

    def _submit(self) -> None:
        while self._waiting and self._cluster.connected:
            pending = self._waiting[0]
            group = self._cluster.group(network=pending.call.wants_gpu)
            if not self._cluster.take(group):
                return
            pending.group = group
            try:
                future = self._cluster.submit(
                    perform_remotely,
                    _for_group(pending.call, group),
                    group,
                    label=f"{self._kind}-{pending.call.key[:8]}",
                    on_rows=partial(self._tick, pending),
                )
            except BaseException:
                self._cluster.give_back(group)
                raise
            self._waiting.popleft()
            self._under_way[future] = pending
            future.add_done_callback(self._news.put)

    def _listen(self) -> None:
        """Take in what has ended, or wait a moment."""
        try:
            future = self._news.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            return
        pending = self._under_way.get(future)
        if pending is None:  # given up before
            return
        status = future.status  # before it is put down, after which it is "cancelled"
        if status == "error":
            raise self._explained(pending, future) from None
        self._put_down(future, pending)
        if status == "finished":
            if pending.call.rows is not None:
                self._tick(pending, pending.call.rows)
        else:
            self._again(pending)

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
                self._cluster.resubscribe()
            self._stranded()
        self._was_connected = self._cluster.connected
        calls = [*self._waiting, *self._under_way.values()]
        if self._was_connected and all(self._fits(pending) for pending in calls):
            self._fit_since = time.monotonic()
        elif self._cluster.lost or self._waited() > self._cluster.patience_seconds:
            raise ClusterError(self._what_is_missing())

    def _stranded(self) -> None:
        """Calls whose workers are all gone: Dask would wait for workers at the same addresses."""
        for future, pending in list(self._under_way.items()):
            group = pending.group
            if group is None or not group.closed:
                continue
            now = self._cluster.group(network=pending.call.wants_gpu)
            if now.slots and group.slots.keys().isdisjoint(now.slots):
                self._cluster.cancel([future])
                self._put_down(future, pending)
                self._again(pending)

    def _fits(self, pending: _PendingCall) -> bool:
        return bool(self._cluster.group(network=pending.call.wants_gpu).slots)

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
        gpu = self._cluster.group(network=call.wants_gpu).name == GPU
        sort = "worker with a GPU" if gpu else "worker"
        return (
            f"{self._kind} waits for a {sort}, and {address} has had none for {seconds}; start "
            "one, and then the same command: finished ranges are kept"
        )

    def _put_down(self, future: "Future[Any]", pending: _PendingCall) -> None:
        del self._under_way[future]
        assert pending.group is not None
        self._cluster.give_back(pending.group)
        self._cluster.forget(future)

    def _again(self, pending: _PendingCall) -> None:
        pending.attempts += 1
        if pending.attempts >= ATTEMPTS:
            raise ClusterError(_died(pending))
        self._waiting.append(pending)

    def _explained(self, pending: _PendingCall, future: "Future[Any]") -> BaseException:
        from distributed import KilledWorker

        error: BaseException = future.exception()
        if isinstance(error, KilledWorker):
            return ClusterError(_died(pending))
        if isinstance(error, ModuleNotFoundError):
            return ClusterError(
                f"a worker of {self._cluster.address} has no {error.name}; install Dubflow there, "
                "the same version"
            )
        return error.with_traceback(future.traceback())

    def _tick(self, pending: _PendingCall, rows: int) -> None:
        """Show progress; a call counts no more rows than it has, however often it is performed.

        Args:
            pending: The call.
            rows: New ones; all of the call when it has ended.
        """
        whole = pending.call.rows
        with self._counting:
            if whole is not None:
                rows = min(rows, whole - pending.rows)
            pending.rows += rows
        if rows > 0:
            self._run.progress.advance(pending.call.title, rows)


def _for_group(call: Call, group: WorkerGroup) -> Call:
    """Workers without a GPU do their best, whatever device the run demands of those that have."""
    if group.name == GPU or call.devices.device == "cpu":
        return call
    devices = call.devices.model_copy(update={"device": "auto"})
    return call.model_copy(update={"devices": devices})


def _died(pending: _PendingCall) -> str:
    return (
        f"{pending.call}: {ATTEMPTS} workers died while they computed it; most often their memory "
        "is too small, or the input crashes a library; DASK_LOGGING__DISTRIBUTED=info shows more"
    )


def perform_remotely(text: str, key: str) -> None:
    """On a worker: do one call.

    Args:
        text: The call as JSON.
        key: Of its future.
    """
    from distributed import get_worker

    call = Call.model_validate_json(text)
    if "://" not in call.store and not Path(call.store).is_dir():
        raise ClusterError(
            f"the worker on {socket.gethostname()} does not see the store {call.store}"
        )
    worker = get_worker()
    stop = _Cancelled(worker, key)
    progress = _RowReporter(worker, key)
    with Run(Store(call.store), devices=call.devices, progress=progress, stop=stop).current():
        perform_call(call)
    if stop.is_set():
        raise ClusterError("cancelled")  # nobody reads it, but it must not count as done


class _Cancelled(threading.Event):
    """Set when the driver has cancelled the call or is gone."""

    def __init__(self, worker: "Worker", key: str) -> None:
        super().__init__()
        self._worker = worker
        self._key = key

    def is_set(self) -> bool:
        task = self._worker.state.tasks.get(self._key)
        return super().is_set() or task is None or task.state in ("cancelled", "forgotten")


class _RowReporter(Progress):
    """Sends rows to the driver, many at a time."""

    def __init__(self, worker: "Worker", key: str) -> None:
        self._worker = worker
        self._key = key
        self._rows = 0
        self._reported = time.monotonic()

    def begin(self, stage: str, rows: int | None, done: int) -> None:
        return

    def advance(self, stage: str, rows: int) -> None:
        self._rows += rows
        if time.monotonic() - self._reported >= _REPORT_SECONDS:
            message: Mapping[str, Any] = {"call": self._key, "rows": self._rows}
            self._worker.log_event(TOPIC, message)
            self._rows, self._reported = 0, time.monotonic()

    def end(self, stage: str, *, cached: bool) -> None:
        return

    def note(self, text: str) -> None:
        return
