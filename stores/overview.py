"""What a store holds, by what it means to people: of which file, in which run, how large and old.

All of it follows from the manifests, as `stores.artifacts.catalog` reads them, and the records of
runs; nothing else is read.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import PurePath
from typing import Any

from stores.artifacts.catalog import read_catalog
from stores.artifacts.store import Store
from stores.named import run_named, sources_named
from stores.runs import RunRecord, recorded_runs

Item = tuple[str, str]
"""Kind and key."""


class Overview:
    """Artifacts with their sources and runs.

    Args:
        rows: Of `read_catalog`.
        runs: Of `recorded_runs`.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]], runs: Sequence[RunRecord]) -> None:
        self.rows: dict[Item, Mapping[str, Any]] = {(row["kind"], row["key"]): row for row in rows}
        self.runs = list(runs)
        self._keys: dict[Item, frozenset[str]] = {}

    @classmethod
    def of(cls, store: Store) -> "Overview":
        """Reads every manifest and every record of a run, once."""
        return cls(read_catalog(store).to_pylist(), recorded_runs(store))

    def made_of(self, item: Item) -> list[Item]:
        """What a stage made it of; source files have the kind "source"."""
        named = (text.partition("/") for text in self.rows.get(item, {}).get("inputs") or ())
        return [(kind, key) for kind, _, key in named]

    def sources(self, item: Item) -> frozenset[str]:
        """Names of all files that it was made of, from stage to stage."""
        places = (self.places.get(key, ()) for key in self.source_keys(item))
        return frozenset(PurePath(place).name for known in places for place in known)

    def source_keys(self, item: Item) -> frozenset[str]:
        """Keys of those files."""
        if item[0] == "source":
            return frozenset({item[1]})
        if item not in self._keys:
            self._keys[item] = frozenset().union(*map(self.source_keys, self.made_of(item)))
        return self._keys[item]

    @cached_property
    def places(self) -> dict[str, set[str]]:
        """Key of each source file → names, and paths in runs: the same bytes may have several."""
        places: dict[str, set[str]] = {key: set() for item in self.rows for key in self._own(item)}
        for item, row in self.rows.items():
            for name, (kind, key) in zip(row["files"] or (), self.made_of(item), strict=False):
                if kind == "source" and name:
                    places[key].add(name)
        for run in self.runs:
            for key, path in self._files(run):
                places[key].add(path)
        return places

    def _files(self, run: RunRecord) -> Iterator[tuple[str, str]]:
        """Keys and paths of the video and the speech that a run names."""
        used = {
            kind: {key for item in run.artifacts if item[0] == kind for key in self._own(item)}
            for kind in ("timeline", "waveform")
        }
        if isinstance(video := run.settings.get("video"), str):
            yield from ((key, video) for key in used["timeline"])
        if isinstance(audio := run.settings.get("audio"), str):
            yield from ((key, audio) for key in used["waveform"] - used["timeline"])

    def _own(self, item: Item) -> list[str]:
        """Keys of the files that it was made of directly."""
        return [key for kind, key in self.made_of(item) if kind == "source"]

    def reached(self, roots: Iterable[Item]) -> set[Item]:
        """The artifacts themselves, and all that they are made of."""
        found: set[Item] = set()
        waiting = list(roots)
        while waiting:
            if (item := waiting.pop()) not in found:
                found.add(item)
                waiting += [each for each in self.made_of(item) if each[0] != "source"]
        return found

    @cached_property
    def items_of(self) -> dict[str, set[Item]]:
        """Id of each run → what it used and made, from stage to stage."""
        return {run.id: self.reached(run.artifacts) for run in self.runs}

    @cached_property
    def runs_of(self) -> dict[Item, list[RunRecord]]:
        """Artifact → runs that used or made it, oldest first."""
        found: dict[Item, list[RunRecord]] = {}
        for run in self.runs:
            for item in self.items_of[run.id]:
                found.setdefault(item, []).append(run)
        return found

    def used_by(self, item: Item) -> list[Item]:
        """Artifacts that are made of it directly."""
        return [other for other in self.rows if item in self.made_of(other)]

    def size(self, items: Iterable[Item]) -> int:
        """Their bytes, manifests left out."""
        return sum(self.rows[item]["stored_bytes"] or 0 for item in items if item in self.rows)

    def age(self, item: Item) -> float:
        """Since it was made [s]; endless for one that is damaged."""
        created = self.rows[item]["created"]
        return float("inf") if created is None else seconds_since(created)

    def chosen(
        self,
        *,
        stage: str | None = None,
        source: str | None = None,
        run: str | None = None,
        younger_than: float | None = None,
    ) -> list[Item]:
        """Artifacts that all of these hold of, oldest first.

        Args:
            stage: That made it.
            source: Names a file that it was made of, or several.
            run: Names one that used or made it.
            younger_than: Seconds.

        Raises:
            InputError: there is no such source or run; names the nearest.
            MediaError: the source can't be read.
        """
        keys = None if source is None else set(sources_named(self.places, source))
        items = None if run is None else self.items_of[run_named(self.runs, run).id]
        return [
            item
            for item in self.rows
            if stage in (None, item[0])
            and (keys is None or keys & self.source_keys(item))
            and (items is None or item in items)
            and (younger_than is None or self.age(item) <= younger_than)
        ]


def seconds_since(created: str) -> float:
    """How long ago that was (UTC, ISO 8601)."""
    return (datetime.now(UTC) - datetime.fromisoformat(created)).total_seconds()
