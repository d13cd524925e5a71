"""The report of a batch as a Parquet table: what a rerun and other programs read."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path

from stores.errors import InputError


class State(StrEnum):
    """How a row ended."""

    DONE = "done"
    BEFORE = "done before"
    FILTERED = "filtered"
    FAILED = "failed"


@dataclass(frozen=True)
class RowResult:
    """How one row ended.

    Attributes:
        number: As in the manifest.
        output: File.
        state: done, done before, filtered (a result without a new mouth, for a reason that is not
            a failure), failed.
        reason: Why it is filtered or failed; "" else.
        key: Of inputs and settings: the same row has the same.
        seconds: Wall time now.
        video_seconds: Length of the result.
        frames: Of the result.
        valid_frames: With a new mouth.
        computed: Ranges that were computed.
        hits: Ranges from the store.
        size: Of the output [byte].
        notes: Of the dub.
        run: Id of its record in the store: `dubflow inspect RUN` shows all of it.
    """

    number: int
    output: str
    state: State
    reason: str = ""
    key: str = ""
    seconds: float = 0.0
    video_seconds: float = 0.0
    frames: int = 0
    valid_frames: int = 0
    computed: int = 0
    hits: int = 0
    size: int = 0
    notes: list[str] = field(default_factory=list)
    run: str = ""


def write_report(path: Path, rows: Sequence[RowResult]) -> None:
    """One row per row of the manifest; replaces the file at once."""
    import pyarrow as pa

    from stores.dataset_index import write_table

    kinds: dict[object, pa.DataType] = {int: pa.int64(), float: pa.float64()}
    kinds |= {str: pa.string(), State: pa.string(), list[str]: pa.list_(pa.string())}
    schema = pa.schema([(each.name, kinds[each.type]) for each in fields(RowResult)])
    cells = [{**row.__dict__, "state": row.state.value} for row in rows]
    write_table(path, schema, sorted(cells, key=lambda row: row["number"]))


def read_report(path: Path) -> dict[int, RowResult]:
    """Rows of an earlier batch by number; none if there was none.

    Raises:
        InputError: the file is something else.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.exists():
        return {}
    try:
        # At once: of a path pyarrow reads the schema first, and a running batch replaces the file.
        rows = pq.read_table(pa.BufferReader(path.read_bytes())).to_pylist()
        found = [RowResult(**{**row, "state": State(row["state"])}) for row in rows]
    except (pa.ArrowInvalid, TypeError, KeyError, ValueError):
        raise InputError(f"{path} is no report of a batch; move it away or name another") from None
    return {row.number: row for row in found}
