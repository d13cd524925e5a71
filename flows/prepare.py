"""Prepare a data set: every clip through the shared stages, then an index that training reads.

Scores first, cuts later: nothing of what a filter decides is part of a key, so that another
threshold only writes the index anew.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from flows.datasets.description import Clip, Description, Split, read_description
from flows.datasets.readers import find_clips
from flows.datasets.splits import assign_splits
from flows.preparation.clip import PreparedClip, Workplace, prepare_clip
from flows.preparation.filters import FilterCount, apply_filters
from flows.preparation.report import PrepareReport, build_report
from flows.preparation.settings import PrepareSettings
from flows.runtime.side_by_side import apart, side_by_side
from flows.store_limit import size_notes
from stores.artifacts.artifact import Artifact
from stores.artifacts.catalog import write_catalog
from stores.artifacts.store import Store
from stores.artifacts.versions import software_versions
from stores.dataset_index import FAILURES, index_facts, index_schema, write_table
from stores.errors import InputError, MissingWeights, SettingsError
from stores.places import check_new_file
from stores.runs import RunRecord, record_run
from tasks.engine.cluster import Cluster
from tasks.engine.processes import WorkerPool
from tasks.engine.run import NoProgress, Progress, usable_processors
from tasks.metrics.lse import WEIGHTS as SYNCNET
from tasks.metrics.parts import SCORES
from tasks.weights.networks import find_weights

__all__ = ["PrepareReport", "PrepareSettings", "prepare"]

MAX_WORKERS = 8
"""Clips at once unless asked otherwise; each holds some 200 MB."""


def prepare(
    settings: PrepareSettings,
    *,
    progress: Progress | None = None,
    cluster: Cluster | None = None,
) -> PrepareReport:
    """Prepare every clip of a data set; write its index and the list of those that failed.

    Args:
        progress: Who shows it; a row is a clip.
        cluster: Where stages are computed; None for this machine.

    Raises:
        InputError: the data set or a setting can't be used; found before long work.
        StoreError, ClusterError: the store is full, or the cluster lost.
    """
    start = time.perf_counter()
    description = read_description(settings.dataset, person=settings.person)
    check_output(settings)
    found = find_clips(description, settings.data)
    usable, barred = assign_splits(found, description, seed=settings.seed)
    store = Store(settings.store)
    count = settings.workers or _side_by_side(cluster)
    with store.in_use(), WorkerPool(0 if cluster else count) as pool:
        place = Workplace(settings, store, cluster, pool, _syncnet(store))
        clips = usable[: settings.limit]
        done = list(_each(clips, place, count, progress or NoProgress()))
        done.sort(key=lambda one: one.clip.name)
        rows, counts = _write(settings, description, done)
        report = build_report(settings, done, rows, counts, barred)
        report.wall_seconds = round(time.perf_counter() - start, 3)
        roots = list(dict.fromkeys(root for one in done for root in one.roots))
        given = settings.model_dump(mode="json")
        record_run(store, RunRecord("prepare", given, roots, str(settings.output)))
        if report.computed:
            report.notes += size_notes(store, write_catalog(store))
    return report


def check_output(settings: PrepareSettings) -> None:
    """Refuse at once what could only fail at the end.

    Raises:
        SettingsError: the output is no Parquet file, or can't be written there.
        InputError: it is there and no index, and is to stay.
    """
    output = settings.output
    if output.suffix != ".parquet" or output.is_dir():
        raise SettingsError(f"-o {output}: the index is a Parquet file; name it .parquet")
    check_new_file(output, made=True)
    if output.exists():
        try:
            index_facts(output)
        except InputError:
            raise InputError(
                f"-o {output} is there and is no index of a data set; move it away, or name "
                "another file"
            ) from None


def _syncnet(store: Store) -> Artifact | None:
    """SyncNet's weights, where somebody has added them."""
    try:
        return find_weights(SYNCNET, store=store)
    except MissingWeights:
        return None


def _side_by_side(cluster: Cluster | None) -> int:
    if cluster is not None:
        return max(2, 2 * cluster.workers)
    return min(usable_processors(), MAX_WORKERS)


def _each(
    clips: Sequence[tuple[Clip, Split]],
    place: Workplace,
    count: int,
    progress: Progress,
) -> Iterator[PreparedClip]:
    """Clips as they end, so many at the same time; an interrupt ends those under way soon."""

    def prepared(given: tuple[Clip, Split]) -> PreparedClip:
        return prepare_clip(place, *given)

    progress.begin("clips", len(clips), 0)
    computed = False
    for _, one in side_by_side(clips, apart(prepared), count=count):
        computed = computed or bool(one.failure) or any(each.computed for each in one.records)
        yield one
        progress.advance("clips", 1)
    progress.end("clips", cached=not computed)


def _write(
    settings: PrepareSettings, description: Description, done: Sequence[PreparedClip]
) -> tuple[list[dict[str, Any]], list[FilterCount]]:
    """Judge all rows, and write both tables."""
    rows = [row for one in done for row in one.rows]
    counts = apply_filters(rows, settings.filters)
    facts = {
        "dataset": description.model_dump(mode="json", exclude={"transcripts"}),
        "filters": settings.filters.model_dump(mode="json"),
        "seed": settings.seed,
        "store": settings.store,
        "versions": software_versions(),
    }
    write_table(settings.output, index_schema(SCORES), rows, facts)
    failed = [_failure_row(settings, one) for one in done if one.failure]
    write_table(settings.failures_path, FAILURES, failed)
    return rows, counts


def _failure_row(settings: PrepareSettings, one: PreparedClip) -> dict[str, Any]:
    return {
        "dataset": settings.dataset,
        "clip": one.clip.name,
        "person": one.clip.person,
        "split": one.split,
        "path": str(one.clip.path.absolute()),
        "reason": one.failure,
    }
