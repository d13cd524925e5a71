"""What a preparation tells: what came in, what each filter dropped, what is left."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from flows.datasets.description import SPLITS, Clip, Split
from flows.preparation.clip import PreparedClip
from flows.preparation.filters import FilterCount
from flows.preparation.settings import PrepareSettings


class SplitCount(BaseModel):
    """One split of the index; kept rows only.

    Attributes:
        split: Its name.
        persons: Who speaks in it.
        rows: Parts.
        seconds: Of video.
    """

    split: str
    persons: int
    rows: int
    seconds: float


class StageCount(BaseModel):
    """What one stage did for all clips.

    Attributes:
        name: Kind of its artifacts.
        computed: Ranges computed now.
        hits: Ranges from the store.
        seconds: Spent in it, summed over clips side by side.
    """

    name: str
    computed: int
    hits: int
    seconds: float


class Failure(BaseModel):
    """A clip that could not be prepared, and why."""

    clip: str
    reason: str


class PrepareReport(BaseModel):
    """How a preparation ended.

    Attributes:
        dataset: As asked.
        index: File.
        failures_file: File that lists the clips that failed.
        clips: Looked at.
        other_split: Clips left out: published in another split than their person is held out in.
        failures: Those that could not be prepared.
        rows: Parts of clips.
        kept: Rows that passed all filters.
        seconds: Of video, in all clips.
        kept_seconds: Of video, in kept rows.
        splits: What is kept of each.
        filters: What each dropped, in order.
        stages: What each did.
        wall_seconds: That it took.
        notes: What is to be known before training on it, and what to do.
    """

    dataset: str
    index: Path
    failures_file: Path
    clips: int
    other_split: int
    failures: list[Failure]
    rows: int
    kept: int
    seconds: float
    kept_seconds: float
    splits: list[SplitCount]
    filters: list[FilterCount]
    stages: list[StageCount]
    wall_seconds: float = 0.0
    notes: list[str] = []

    @property
    def computed(self) -> int:
        """Ranges computed now."""
        return sum(stage.computed for stage in self.stages)


def build_report(
    settings: PrepareSettings,
    done: Sequence[PreparedClip],
    rows: Sequence[dict[str, Any]],
    counts: list[FilterCount],
    barred: Sequence[Clip],
) -> PrepareReport:
    """Sums over clips and rows that have been judged."""
    return PrepareReport(
        dataset=settings.dataset,
        index=settings.output,
        failures_file=settings.failures_path,
        clips=len(done),
        other_split=len(barred),
        failures=[Failure(clip=one.clip.name, reason=one.failure) for one in done if one.failure],
        rows=len(rows),
        kept=sum(row["kept"] for row in rows),
        seconds=round(sum(one.seconds for one in done), 3),
        kept_seconds=round(sum(row["seconds"] for row in rows if row["kept"]), 3),
        splits=count_splits(rows),
        filters=counts,
        stages=count_stages(done),
        notes=split_notes(
            [(one.clip, one.split) for one in done if any(row["kept"] for row in one.rows)]
        ),
    )


def split_notes(clips: Sequence[tuple[Clip, Split]]) -> list[str]:
    """What may be wrong with persons and splits.

    Args:
        clips: All that are used, with the split of their person.
    """
    notes = []
    unnamed = {clip.name: split for clip, split in clips if clip.person == clip.name}
    if len(unnamed) > 1 and len(set(unnamed.values())) > 1:
        notes.append(
            f"{len(unnamed)} clips tell no person, and each counts as a person of its own: clips "
            "of one person may be in train and in validation or test, which makes every figure "
            "too good; name the persons by --person REGEX or in manifest.csv"
        )
    persons = {clip.person for clip, _ in clips}
    if persons and not any(split == "validation" for _, split in clips):
        notes.append(
            f"none of {len(persons)} persons is for validation, so that a training on this index "
            "would be judged by nothing: add persons, draw others with --set seed=N, or give some "
            "of them the split validation in manifest.csv"
        )
    return notes


def count_splits(rows: Iterable[dict[str, Any]]) -> list[SplitCount]:
    """Kept rows by split."""
    kept = [row for row in rows if row["kept"]]
    return [
        SplitCount(
            split=split,
            persons=len({row["person"] for row in kept if row["split"] == split}),
            rows=sum(row["split"] == split for row in kept),
            seconds=round(sum(row["seconds"] for row in kept if row["split"] == split), 3),
        )
        for split in SPLITS
    ]


def count_stages(done: Sequence[PreparedClip]) -> list[StageCount]:
    """Sums over all clips, in the order in which stages first ran."""
    computed: Counter[str] = Counter()
    hits: Counter[str] = Counter()
    seconds: dict[str, float] = {}
    for record in (record for clip in done for record in clip.records):
        computed[record.name] += record.computed
        hits[record.name] += record.hits
        seconds[record.name] = seconds.get(record.name, 0.0) + record.seconds
    return [
        StageCount(name=name, computed=computed[name], hits=hits[name], seconds=round(spent, 3))
        for name, spent in seconds.items()
    ]
