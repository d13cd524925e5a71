"""Answers of raters: one Parquet file each, whole after every answer."""

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stores.errors import InputError

SCHEMA = pa.schema(
    [
        pa.field("rater", pa.string()),
        pa.field("answered", pa.string(), metadata={"units": "UTC, ISO 8601"}),
        pa.field("seconds", pa.float64(), metadata={"units": "s from seeing it to answering"}),
        pa.field("position", pa.int32(), metadata={"units": "1 = seen first"}),
        pa.field("seed", pa.int64()),
        pa.field("kind", pa.string(), metadata={"units": "single or pair"}),
        pa.field("trial", pa.string()),
        pa.field("item", pa.string()),
        pa.field("left", pa.string(), metadata={"units": "system; the only one, if single"}),
        pa.field("right", pa.string(), metadata={"units": "system; empty if single"}),
        pa.field("question", pa.string()),
        pa.field("question_text", pa.string()),
        pa.field(
            "answer",
            pa.int8(),
            metadata={"units": "single: 1 bad to 5 excellent; pair: -1 left, 0 neither, 1 right"},
        ),
    ]
)

_RATER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


def check_rater(rater: str) -> str:
    """A rater's name, which becomes a file's.

    Raises:
        InputError: it has other than letters, digits, - and _, or is too long.
    """
    if not _RATER.fullmatch(rater):
        raise InputError(f"a rater's name has up to 40 letters, digits, - and _, unlike {rater!r}")
    return rater


def answers_file(folder: Path, rater: str) -> Path:
    """Where a rater's answers are. Small letters: some systems take both for the same."""
    return folder / f"{check_rater(rater).lower()}.parquet"


def read_answers(path: Path) -> list[dict[str, Any]]:
    """Rows of one file, in the order of answering; none if it is not there.

    Raises:
        InputError: it is something else.
    """
    if not path.is_file():
        return []
    try:
        table = pq.ParquetFile(path).read()
        if table.schema.names != SCHEMA.names:
            raise InputError(f"{path}: this Parquet file holds no answers of raters")
        return list(table.cast(SCHEMA).to_pylist())
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: these answers can't be read: {error}") from None


def all_answers(folder: Path) -> list[dict[str, Any]]:
    """Rows of all raters.

    Raises:
        InputError: there are none, or a file is something else.
    """
    rows = [row for path in sorted(folder.glob("*.parquet")) for row in read_answers(path)]
    if not rows:
        raise InputError(f"{folder}: no answers there yet")
    return rows
