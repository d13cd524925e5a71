"""Who performs the calls of a stage: a cluster, this process, or the Prefect run it is part of."""

import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import Any, Protocol

from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from tasks.engine.device_settings import DeviceSettings
from tasks.engine.run import Run, current_run_or_none

Call = Mapping[str, Any]
"""JSON, and all that a worker needs to know:

    {"stage": address, "store": URL, "key": …, "arguments": …,
     "devices": …, "network": whether it runs one,
     "shards": [index, …] | None, "rows": of these shards | None}
"""


class Executor(Protocol):
    """Performs calls, and tells whoever watches what was found in the store."""

    def perform(self, stage: str, calls: Sequence[Call]) -> None:
        """Return when all are done; the first error is raised, after the others have stopped."""

    def note_hit(self, stage: str, artifact: Artifact) -> None:
        """A result was found in the store."""


def executor(run: Run) -> Executor:
    """The run's cluster, else the Prefect flow run that is active here, else this process.

    With a cluster, calls go straight to it also under Prefect, whose task runs would cost more than
    many a call. The same holds inside a task run: the row of a batch is one.
    """
    if run.cluster is not None:
        from tasks.engine.dask_executor import DaskExecutor

        return DaskExecutor(run, run.cluster)
    module = sys.modules.get("prefect.context")
    if module is not None and module.FlowRunContext.get() and not module.TaskRunContext.get():
        from tasks.engine.prefect_executor import PrefectExecutor

        return PrefectExecutor()
    return DirectExecutor(run)


def perform_call(call: Call) -> dict[str, Any]:
    """Do one call; runs on any worker that reaches the store."""
    from tasks.engine.stage import load_stage

    stage, store = load_stage(call["stage"]), Store(call["store"])
    if current_run_or_none() is None:
        devices = DeviceSettings.model_validate(call["devices"])
        with Run(store, devices=devices, lent=True).current():
            stage.compute(store, call)
    else:
        stage.compute(store, call)
    return {"stage": call["stage"], "key": call["key"], "shards": call["shards"]}


class DirectExecutor:
    """Threads of this process; a single call is made in the calling thread."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def perform(self, stage: str, calls: Sequence[Call]) -> None:
        if len(calls) < 2:
            for call in calls:
                perform_call(call)
            return
        with ThreadPoolExecutor(len(calls), thread_name_prefix=stage) as pool:
            futures = [pool.submit(copy_context().run, perform_call, call) for call in calls]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                stopped_before = self._run.stop.is_set()
                self._run.stop.set()
                wait(futures)
                if not stopped_before:
                    self._run.stop.clear()
                raise

    def note_hit(self, stage: str, artifact: Artifact) -> None:
        return
