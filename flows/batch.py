"""Dub the rows of a manifest: side by side, each on its own, none done twice."""

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from flows.batch_report import RowResult, State, read_report, write_report
from flows.dub import check_inputs, dub
from flows.manifest import Row, read_manifest
from flows.report import DubReport
from flows.side_by_side import side_by_side
from stores.catalog import write_catalog
from stores.errors import DubflowError
from stores.keys import content_key
from stores.source import Source
from stores.store import Store, default_store
from tasks.cluster import Cluster
from tasks.run import NoProgress, Progress, usable_processors

MAX_ROWS = 8
"""Rows side by side without a cluster; each holds the memory of a dub."""


class BatchSettings(BaseModel):
    """One batch: which rows, and how they are run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    manifest: Path = Field(description="CSV, Parquet, JSON lines or YAML; one row per dub")
    store: str = Field(default_factory=default_store, description="where artifacts are kept")
    report: Path | None = Field(
        None, description="Parquet file; default: beside the manifest, NAME.report.parquet"
    )
    defaults: dict[str, Any] = Field(
        {}, description="settings of every dub that a row does not set itself"
    )
    rows: int = Field(
        0, ge=0, description="rows side by side; 0: one per processor, or two per cluster worker"
    )
    cluster: str | None = Field(
        None, description="local, local:N, tcp://host:port, or a YAML file; none: this process"
    )
    again: bool = Field(False, description="also rows that are done")

    @property
    def report_path(self) -> Path:
        """Where the report goes."""
        return self.report or self.manifest.with_name(f"{self.manifest.stem}.report.parquet")


@dataclass(frozen=True)
class BatchReport:
    """How a batch ended.

    Attributes:
        rows: In the manifest's order.
        path: The same as Parquet.
        seconds: Wall time.
    """

    rows: list[RowResult]
    path: Path
    seconds: float

    def count(self, state: State) -> int:
        """Rows that ended so."""
        return sum(row.state is state for row in self.rows)


class Watch(Protocol):
    """Whoever shows a batch to people. All methods may be called from any thread."""

    def start(self, rows: int) -> None:
        """The batch begins."""

    def row(self, row: Row) -> Progress:
        """A row begins; its stages are shown through what this gives."""

    def ended(self, row: Row, result: RowResult) -> None:
        """A row has ended."""


class NoWatch:
    """Shows nothing."""

    def start(self, rows: int) -> None:
        return

    def row(self, row: Row) -> Progress:
        return NoProgress()

    def ended(self, row: Row, result: RowResult) -> None:
        return


Dub = Callable[[Row, Progress], DubReport]


def batch(
    settings: BatchSettings,
    *,
    watch: Watch | None = None,
    cluster: Cluster | None = None,
    perform: Dub | None = None,
) -> BatchReport:
    """Dub every row that is not done; a failed row stops no other.

    Args:
        watch: Who shows progress.
        cluster: Where ranges are computed; None for this process.
        perform: How a row is dubbed; a Prefect run wraps it.

    Raises:
        InputError: the manifest can't be read, or a row of it is not what a row must be.
    """
    start = time.perf_counter()
    watch = watch or NoWatch()
    rows = read_manifest(settings.manifest, _defaults(settings, cluster))
    if perform is None:

        def perform(row: Row, progress: Progress) -> DubReport:
            return dub(row.settings, progress=progress, cluster=cluster, catalog=False)

    store = Store(settings.store)
    before = {} if settings.again else read_report(settings.report_path)
    results: dict[int, RowResult] = {}
    watch.start(len(rows))
    with store.in_use():
        worker = _Worker(before, perform, watch)
        for row, result in side_by_side(rows, worker, count=settings.rows or _count(cluster)):
            results[row.number] = result
            write_report(settings.report_path, [*_kept(before, results), *results.values()])
            watch.ended(row, result)
        ordered = [results[row.number] for row in rows]
        write_report(settings.report_path, ordered)
        if any(row.computed or row.state is State.FAILED for row in ordered):
            write_catalog(store)
    return BatchReport(ordered, settings.report_path, time.perf_counter() - start)


def _defaults(settings: BatchSettings, cluster: Cluster | None = None) -> dict[str, Any]:
    """What a row does not set; in this process a row works with one thread."""
    workers = 0 if cluster is not None else 1
    return {"workers": workers, **settings.defaults, "store": settings.store}


def _count(cluster: Cluster | None) -> int:
    """Rows side by side: while one waits for its slowest range, another keeps workers busy."""
    return 2 * cluster.slots() if cluster is not None else min(usable_processors(), MAX_ROWS)


@dataclass(frozen=True)
class _Worker:
    """Dubs one row, whatever may be wrong with it."""

    before: dict[int, RowResult]
    perform: Dub
    watch: Watch

    def __call__(self, row: Row) -> RowResult:
        start = time.perf_counter()
        key = ""
        try:
            check_inputs(row.settings)
            key = row_key(row)
            if (earlier := self._earlier(row, key)) is not None:
                return earlier
            report = self.perform(row, self.watch.row(row))
        except DubflowError as error:
            reason = str(error)
        except Exception as error:
            traceback.print_exc()
            reason = f"internal error, please report it: {type(error).__name__}: {error}"
        else:
            return _ended(row, key, report, time.perf_counter() - start)
        return RowResult(
            row.number,
            str(row.settings.output),
            State.FAILED,
            reason,
            key,
            time.perf_counter() - start,
        )

    def _earlier(self, row: Row, key: str) -> RowResult | None:
        """What an earlier batch made of the same row, if it is still there."""
        earlier = self.before.get(row.number)
        if earlier is None or earlier.key != key or earlier.state is State.FAILED:
            return None
        output = row.settings.output
        if not output.is_file() or output.stat().st_size != earlier.size:
            return None
        state = State.FILTERED if earlier.state is State.FILTERED else State.BEFORE
        return RowResult(**{**earlier.__dict__, "state": state, "seconds": 0.0, "computed": 0})


def row_key(row: Row) -> str:
    """Key of what a row asks for: its settings, and the bytes of its inputs."""
    given = row.settings.model_dump(mode="json", exclude={"video", "audio", "store", "workers"})
    given |= {"devices": None, "output": str(row.settings.output)}
    inputs = [Source.of(path).key for path in (row.settings.video, row.settings.audio)]
    return content_key({"settings": given, "inputs": inputs})


def _ended(row: Row, key: str, report: DubReport, seconds: float) -> RowResult:
    nobody = report.valid_frames == 0
    return RowResult(
        number=row.number,
        output=str(row.settings.output),
        state=State.FILTERED if nobody else State.DONE,
        reason="no usable face in any frame: the picture passed through" if nobody else "",
        key=key,
        seconds=seconds,
        video_seconds=report.seconds,
        frames=report.frames,
        valid_frames=report.valid_frames,
        computed=sum(stage.computed for stage in report.stages),
        hits=sum(stage.hits for stage in report.stages),
        size=row.settings.output.stat().st_size,
        notes=report.notes,
    )


def _kept(before: dict[int, RowResult], results: dict[int, RowResult]) -> list[RowResult]:
    """What is known of rows that have not ended yet, so that an interrupt loses nothing."""
    return [row for number, row in before.items() if number not in results]


def check_rows(settings: BatchSettings) -> list[tuple[Row, str]]:
    """What can be found wrong with rows without dubbing them.

    Raises:
        InputError: as `batch`.
    """
    problems = []
    for row in read_manifest(settings.manifest, _defaults(settings)):
        try:
            check_inputs(row.settings)
        except DubflowError as error:
            problems.append((row, str(error)))
    return problems


def as_json(report: BatchReport) -> dict[str, Any]:
    """The report for other programs."""
    rows = [{**row.__dict__, "state": row.state.value} for row in report.rows]
    return {"rows": rows, "report": str(report.path), "seconds": round(report.seconds, 3)}
