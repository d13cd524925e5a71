"""Stages as Prefect task runs: states and timing on the run's page. The store stays the cache.

Prefect keeps no results: a reference in its own cache could point at something collected, and
its locks outlive a killed holder.
"""

from collections.abc import Sequence

from prefect import task
from prefect.artifacts import create_link_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import as_completed, wait
from prefect.states import Cancelled, Completed

from stores.artifacts.artifact import Artifact
from stores.artifacts.settings import inspect_address
from tasks.engine.call import Call
from tasks.engine.perform import others_stopped, perform_beside
from tasks.engine.run import Run, current_run

GPU = "gpu"
"""Tag of the task runs of stages that run networks, for a concurrency limit on them."""


@task(name="stage", cache_policy=NO_CACHE, persist_result=False)
def _perform(call: Call) -> dict[str, str] | State[dict[str, str]]:
    if current_run().stop.is_set():  # it has waited for its turn, and another call failed meanwhile
        return Cancelled(message="another range of the stage failed")
    perform_beside(current_run(), call)
    link_to_page(call.kind, call.key)
    return {"kind": call.kind, "key": call.key}


@task(name="cached stage", cache_policy=NO_CACHE, persist_result=False)
def _cached(kind: str, key: str) -> State[dict[str, str]]:
    link_to_page(kind, key)
    return Completed(name="Cached", data={"kind": kind, "key": key})


def link_to_page(kind: str, key: str) -> None:
    """Let the task run's page link to where `dubflow inspect` shows the artifact, if it does."""
    address = inspect_address(f"/artifact/{kind}/{key}")
    if address is not None:
        create_link_artifact(
            link=address, link_text=f"{kind} {key[:8]}", key=f"inspect-{kind.replace('_', '-')}"
        )


class PrefectExecutor:
    """Submits each call to the task runner of the active flow run."""

    settle_seconds = 0.0

    def ranges(self, run: Run, *, network: bool) -> int:
        return run.workers

    def perform(self, run: Run, calls: Sequence[Call]) -> None:
        futures = [
            _perform.with_options(
                name=call.title, task_run_name=str(call), tags=[GPU] if call.network else []
            ).submit(call)
            for call in calls
        ]
        with others_stopped(run, lambda: wait(futures)):
            for future in as_completed(futures):
                future.result()

    def note_hit(self, artifact: Artifact) -> None:
        name = f"{artifact.kind} {artifact.key[:8]}"
        named = _cached.with_options(name=artifact.kind, task_run_name=name)
        named.submit(artifact.kind, artifact.key).wait()
