"""Records of finished runs, and the collector that removes what none of them refers to."""

import json
import re
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from stores.artifacts.store import Store
from stores.errors import DamagedArtifact, StoreError
from stores.weights.registry import WEIGHTS, records


@dataclass(frozen=True)
class RunRecord:
    """What a finished run used and made.

    Attributes:
        command: For example "dub".
        settings: As the user gave them, defaults filled in.
        artifacts: (kind, key) of every artifact that it touched.
        output: File that it wrote, or None.
        created: UTC, ISO 8601.
        id: Name of its file in `runs/`.
        redo_of: Of a dub that `dubflow inspect` asked for: `run`, the id of the one that it redoes,
            and `span`, which of that one's output rows [start, stop), or None for all.
    """

    command: str
    settings: dict[str, Any]
    artifacts: list[tuple[str, str]]
    output: str | None
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    redo_of: dict[str, Any] | None = None


@dataclass(frozen=True)
class Collected:
    """What the collector removed, or would remove."""

    artifacts: list[tuple[str, str]]
    runs: list[str]
    leftovers: list[str]
    freed_bytes: int


def record_run(store: Store, run: RunRecord) -> None:
    """Keep the record; from now on its artifacts are not collected."""
    store.backend.write(f"runs/{run.id}.json", json.dumps(run.__dict__, indent=1).encode())


def recorded_runs(store: Store) -> list[RunRecord]:
    """All records, oldest first."""
    runs = []
    for name in store.backend.names("runs"):
        runs.append(_read_run(store, f"runs/{name}"))
    return sorted(runs, key=lambda run: run.created)


def written_files(store: Store) -> set[str]:
    """Paths of all files that recorded runs wrote."""
    return {run.output for run in recorded_runs(store) if run.output is not None}


def find_run(store: Store, id: str) -> RunRecord:
    """The record of that id.

    Raises:
        StoreError: there is none, or it is no record.
    """
    if re.fullmatch("[0-9a-f]{12}", id):
        with suppress(FileNotFoundError):
            return _read_run(store, f"runs/{id}.json")
    raise StoreError(f"the store {store.url} has no record of a run {id!r}")


def _read_run(store: Store, name: str) -> RunRecord:
    """A record; of one that a newer version wrote, what this version knows of."""
    try:
        found = json.loads(store.backend.read(name))
        known = {each.name: found[each.name] for each in fields(RunRecord) if each.name in found}
        known["artifacts"] = [(kind, key) for kind, key in known["artifacts"]]
        return RunRecord(**known)
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{store.url}/{name} is no record of a run ({error!r}); remove it to let go of what it "
            "may refer to"
        ) from error


def collect(store: Store, *, older_than: timedelta | None = None, dry_run: bool) -> Collected:
    """Remove artifacts that no recorded run refers to, and what dead runs left in staging.

    Weights stay as long as their entry of the registry has a record.

    Args:
        older_than: Forget runs recorded longer ago than this first; None forgets none.
        dry_run: Only say what would go.

    Raises:
        StoreError: a run is working on the store.
    """
    with store.backend.unused() as unused:
        if not unused():
            raise StoreError(f"a run is working on the store {store.url}; collect when it is done")
        forgotten, kept = _split(recorded_runs(store), older_than)
        roots = [item for run in kept for item in run.artifacts]
        roots += [(WEIGHTS.kind, record.key) for record in records(store)]
        live = _reachable(store, roots)
        dead = [item for item in store.committed() if item not in live]
        leftovers = store.unfinished()
        freed = sum(_bytes(store, f"{kind}/{key[:2]}/{key}") for kind, key in dead)
        freed += sum(_bytes(store, prefix) for prefix in leftovers)
        if not dry_run:
            names = [f"runs/{run.id}.json" for run in forgotten]
            names += [f"{kind}/{key[:2]}/{key}" for kind, key in dead]
            for name in (*names, "staging", *leftovers):
                if not unused():
                    raise StoreError(
                        f"collecting in {store.url} stood still for so long that others may work "
                        "there again; run the same command again"
                    )
                store.backend.delete(name)
        return Collected(dead, [run.id for run in forgotten], leftovers, freed)


def _split(
    runs: list[RunRecord], older_than: timedelta | None
) -> tuple[list[RunRecord], list[RunRecord]]:
    if older_than is None:
        return [], runs
    limit = datetime.now(UTC) - older_than
    old = [run for run in runs if datetime.fromisoformat(run.created) < limit]
    return old, [run for run in runs if run not in old]


def _reachable(store: Store, roots: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    live: set[tuple[str, str]] = set()
    waiting = list(roots)
    while waiting:
        item = waiting.pop()
        if item in live:
            continue
        live.add(item)
        try:
            artifact = store.find(*item)
        except DamagedArtifact:
            continue
        if artifact is not None:
            waiting += [i for i in artifact.manifest.inputs.values() if i[0] != "source"]
    return live


def _bytes(store: Store, prefix: str) -> int:
    names = store.backend.names(prefix)
    return sum(store.backend.size(f"{prefix}/{name}") or 0 for name in names)
