"""Stages as Prefect task runs: states and timing on the run's page. The store stays the cache.

Prefect keeps no results: a reference in its own cache could point at something collected, and
its locks outlive a killed holder.
"""

from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import wait
from prefect.states import Completed

from stores.artifacts.artifact import Artifact
from tasks.engine.call import Call
from tasks.engine.perform import perform_call
from tasks.engine.run import Run


@task(name="stage", cache_policy=NO_CACHE, persist_result=False)
def _perform(call: Call) -> dict[str, str]:
    perform_call(call)
    return {"kind": call.kind, "key": call.key}


@task(name="cached stage", cache_policy=NO_CACHE, persist_result=False)
def _cached(kind: str, key: str) -> State[dict[str, str]]:
    return Completed(name="Cached", data={"kind": kind, "key": key})


class PrefectExecutor:
    """Submits each call to the task runner of the active flow run."""

    settle_seconds = 0.0

    def ranges(self, run: Run, *, network: bool) -> int:
        return run.workers

    def perform(self, run: Run, calls: Sequence[Call]) -> None:
        futures = [
            _perform.with_options(name=call.kind, task_run_name=str(call)).submit(call)
            for call in calls
        ]
        wait(futures)
        for future in futures:
            future.result()

    def note_hit(self, artifact: Artifact) -> None:
        name = f"{artifact.kind} {artifact.key[:8]}"
        named = _cached.with_options(name=artifact.kind, task_run_name=name)
        named.submit(artifact.kind, artifact.key).wait()

    def stop(self) -> None:
        return
