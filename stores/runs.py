"""Records of finished runs."""

import json
import re
import uuid
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stores.artifacts.store import Store
from stores.errors import StoreError


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
        mark: Number in the sound and picture of `output`, hexadecimal; None: it is not marked.
        bytes: Size of `output`; None until it has been handed out.
        cues: Of a dub by a cue sheet: `row`, `face` as the sheet calls it, `rows`, of the output,
            [start, stop), and `text` of each.
        roles: Key of an artifact → what it was for, where the run had several of its kind.
    """

    command: str
    settings: dict[str, Any]
    artifacts: list[tuple[str, str]]
    output: str | None
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    redo_of: dict[str, Any] | None = None
    mark: str | None = None
    bytes: int | None = None
    cues: list[dict[str, Any]] = field(default_factory=list)
    roles: dict[str, str] = field(default_factory=dict)


def record_run(store: Store, run: RunRecord) -> None:
    """Keep the record, with the whole path of its output; its artifacts are not collected then."""
    output = None if run.output is None else str(Path(run.output).absolute())
    content = json.dumps({**run.__dict__, "output": output}, indent=1)
    store.backend.write(f"runs/{run.id}.json", content.encode())


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
