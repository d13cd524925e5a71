"""The same jobs as flow runs of a Prefect server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.jobs.job import State
from flows.settings import DubSettings
from stores.errors import ClusterError, InputError
from tasks.engine.run import NoProgress

pytestmark = [pytest.mark.dub, pytest.mark.long]


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    """A Prefect server with a database of its own, and no worker."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.mark.usefixtures("server")
def test_jobs_are_flow_runs(tmp_path: Path) -> None:
    from prefect.client.orchestration import get_client
    from prefect.states import Completed, Failed, Running

    from flows.jobs.prefect_jobs import FILTERED, PrefectJobs

    given = {"video": "/a.mp4", "audio": "/b.wav", "output": tmp_path / "o.mp4", "store": "/s"}
    settings, jobs = DubSettings.model_validate(given), PrefectJobs()
    with pytest.raises(ClusterError, match="no deployment dub/dub; `dubflow up` makes it"):
        jobs.submit("k", settings)
    with get_client(sync_client=True) as client:
        flow = client.create_flow_from_name("dub")
        client.create_deployment(flow_id=flow, name="dub")
        job, new = jobs.submit("k", settings)
        assert new and (job.state, job.key) == (State.QUEUED, "k")
        assert DubSettings.model_validate(job.settings) == settings
        again, new = jobs.submit("k", settings)
        assert (again.id, new) == (job.id, False)
        assert jobs.cancel(job).state is State.CANCELLED
        with pytest.raises(InputError, match="nothing to cancel"):
            jobs.cancel(jobs.all()[0])
        assert jobs.retry(jobs.all()[0]).state is State.QUEUED
        client.set_flow_run_state(job.id, Running(), force=True)
        with pytest.raises(InputError, match="only one that has ended"):
            jobs.retry(jobs.all()[0])
        client.set_flow_run_state(job.id, Failed(message="a.mp4 is lost"), force=True)
        failed = jobs.all()[0]
        assert (failed.state, failed.error) == (State.FAILED, "a.mp4 is lost")
        told = Completed(name=FILTERED, message="no face was found\nit is short")
        client.set_flow_run_state(job.id, told, force=True)
        filtered = jobs.all()[0]
        assert (filtered.state, filtered.error[:14]) == (State.FILTERED, "no usable face")
        assert filtered.notes == ["no face was found", "it is short"]
        client.set_flow_run_state(job.id, Completed(), force=True)
        assert (jobs.all()[0].state, jobs.all()[0].notes) == (State.DONE, [])
        jobs.wait([job.id], lambda settings, progress: pytest.fail(), NoProgress())
        other, new = jobs.submit("l", settings)
        assert new
        assert [each.id for each in jobs.all()] == [job.id, other.id]
