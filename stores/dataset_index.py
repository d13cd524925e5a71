"""The index of a prepared data set: one row per part of a clip, as Parquet; what training reads."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stores.backends.backend import explain_full_disk
from stores.errors import InputError, no_such_file
from stores.whole_files import replacing

ARTIFACTS = (
    *("timeline", "waveform", "mel", "mfcc", "sound_levels"),
    *("landmarks", "face_crops", "quality", "parts"),
)
"""Kinds whose keys a row holds."""


def _field(name: str, kind: pa.DataType, doc: str, units: str = "") -> pa.Field:
    return pa.field(name, kind, metadata={"doc": doc, "units": units})


def index_schema(scores: Mapping[str, tuple[str, str]]) -> pa.Schema:
    """Columns of an index.

    Args:
        scores: Name → (meaning, unit).
    """
    text, whole, real = pa.string(), pa.int64(), pa.float64()
    return pa.schema(
        [
            _field("dataset", text, "its name"),
            _field("split", text, "train, validation or test; never two for a person"),
            _field("person", text, "who speaks, or the closest thing that is known"),
            _field("clip", text, "path below the data folder"),
            _field("path", text, "the file, as it was found"),
            _field("digest", text, "BLAKE2b-128 of the file"),
            _field("language", text, "ISO 639-1"),
            _field("transcript", text, "what is said in the whole clip"),
            _field("track", whole, "which face, 0 the largest"),
            _field("start", whole, "first frame"),
            _field("stop", whole, "frame after the last"),
            _field("start_seconds", real, "time of the first frame", "s"),
            _field("seconds", real, "length", "s"),
            _field("fps", real, "frames over seconds", "1/s"),
            _field("width", whole, "of the picture", "px"),
            _field("height", whole, "of the picture", "px"),
            *(_field(name, real, doc, unit) for name, (doc, unit) in scores.items()),
            *(_field(name, text, "key in the store") for name in ARTIFACTS),
            _field("kept", pa.bool_(), "passed all filters"),
            _field("dropped_by", pa.list_(text), "filters that it did not pass"),
        ]
    )


FAILURES = pa.schema(
    [
        *(pa.field(n, pa.string()) for n in ("dataset", "clip", "person", "split", "path")),
        _field("reason", pa.string(), "one line: what is wrong, and what to do"),
    ]
)


@dataclass(frozen=True)
class ClipPart:
    """What training needs of a row.

    Attributes:
        row: Number in the index file.
        person: Who speaks.
        split: As in the index.
        start: First frame.
        stop: Frame after the last.
        seconds: Length.
        lag_seconds: How much later the picture is than the sound; 0 where that can't be told.
        lag_confidence: Chance that the lag is right, 0..1.
        path: The file, as it was found.
        digest: Of its bytes, BLAKE2b-128.
        keys: Kind → key in the store.
    """

    row: int
    person: str
    split: str
    start: int
    stop: int
    seconds: float
    lag_seconds: float
    lag_confidence: float
    path: Path
    digest: str
    keys: Mapping[str, str]


def write_table(
    path: Path,
    schema: pa.Schema,
    rows: Iterable[Mapping[str, Any]],
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Write a Parquet file at once: readers see the old or the new one, never a part.

    Args:
        facts: JSON to keep with the file, under `dubflow`.
    """
    if facts is not None:
        schema = schema.with_metadata({"dubflow": json.dumps(facts)})
    with explain_full_disk(f"the folder {path.parent}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as beside:
            pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), beside)


def index_facts(path: Path) -> dict[str, Any]:
    """What `write_table` kept with the file.

    Raises:
        InputError: there is no such file, or it is not an index.
    """
    found = (_opened(path).schema_arrow.metadata or {}).get(b"dubflow")
    if found is None:
        raise InputError(f"{path} is no index of a data set; `dubflow prepare` writes them")
    facts: dict[str, Any] = json.loads(found)
    return facts


def read_parts(
    path: Path, *, splits: Sequence[str] = ("train",), kept_only: bool = True
) -> list[ClipPart]:
    """Rows of an index, in its order.

    Raises:
        InputError: there is no such file, it is not an index, or has no such row.
    """
    index_facts(path)
    names = ["person", "split", "start", "stop", "seconds", "lag_seconds", "lag_confidence"]
    names += ["path", "digest"]
    table = _opened(path).read(columns=[*names, "kept", *ARTIFACTS])
    segments = [
        ClipPart(
            row=number,
            **{name: row[name] for name in names[:5]},
            lag_seconds=row["lag_seconds"] or 0.0,
            lag_confidence=row["lag_confidence"] or 0.0,
            path=Path(row["path"]),
            digest=row["digest"],
            keys={name: row[name] for name in ARTIFACTS if row[name] is not None},
        )
        for number, row in enumerate(table.to_pylist())
        if row["split"] in splits and (row["kept"] or not kept_only)
    ]
    if not segments:
        raise InputError(
            f"{path} has no usable row for {' or '.join(splits)}: prepare more clips, or with "
            "looser filters or another --set seed=N"
        )
    return segments


def read_paths(path: Path, *, splits: Sequence[str]) -> list[tuple[Path, str]]:
    """(file, person) of the clips of which an index keeps a part, each once.

    Raises:
        InputError: as `read_parts`.
    """
    rows = [each.row for each in read_parts(path, splits=splits)]
    table = _opened(path).read(columns=["path", "person"]).take(rows).to_pylist()
    return list(dict.fromkeys((Path(row["path"]), row["person"]) for row in table))


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except FileNotFoundError:
        told = no_such_file(path, "index", "`dubflow prepare` writes one")
        raise InputError(told) from None
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path} can't be read as Parquet: {error}") from None
