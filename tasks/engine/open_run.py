"""Opens a run: the one place that decides who performs the calls of its stages."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from stores.artifacts.store import Store
from stores.errors import DamagedArtifact
from tasks.engine.device_settings import DeviceSettings
from tasks.engine.perform import ThreadExecutor
from tasks.engine.run import Executor, NoProgress, Pool, Progress, Run

if TYPE_CHECKING:
    from tasks.engine.cluster import Cluster


class RunGroup:
    """Runs that are opened while it is joined, in whatever thread: they can be ended together."""

    def __init__(self) -> None:
        self._runs: dict[int, Run] = {}
        self._stopped = False
        self._lock = threading.Lock()

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Runs that are opened inside belong to the group."""
        token = _group.set(self)
        try:
            yield
        finally:
            _group.reset(token)

    def stop(self) -> None:
        """End all runs of the group soon, each after the range in hand; also those to come."""
        with self._lock:
            self._stopped = True
            for run in self._runs.values():
                run.stop.set()

    @contextmanager
    def including(self, run: Run) -> Iterator[None]:
        """The run belongs to the group as long as it is open."""
        with self._lock:
            self._runs[id(run)] = run
            if self._stopped:
                run.stop.set()
        try:
            yield
        finally:
            with self._lock:
                del self._runs[id(run)]


_group: ContextVar[RunGroup | None] = ContextVar("dubflow_run_group", default=None)


def current_group() -> RunGroup:
    """The group that is joined here, or one that nobody else has."""
    return _group.get() or RunGroup()


@contextmanager
def open_run(
    store: Store,
    *,
    workers: int = 1,
    devices: DeviceSettings | None = None,
    progress: Progress | None = None,
    cluster: "Cluster | None" = None,
    pool: Pool | None = None,
) -> Iterator[Run]:
    """A run that the stages called inside belong to; holds the store against the collector.

    Args:
        store: Where artifacts go.
        workers: Ranges of a stage that are computed at the same time, on this machine.
        devices: Where and how networks run; None is the best there is.
        progress: Who shows it.
        cluster: Whose workers compute; None is this process, or Prefect's task runner if a flow
            run is active here.
        pool: Worker processes of this machine that perform the calls for which it takes them.

    Raises:
        ClusterError: the cluster can't do what this run needs.
        DamagedArtifact: what a stage made is damaged; it is taken out, to be made again.
    """
    run = Run(
        store,
        _executor(cluster),
        workers,
        devices or DeviceSettings(),
        progress or NoProgress(),
        pool=pool,
    )
    with run.current(), store.in_use():
        if cluster is not None:
            cluster.check(store, run.devices)
        try:
            with current_group().including(run):
                yield run
        except DamagedArtifact as damage:
            if (damage.kind, damage.key) not in run.touched:  # no stage of this run makes it again
                raise
            store.remove(damage.kind, damage.key)
            raise DamagedArtifact(damage.kind, damage.key, damage.what, taken_out=True) from damage


def _executor(cluster: "Cluster | None") -> Executor:
    """The cluster, else the Prefect flow run that is active here, else threads.

    With a cluster, calls go straight to it also under Prefect, whose task runs would cost more than
    many a call. The same holds inside a task run: the row of a batch is one.
    """
    if cluster is not None:
        from tasks.engine.dask_executor import DaskExecutor

        return DaskExecutor(cluster)
    module = sys.modules.get("prefect.context")
    if module is not None and module.FlowRunContext.get() and not module.TaskRunContext.get():
        from tasks.engine.prefect_executor import PrefectExecutor

        return PrefectExecutor()
    return ThreadExecutor()
