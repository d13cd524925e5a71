"""The flows as Prefect knows them: for `--prefect`, a known server, deployments and schedules.

Each calls the plain function of its module. In a dub, the stages see that a flow run is active and
become task runs of it; in a batch or an evaluation each row is one task run, however many ranges it
has, so that the server sees one run per clip.
"""

import base64
import logging
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed
from prefect.task_runners import ThreadPoolTaskRunner

from flows.batch import BatchObserver, Dub, NoBatchObserver, as_json, batch
from flows.batches.manifest import Row
from flows.batches.progress import BatchBars
from flows.batches.report import RowResult, State
from flows.batches.settings import BatchSettings
from flows.dub import dub
from flows.dub_report import DubReport
from flows.evaluate import evaluate
from flows.evaluation.settings import EvaluateSettings
from flows.jobs.prefect_jobs import FILTERED
from flows.personalisation.settings import PersonaliseSettings
from flows.preparation.settings import PrepareSettings
from flows.prepare import prepare
from flows.runtime.clusters import open_cluster
from flows.runtime.progress import Bars, watcher
from flows.settings import DubSettings
from flows.training.settings import TrainSettings
from stores.artifacts.settings import inspect_address, inspect_command
from stores.errors import DubflowError
from tasks.engine.cluster import Cluster
from tasks.engine.run import Progress
from viewer.sheet import contact_sheet

_MAX_TASKS = 16
"""Most ranges under way in one flow run; `DubSettings.workers` decides how many there are."""


