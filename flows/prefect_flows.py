"""The flows as Prefect knows them: for `--prefect`, a known server, deployments and schedules.

Each calls the plain function of its module; the stages inside see that a flow run is active and
become task runs of it.
"""

from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.task_runners import ThreadPoolTaskRunner

from flows.dub import dub
from flows.progress import watcher
from flows.settings import DubSettings

_MAX_TASKS = 16
"""Most ranges under way in one flow run; `DubSettings.workers` decides how many there are."""


@flow(
    name="dub",
    flow_run_name="dub {settings.video.name}",
    task_runner=ThreadPoolTaskRunner(max_workers=_MAX_TASKS),  # type: ignore[arg-type]
    persist_result=False,
    retries=0,
)
def dub_flow(settings: DubSettings) -> dict[str, Any]:
    """Dub one video; gives the report as JSON."""
    report = dub(settings, progress=watcher()).model_dump(mode="json")
    create_table_artifact(
        key="stages", table=report["stages"], description="Ranges from the store, and computed now"
    )
    create_markdown_artifact(
        key="result",
        markdown=f"`{report['output']}`: {report['frames']} frames, {report['seconds']:.2f} s, "
        f"mouth made anew in {report['valid_frames']}",
    )
    return report
