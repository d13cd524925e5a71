"""Dub the rows of a manifest: side by side, each on its own, none done twice."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from flows.batches.manifest import NOT_GIVEN, Row, examine_manifest, read_manifest
from flows.batches.report import RowResult, State, read_report, write_report
from flows.batches.settings import BatchSettings
from flows.dub import dub, stage_versions
from flows.dub_inputs import check_inputs, files_of, input_faults, options_of_method
from flows.dub_report import DubReport
from flows.faults import faults_of, reason_of
from flows.runtime.side_by_side import side_by_side
from flows.store_limit import size_notes
from stores.artifacts.artifact import Artifact
from stores.artifacts.catalog import write_catalog
from stores.artifacts.keys import content_key
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.artifacts.versions import software_versions
from stores.backends.locks import exclusive_or_refuse
from stores.errors import InputError
from stores.places import check_new_file
from stores.runs import written_files
from tasks.engine.cluster import Cluster
from tasks.engine.processes import WorkerPool
from tasks.engine.run import NoProgress, Progress, usable_processors

MAX_ROWS = 8
"""Rows side by side without a cluster; each holds the memory of a dub."""

REPORT_SECONDS = 2.0
"""From one writing of the report to the next, at least: it holds all rows."""

_REPORT_PAUSE = 10.0
"""As many times as long as the last writing took; matters from some 100,000 rows on."""


@dataclass(frozen=True)
class BatchReport:
    """How a batch ended.

    Attributes:
        rows: In the manifest's order.
        path: The same as Parquet.
        seconds: Wall time.
        notes: What is to be known of the store.
    """

    rows: list[RowResult]
    path: Path
    seconds: float
    notes: list[str] = field(default_factory=list)

    def count(self, state: State) -> int:
        """Rows that ended so."""
        return sum(row.state is state for row in self.rows)


class BatchObserver(Protocol):
    """Whoever shows a batch to people. All methods may be called from any thread."""

    def start(self, rows: int) -> None:
        """The batch begins."""

    def row(self, row: Row) -> Progress:
        """A row begins; its stages are shown through what this gives."""

    def ended(self, row: Row, result: RowResult) -> None:
        """A row has ended."""


class NoBatchObserver:
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
    watch: BatchObserver | None = None,
    cluster: Cluster | None = None,
    perform: Dub | None = None,
) -> BatchReport:
    """Dub every row that is not done; a failed row stops no other.

    Args:
        watch: Who shows progress.
        cluster: Where ranges are computed; None for this process.
        perform: How a row is dubbed; a Prefect run wraps it.

    Raises:
        InputError: the manifest can't be read, or a row of it is not what a row must be; or
            another batch writes the same report.
    """
    start = time.perf_counter()
    watch = watch or NoBatchObserver()
    rows = read_manifest(settings.manifest, _defaults(settings, cluster))
    count = settings.rows or _count(cluster)
    pool = WorkerPool(0 if cluster else count)
    if perform is None:

        def perform(row: Row, progress: Progress) -> DubReport:
            return dub(row.settings, progress=progress, cluster=cluster, pool=pool, catalog=False)

    store = Store(settings.store)
    results: dict[int, RowResult] = {}
    with _alone(settings.report_path), store.in_use(), pool:
        before = {} if settings.again else read_report(settings.report_path)
        watch.start(len(rows))
        worker = _Worker(before, perform, watch, _Outputs(settings, before))
        with _Report(settings.report_path, before) as report:
            for row, result in side_by_side(rows, worker, count=count):
                results[row.number] = result
                report.add(result)
                watch.ended(row, result)
        notes: list[str] = []
        ordered = [results[row.number] for row in rows]
        if any(row.computed or row.state is State.FAILED for row in ordered):
            notes = size_notes(store, write_catalog(store))
    return BatchReport(ordered, settings.report_path, time.perf_counter() - start, notes)


@contextmanager
def _alone(report: Path) -> Iterator[None]:
    """No other batch writes the report meanwhile.

    Raises:
        InputError: one does, or it can't be written there.
    """
    check_new_file(report)
    with exclusive_or_refuse(report.with_name(f".{report.name}.lock")) as got:
        if not got:
            raise InputError(
                f"another batch is writing {report}; wait until it has ended, or name another "
                "report with --report"
            )
        yield


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
    watch: BatchObserver
    outputs: "_Outputs"

    def __call__(self, row: Row) -> RowResult:
        start = time.perf_counter()
        key = ""
        try:
            weights = check_inputs(row.settings)
            inputs = [Source.of(path) for path in files_of(row.settings)]
            key = row_key(row, inputs, weights)
            if (earlier := self._earlier(row, key)) is not None:
                return earlier
            self.outputs.check(row)
            report = self.perform(row, self.watch.row(row))
            for source in inputs:
                source.check()
        except Exception as error:
            reason = reason_of(error)
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


class _Outputs:
    """Which files a batch may replace: those that itself, or another run of its store, wrote."""

    def __init__(self, settings: BatchSettings, before: Mapping[int, RowResult]) -> None:
        self._settings = settings
        self._own = {Path(result.output).absolute() for result in before.values()}

    @cached_property
    def _written(self) -> set[str]:
        return written_files(Store(self._settings.store))

    def check(self, row: Row) -> None:
        """Raises InputError for a file that is not ours to replace."""
        output = row.settings.output.absolute()
        if self._settings.overwrite or not output.exists():
            return
        if output not in self._own and str(output) not in self._written:
            raise InputError(
                f"{row.settings.output} is there, and no run of this store wrote it; --overwrite "
                "replaces it"
            )


class _Report:
    """The report of a batch under way: written while rows end, and when the batch does.

    Each writing is of all rows, so there is a pause between two of them. A batch that is killed
    loses the rows of that pause from the report; given again, it finds them in the store. Any
    other end, Ctrl-C too, loses none.

    Args:
        path: Where it goes.
        before: What is known of rows that have not ended yet; lost if all have.
    """

    def __init__(self, path: Path, before: Mapping[int, RowResult]) -> None:
        self._path = path
        self._rows = dict(before)
        self._ended: set[int] = set()
        self._changed = threading.Event()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._error: Exception | None = None
        self._writer = threading.Thread(target=self._keep_writing, name="report", daemon=True)

    def __enter__(self) -> "_Report":
        self._writer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._changed.set()
        self._writer.join()
        if kind is None:  # then a row that has not ended is none of the manifest's any more
            self._rows = {number: self._rows[number] for number in self._ended}
        self._write()

    def add(self, result: RowResult) -> None:
        """A row has ended; what kept the report from being written is raised here."""
        if self._error is not None:
            raise self._error
        with self._lock:
            self._rows[result.number] = result
            self._ended.add(result.number)
        self._changed.set()

    def _keep_writing(self) -> None:
        while self._changed.wait() and not self._closing.is_set():
            self._changed.clear()
            start = time.monotonic()
            try:
                self._write()
            except Exception as error:
                self._error = error
                return
            self._closing.wait(max(REPORT_SECONDS, _REPORT_PAUSE * (time.monotonic() - start)))

    def _write(self) -> None:
        with self._lock:
            rows = list(self._rows.values())
        write_report(self._path, rows)


def row_key(row: Row, inputs: Sequence[Source], weights: Mapping[str, Artifact]) -> str:
    """Key of a row's result: all that decides what it is.

    Args:
        row: Its settings; of those of the method, also what the preset says.
        inputs: Of `files_of`; their bytes count.
        weights: That its networks have, by name; their contents count.
    """
    settings = row.settings
    names = {"video", "audio", "bed", "store", "workers"}  # of files, the bytes count
    given = settings.model_dump(
        mode="json", exclude={**dict.fromkeys(names, True), "cues": {"sheet", "takes"}}
    )
    given |= {
        "devices": None,
        "output": str(settings.output),
        "method_settings": options_of_method(settings).model_dump(mode="json"),
    }
    return content_key(
        {
            "settings": given,
            "inputs": [source.key for source in inputs],
            "weights": {name: artifact.key for name, artifact in weights.items()},
            "stages": stage_versions(settings),
            "dubflow": software_versions().get("dubflow"),
        }
    )


def _ended(row: Row, key: str, report: DubReport, seconds: float) -> RowResult:
    return RowResult(
        number=row.number,
        output=str(row.settings.output),
        state=State.FILTERED if report.filtered else State.DONE,
        reason=report.filtered,
        key=key,
        seconds=seconds,
        video_seconds=report.seconds,
        frames=report.frames,
        valid_frames=report.valid_frames,
        computed=sum(stage.computed for stage in report.stages),
        hits=sum(stage.hits for stage in report.stages),
        size=row.settings.output.stat().st_size,
        notes=report.notes,
        run=report.run,
    )


def check_rows(settings: BatchSettings) -> list[str]:
    """All that can be found wrong with any row without dubbing it.

    Raises:
        InputError: the manifest can't be read.
    """
    found = examine_manifest(settings.manifest, _defaults(settings))
    outputs = _Outputs(settings, read_report(settings.report_path))
    problems = [*faults_of([partial(check_new_file, settings.report_path)]), *found.problems]
    for row in found.all_rows:
        faults = [*input_faults(row.settings), *faults_of([partial(outputs.check, row)])]
        problems += [f"row {row.name}: {fault}" for fault in faults if NOT_GIVEN not in fault]
    return problems


def as_json(report: BatchReport) -> dict[str, Any]:
    """The report for other programs."""
    rows = [{**row.__dict__, "state": row.state.value} for row in report.rows]
    return {
        "rows": rows,
        "report": str(report.path),
        "seconds": round(report.seconds, 3),
        "notes": report.notes,
    }


def from_json(found: Mapping[str, Any]) -> BatchReport:
    """What `as_json` was made of."""
    rows = [RowResult(**{**row, "state": State(row["state"])}) for row in found["rows"]]
    return BatchReport(rows, Path(found["report"]), found["seconds"], found["notes"])
