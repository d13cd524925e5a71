"""One run of a flow: where its artifacts go, how many work at once, and what happened."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from tasks.engine.device_settings import DeviceSettings

if TYPE_CHECKING:
    from tasks.engine.cluster import Cluster


class Progress(Protocol):
    """Whoever shows progress. Rows are frames in most stages."""

    def begin(self, stage: str, rows: int | None, done: int) -> None:
        """A stage starts; `rows` is None where its length is not known."""

    def advance(self, stage: str, rows: int) -> None:
        """Some rows are finished. Called from any thread."""

    def end(self, stage: str, *, cached: bool) -> None:
        """The stage is in the store."""


class NoProgress:
    """Shows nothing."""

    def begin(self, stage: str, rows: int | None, done: int) -> None:
        return

    def advance(self, stage: str, rows: int) -> None:
        return

    def end(self, stage: str, *, cached: bool) -> None:
        return


@dataclass(frozen=True)
class StageRecord:
    """What one stage did in this run.

    Attributes:
        name: Kind of the artifact.
        key: Its content key.
        seconds: Wall time in this run.
        hits: Ranges that were in the store already (1 for a stage without ranges).
        computed: Ranges that were computed now.
    """

    name: str
    key: str
    seconds: float
    hits: int
    computed: int


@dataclass
class Run:
    """Context that every stage of a run shares.

    Attributes:
        store: Where artifacts go.
        workers: Ranges of a stage that are computed at the same time.
        devices: Where and how networks run.
        progress: Who shows it.
        records: One per stage call, in order.
        stop: Set to end it soon; finished shards are kept.
        cluster: Whose workers compute; None is this process.
        lent: This process is a worker, and another one drives the run.
    """

    store: Store
    workers: int = 1
    devices: DeviceSettings = field(default_factory=DeviceSettings)
    progress: Progress = field(default_factory=NoProgress)
    records: list[StageRecord] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    cluster: "Cluster | None" = None
    lent: bool = False

    @contextmanager
    def active(self) -> Iterator["Run"]:
        """Make this the run that stages report to; holds the store against the collector.

        Raises:
            ClusterError: the cluster can't do what this run needs.
        """
        with self.current(), self.store.in_use():
            if self.cluster is not None:
                self.cluster.check(self.store, self.devices)
            _working[id(self)] = self
            try:
                yield self
            finally:
                _working.pop(id(self), None)

    @contextmanager
    def current(self) -> Iterator["Run"]:
        """Only make this the run that stages report to: whoever drives it holds the store."""
        token = _current.set(self)
        try:
            yield self
        finally:
            _current.reset(token)

    def record(self, artifact: Artifact, *, seconds: float, hits: int, computed: int) -> None:
        """Note what a stage did."""
        self.records.append(
            StageRecord(artifact.kind, artifact.key, round(seconds, 3), hits, computed)
        )

    @property
    def touched(self) -> list[tuple[str, str]]:
        """(kind, key) of every artifact used or made, without repeats."""
        return list(dict.fromkeys((record.name, record.key) for record in self.records))


_current: ContextVar[Run | None] = ContextVar("dubflow_run", default=None)

_working: dict[int, Run] = {}
"""Runs that are active in any thread of this process."""


def stop_runs() -> None:
    """End all runs of this process soon, each after the range in hand."""
    for run in list(_working.values()):
        run.stop.set()
        if run.cluster is not None:
            run.cluster.stop()


def current_run() -> Run:
    """The run that is active here.

    Raises:
        RuntimeError: a stage was called outside `Run.active()`.
    """
    run = _current.get()
    if run is None:
        raise RuntimeError("stages run inside `with Run(store).active():`")
    return run


def current_devices() -> DeviceSettings:
    """Where the networks of the run that is active here run; without one, the best there is."""
    run = current_run_or_none()
    return run.devices if run is not None else DeviceSettings()


PROCESSORS = "DUBFLOW_PROCESSORS"
"""Environment variable: this process's share of the machine, where several work side by side."""


def usable_processors() -> int:
    """Processors that this process may use."""
    if share := os.environ.get(PROCESSORS):
        return int(share)
    available = getattr(os, "sched_getaffinity", None)
    return len(available(0)) if available else os.cpu_count() or 1


def current_run_or_none() -> Run | None:
    """As `current_run`; None where no run is active."""
    return _current.get()
