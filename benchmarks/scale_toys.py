"""Work that is none: what remains is what the store, Dask and Prefect cost."""

import shutil
from collections.abc import Sequence

import numpy as np

from flows.dub_report import DubReport
from flows.settings import DubSettings
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.artifacts.store import Store
from tasks.engine.cluster import Cluster
from tasks.engine.open_run import open_run
from tasks.engine.run import Progress, Run
from tasks.engine.stage import Blocks, Plan, Shard, stage

ROWS_PER_SHARD = 16

TOY = Schema("toy", {"value": ArraySpec(("frame",), "float32", shard=ROWS_PER_SHARD)}, {})


@stage(TOY, version=1, plan=lambda before, number, shards_in_all: Plan(shards_in_all * 16))
def toy(
    before: Artifact | None, number: int, *, shards_in_all: int, shards: Sequence[Shard]
) -> Blocks:
    """Zeros; takes an artifact as real stages do."""
    for shard in shards:
        yield {"value": np.zeros(shard.stop - shard.start, np.float32)}


def chain(store: Store, cluster: Cluster | None, *, first: int, stages: int, shards: int) -> Run:
    """So many stages after one another, none of which is in the store.

    Args:
        store: Where they go.
        cluster: Who computes; None for this process.
        first: Number of the first one; another one makes other artifacts.
        stages: How many.
        shards: Of each; all are calls of their own.
    """
    with open_run(store, workers=shards, cluster=cluster) as run:
        made: Artifact | None = None
        for number in range(first, first + stages):
            made = toy(made, number, shards_in_all=shards)
    return run


def copy_row(
    settings: DubSettings,
    *,
    progress: Progress | None = None,
    cluster: Cluster | None = None,
    catalog: bool = True,
) -> DubReport:
    """In the place of a dub: all of a row but its stages."""
    shutil.copyfile(settings.video, settings.output)
    return DubReport(
        output=settings.output,
        frames=1,
        valid_frames=1,
        no_face_ranges=[],
        seconds=1.0,
        speech_seconds=1.0,
        stages=[],
        notes=[],
        versions={},
    )


def nothing(number: int) -> None:
    """A task of Dask."""
