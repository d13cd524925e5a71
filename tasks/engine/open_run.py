"""Opens a run: the one place that decides who performs the calls of its stages."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stores.artifacts.store import Store
from stores.errors import DamagedArtifact
from tasks.engine.device_settings import DeviceSettings
from tasks.engine.perform import ThreadExecutor
from tasks.engine.run import Executor, NoProgress, Progress, Run

if TYPE_CHECKING:
    from tasks.engine.cluster import Cluster

_open: dict[int, Run] = {}
"""Runs that are open in any thread of this process."""


@contextmanager
def open_run(
    store: Store,
    *,
    workers: int = 1,
    devices: DeviceSettings | None = None,
    progress: Progress | None = None,
    cluster: "Cluster | None" = None,
    stop: threading.Event | None = None,
) -> Iterator[Run]:
    """A run that the stages called inside belong to; holds the store against the collector.

    Args:
        store: Where artifacts go.
        workers: Ranges of a stage that are computed at the same time, on this machine.
        devices: Where and how networks run; None is the best there is.
        progress: Who shows it.
        cluster: Whose workers compute; None is this process, or Prefect's task runner if a flow
            run is active here.
        stop: Whoever sets it ends the run soon.

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
        stop=stop or threading.Event(),
    )
    with run.current(), store.in_use():
        if cluster is not None:
            cluster.check(store, run.devices)
        _open[id(run)] = run
        try:
            yield run
        except DamagedArtifact as damage:
            if (damage.kind, damage.key) not in run.touched:  # no stage of this run makes it again
                raise
            store.remove(damage.kind, damage.key)
            raise DamagedArtifact(damage.kind, damage.key, damage.what, taken_out=True) from damage
        finally:
            _open.pop(id(run), None)


def stop_runs() -> None:
    """End all runs of this process soon, each after the range in hand."""
    for run in list(_open.values()):
        run.stop.set()
        if run.executor is not None:
            run.executor.stop()


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
