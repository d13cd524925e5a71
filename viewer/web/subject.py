"""What the command was given: a dubbed file, a run, an artifact, an index, or nothing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stores.artifacts.store import Store
from stores.errors import InputError, StoreError, no_such_file
from stores.named import fitting_runs, several_runs
from stores.runs import RunRecord, find_run

FILES = (".mp4", ".mov", ".mkv", ".m4v")
"""What a name ends with that is one of a dub, and no key of an artifact."""


@dataclass(frozen=True)
class Subject:
    """What is looked at first.

    Attributes:
        kind: `home` is the list of runs.
        id: Of the run; kind/key of the artifact; path of the index; else None.
    """

    kind: Literal["run", "index", "artifact", "home"]
    id: str | None = None


class RunBook:
    """Records of runs, each read once. Those that can't be read are left out."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read: dict[str, RunRecord] = {}

    def newest(self) -> list[RunRecord]:
        """All, newest first."""
        names = (name.removesuffix(".json") for name in self._store.backend.names("runs"))
        runs = [run for run in map(self.find, names) if run is not None]
        return sorted(runs, key=lambda run: run.created, reverse=True)

    def find(self, run: str) -> RunRecord | None:
        """The run of that id, or None."""
        if run not in self._read:
            try:
                self._read[run] = find_run(self._store, run)
            except StoreError:
                return None
        return self._read[run]


def find_subject(store: Store, text: str | None) -> Subject:
    """What OUTPUT, RUN, KEY or INDEX.parquet names.

    Raises:
        InputError: nothing is known under that name, or several runs' files have it.
        StoreError: several artifacts' keys begin so.
    """
    if text is None:
        return Subject("home")
    path = Path(text)
    if path.suffix == ".parquet":
        if not path.is_file():
            raise InputError(no_such_file(path, "index"))
        return Subject("index", str(path))
    runs = RunBook(store).newest()[::-1]
    found = fitting_runs(runs, text)
    if len(found) == 1:
        return Subject("run", found[0].id)
    if path.exists():
        raise InputError(
            f"{path} was written by no run that {store.url} knows; name its store with --store, or "
            "leave the name out to see all runs"
        )
    if path.suffix in FILES:
        if found:
            raise several_runs(text, found)
        raise InputError(f"there is no file {path}, and no run that {store.url} knows wrote one")
    artifact = store.match(text)
    return Subject("artifact", f"{artifact.kind}/{artifact.key}")
