"""Stages as Prefect task runs: states and timing on the run's page. The store stays the cache.

Prefect keeps no results: a reference in its own cache could point at something collected, and
its locks outlive a killed holder.
"""

from collections.abc import Sequence
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import wait
from prefect.states import Completed

from stores.artifacts.artifact import Artifact
from tasks.engine.executors import Call, perform_call


@task(name="stage", cache_policy=NO_CACHE, persist_result=False)
def _perform(call: dict[str, Any]) -> dict[str, Any]:
    return perform_call(call)


@task(name="cached stage", cache_policy=NO_CACHE, persist_result=False)
def _cached(kind: str, key: str) -> State[dict[str, str]]:
    return Completed(name="Cached", data={"kind": kind, "key": key})


class PrefectExecutor:
    """Submits each call to the task runner of the active flow run."""

    def perform(self, stage: str, calls: Sequence[Call]) -> None:
        futures = [
            _perform.with_options(name=stage, task_run_name=_name(stage, call)).submit(dict(call))
            for call in calls
        ]
        wait(futures)
        for future in futures:
            future.result()

    def note_hit(self, stage: str, artifact: Artifact) -> None:
        named = _cached.with_options(name=stage, task_run_name=f"{stage} {artifact.key[:8]}")
        named.submit(artifact.kind, artifact.key).wait()


def _name(stage: str, call: Call) -> str:
    shards = call["shards"]
    part = "" if shards is None else f" shards {shards[0]}-{shards[-1]}"
    return f"{stage} {call['key'][:8]}{part}"