@flow(
    name="dub",
    flow_run_name="dub {settings.video.name}",
    task_runner=ThreadPoolTaskRunner(max_workers=_MAX_TASKS),  # type: ignore[arg-type]
    persist_result=False,
    retries=0,
)
def dub_flow(
    settings: DubSettings, cluster: str | None = None, redo_of: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Dub one video, on a cluster if one is named; gives the report as JSON.

    The state that it ends in says what a job has to tell: the notes, and whether there was nothing
    to dub.

    Args:
        redo_of: As of `stores.runs.RunRecord`.
    """
    with open_cluster(cluster) as workers:
        made = dub(settings, progress=watcher(Bars), cluster=workers, redo_of=redo_of)
        report = made.model_dump(mode="json")
    create_table_artifact(
        key="stages", table=report["stages"], description="Ranges from the store, and computed now"
    )
    create_markdown_artifact(
        key="result",
        markdown=f"`{report['output']}`: {report['frames']} frames, {report['seconds']:.2f} s, "
        f"mouth made anew in {report['valid_frames']}\n\nLook at all of it: "
        f"`{inspect_command(report['output'], settings.store)}`",
    )
    if (address := inspect_address(f"/run/{report['run']}")) is not None:
        create_link_artifact(link=address, link_text="Look at all of it", key="inspect")
    _show(Path(report["output"]), "sheet", "Frames of the result")
    name, told = FILTERED if made.filtered else None, "\n".join(made.notes) or None
    # Whoever calls the flow gets the data of the state.
    return Completed(name=name, message=told, data=report)  # type: ignore[return-value]


@flow(name="batch", flow_run_name="batch {settings.manifest.name}", persist_result=False, retries=0)
def batch_flow(settings: BatchSettings) -> dict[str, Any]:
    """Dub the rows of a manifest; gives the report as JSON."""
    with open_cluster(settings.cluster) as cluster:
        watch = _BatchPage(watcher(BatchBars) or NoBatchObserver())
        report = as_json(batch(settings, watch=watch, cluster=cluster, perform=_row_task(cluster)))
    shown = ("number", "state", "output", "frames", "valid_frames", "seconds", "computed", "reason")
    create_table_artifact(
        key="rows",
        table=[{name: row[name] for name in shown} | _seen(row) for row in report["rows"]],
        description=f"Rows of {settings.manifest.name}; the same as Parquet: {report['report']}",
    )
    return report


@flow(name="evaluate", persist_result=False, retries=0)
def evaluate_flow(settings: EvaluateSettings) -> dict[str, Any]:
    """Measure systems under protocols; gives where the report is."""
    with open_cluster(settings.cluster) as cluster:
        done = evaluate(settings, progress=watcher(Bars), cluster=cluster)
    create_markdown_artifact(key="report", markdown=(done.html.with_suffix(".md")).read_text())
    return {"report": str(done.html), "items": done.items, "failures": done.failures}


@flow(name="prepare", persist_result=False, retries=0)
def prepare_flow(settings: PrepareSettings) -> dict[str, Any]:
    """Prepare a data set; gives the report as JSON."""
    with open_cluster(settings.cluster) as cluster:
        report = prepare(settings, progress=watcher(Bars), cluster=cluster)
    return report.model_dump(mode="json")


@flow(name="train", flow_run_name="train {settings.recipe}", persist_result=False, retries=0)
def train_flow(settings: TrainSettings) -> dict[str, Any]:
    """Train a recipe, or go on with a training; gives its card."""
    from flows.runtime.training_progress import OnTerminal
    from flows.train import train  # torch: seconds that no other flow has to wait

    warn = get_run_logger().warning
    card = train(settings, watch=OnTerminal(), progress=watcher(Bars), say=warn)
    create_markdown_artifact(key="card", markdown=(settings.output / "card.md").read_text())
    return card


@flow(
    name="personalise",
    flow_run_name="personalise {settings.video.name}",
    task_runner=ThreadPoolTaskRunner(max_workers=_MAX_TASKS),  # type: ignore[arg-type]
    persist_result=False,
    retries=0,
)
def personalise_flow(settings: PersonaliseSettings, cluster: str | None = None) -> dict[str, Any]:
    """Learn a person, or go on with it, stages on a cluster if one is named; gives the card."""
    from flows.personalise import personalise  # torch, as above
    from flows.runtime.training_progress import OnTerminal

    say = get_run_logger().info
    with open_cluster(cluster) as workers:
        report = personalise(
            settings, watch=OnTerminal, progress=watcher(Bars), cluster=workers, say=say
        )
    create_markdown_artifact(key="card", markdown=(settings.output / "card.md").read_text())
    return report.model_dump(mode="json")


def _seen(row: dict[str, Any]) -> dict[str, str]:
    """Where a row's dub is looked at."""
    address = inspect_address(f"/run/{row['run']}") if row["run"] else None
    return {"run": row["run"]} | ({"look": f"[inspect]({address})"} if address else {})


def _row_task(cluster: Cluster | None) -> Dub:
    """A row as one task run, with a contact sheet on the page."""

    def perform(row: Row, progress: Progress) -> DubReport:
        @task(name="row", task_run_name=row.name, cache_policy=NO_CACHE, persist_result=False)
        def dub_row() -> DubReport:
            report = dub(row.settings, progress=progress, cluster=cluster, catalog=False)
            _show(report.output, f"row-{row.number}", f"Row {row.name}")
            return report

        return dub_row()

    return perform


class _BatchPage:
    """Progress on the run's page, and to whoever watches at the terminal."""

    def __init__(self, terminal: BatchObserver) -> None:
        self._terminal = terminal
        self._rows = self._ended = 0
        self._states: dict[State, int] = {}
        self._artifact: Any = None

    def start(self, rows: int) -> None:
        self._rows = rows
        self._artifact = create_progress_artifact(0.0, key="batch", description=f"0 of {rows} rows")
        self._terminal.start(rows)

    def row(self, row: Row) -> Progress:
        return self._terminal.row(row)

    def ended(self, row: Row, result: RowResult) -> None:
        self._ended += 1
        self._states[result.state] = self._states.get(result.state, 0) + 1
        told = ", ".join(f"{count} {state.value}" for state, count in self._states.items())
        update_progress_artifact(
            self._artifact,
            100 * self._ended / self._rows,
            description=f"{self._ended} of {self._rows} rows: {told}",
        )
        told = f"row {row.name}: {result.state.value}, {result.seconds:.1f} s {result.reason}"
        level = logging.WARNING if result.state is State.FAILED else logging.INFO
        get_run_logger().log(level, told.strip())
        self._terminal.ended(row, result)


def _show(video: Path, key: str, description: str) -> None:
    """A contact sheet of a result on the page; nothing if it can't be read."""
    try:
        sheet = base64.b64encode(contact_sheet(video)).decode()
    except DubflowError:
        return
    create_image_artifact(f"data:image/jpeg;base64,{sheet}", key=key, description=description)
