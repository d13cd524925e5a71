"""Jobs on the Prefect server that is known: flow runs of the deployment `dub/dub`.

The server queues them, its workers run them, its idempotency keys make two submissions one run.
"""

import time
from collections.abc import Sequence
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Cancelling, Scheduled

from flows.dub_report import NOBODY
from flows.jobs.job import Job, Perform, State
from flows.settings import DubSettings
from stores.errors import ClusterError, InputError
from tasks.engine.run import Progress

FILTERED = "Filtered"
"""Name of the state of a run that has completed, and had nothing to dub."""
TAG = "dubflow-job"
_KEY_TAG = "key:"
_POLL_SECONDS = 2.0
_PAGE = 200
_STATES = {
    "PENDING": State.QUEUED,
    "SCHEDULED": State.QUEUED,
    "PAUSED": State.QUEUED,
    "RUNNING": State.RUNNING,
    "CANCELLING": State.RUNNING,
    "COMPLETED": State.DONE,
    "CANCELLED": State.CANCELLED,
}


class PrefectJobs:
    """Jobs of the server at PREFECT_API_URL.

    Args:
        deployment: That runs them.
    """

    def __init__(self, deployment: str = "dub/dub") -> None:
        self._deployment = deployment

    def submit(self, key: str, settings: DubSettings) -> tuple[Job, bool]:
        """As `Jobs`.

        Raises:
            ClusterError: the server lacks the deployment.
        """
        with _client() as client:
            for run in _runs(client):
                if (job := _job(run)).key == key:
                    return job, False
            try:
                deployment = client.read_deployment_by_name(self._deployment)
            except ObjectNotFound:
                raise ClusterError(
                    f"the Prefect server has no deployment {self._deployment}; `dubflow up` makes "
                    "it, or `prefect deploy --all` (docs/deploy.md); --direct keeps jobs in a "
                    "folder of this machine"
                ) from None
            run = client.create_flow_run_from_deployment(
                deployment.id,
                parameters={"settings": settings.model_dump(mode="json")},
                idempotency_key=key,
                tags=[TAG, f"{_KEY_TAG}{key}"],
                name=f"dub {settings.video.name}",
            )
            return _job(run), True

    def all(self) -> list[Job]:
        """As `Jobs`."""
        with _client() as client:
            return [_job(run) for run in _runs(client)]

    def retry(self, job: Job) -> Job:
        """As `Jobs`."""
        if not job.state.ended:
            raise InputError(f"job {job.id} is {job.state}; only one that has ended is retried")
        return self._set(job, Scheduled(name="AwaitingRetry"))

    def cancel(self, job: Job) -> Job:
        """As `Jobs`."""
        if job.state.ended:
            raise InputError(f"job {job.id} is {job.state}: there is nothing to cancel")
        return self._set(job, Cancelling() if job.state is State.RUNNING else Cancelled())

    def wait(self, ids: Sequence[str], perform: Perform, progress: Progress) -> None:
        """As `Jobs`; runs none of them, the server's workers do."""
        while any(job.id in ids and not job.state.ended for job in self.all()):
            time.sleep(_POLL_SECONDS)

    def _set(self, job: Job, state: Any) -> Job:
        with _client() as client:
            client.set_flow_run_state(job.id, state, force=True)
            return _job(client.read_flow_run(job.id))  # type: ignore[arg-type]


def _client() -> SyncPrefectClient:
    return get_client(sync_client=True)


def _runs(client: SyncPrefectClient) -> list[FlowRun]:
    """All that were submitted as jobs, oldest first."""
    ours = FlowRunFilter(tags=FlowRunFilterTags(all_=[TAG]))
    found: list[FlowRun] = []
    while True:
        page = client.read_flow_runs(
            flow_run_filter=ours,
            sort=FlowRunSort.START_TIME_ASC,
            limit=_PAGE,
            offset=len(found),
        )
        found += page
        if len(page) < _PAGE:
            return sorted(found, key=lambda run: str(run.created))


def _job(run: FlowRun) -> Job:
    state = State.FAILED if run.state is None else _STATES.get(run.state.type.value, State.FAILED)
    told = (run.state.message or "") if run.state else ""
    if state is State.DONE and run.state and run.state.name == FILTERED:
        state, error = State.FILTERED, NOBODY
    else:
        error = told if state is State.FAILED else ""
    tags = [tag for tag in run.tags if tag.startswith(_KEY_TAG)]
    return Job(
        id=str(run.id),
        key=tags[0].removeprefix(_KEY_TAG) if tags else "",
        settings=dict(run.parameters["settings"]),
        state=state,
        submitted="" if run.created is None else run.created.isoformat(),
        attempts=run.run_count,
        error=error,
        notes=told.splitlines() if state.written else [],
    )
