"""The index of a prepared data set, to be looked through by thresholds on its scores.

What is kept in memory is one number a row and score; all else is read batch by batch when asked
for, so that a hundred thousand rows need no more than some ten MB.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fastapi import APIRouter, Query, Request, Response
from numpy.typing import NDArray
from starlette.background import BackgroundTask
from starlette.responses import FileResponse

from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from stores.dataset_index import index_facts
from stores.errors import InputError, StoreError
from stores.media.read import read_frames
from stores.media.timeline import Timeline

BINS = 40
"""Of a score's histogram."""
MOST_ROWS = 500
"""Of one answer."""
THUMB_PX = 192
_AROUND = 0.25
"""Of the face's box, what a thumbnail shows on each side of it."""
_JPEG_QUALITY = 80
_BATCH_ROWS = 4096
_THUMBS = 512
_NEEDED = ("landmarks", "waveform")
"""Kinds that a row needs to be of use: one without a face or sound has none."""
_NO_SCORES = ("start_seconds",)

Limits = Mapping[str, tuple[float | None, float | None]]
"""Score → least and greatest value that a row may have; None: no bound. A row whose score is not
known passes, as in `dubflow prepare`."""


class IndexDesk:
    """An index file and the store that its rows name.

    Args:
        path: Of the index.
        store: Holds the artifacts of its rows; None for the store that it was prepared in.

    Raises:
        InputError: there is no such file, or it is no index.
    """

    def __init__(self, path: Path, store: Store | None = None) -> None:
        facts = index_facts(path)
        self.path = path
        self.store = store or Store(str(facts["store"]))
        self._thumb = lru_cache(_THUMBS)(self._made_thumb)

    @cached_property
    def schema(self) -> pa.Schema:
        """Columns of the file, and its facts."""
        return self._file().schema_arrow

    @cached_property
    def scores(self) -> dict[str, NDArray[np.float64]]:
        """Every number that rows are judged by, (row,) each; NaN where it is not known."""
        names = [
            field.name
            for field in self.schema
            if pa.types.is_float64(field.type) and field.name not in _NO_SCORES
        ]
        table = self._file().read(columns=names)
        columns = {name: _numbers(table[name]) for name in names}
        return {name: column for name, column in columns.items() if np.isfinite(column).any()}

    @cached_property
    def _usable(self) -> NDArray[np.bool_]:
        """Rows that have all that training needs."""
        table = self._file().read(columns=list(_NEEDED))
        masks = [table[name].is_valid().to_numpy() for name in _NEEDED]
        return np.asarray(np.logical_and.reduce(masks), bool)

    def facts(self) -> dict[str, Any]:
        """Name, number of rows, and each score with its histogram."""
        table = self._file().read(columns=["person", "split"])
        return {
            "name": self.path.name,
            "rows": len(self._usable),
            "scores": [self._score(name) for name in self.scores],
            "persons": len(set(table["person"].unique().to_pylist())),
            "splits": dict(Counter(table["split"].to_pylist())),
        }

    def survivors(self, limits: Limits) -> NDArray[np.int64]:
        """Rows within all limits, rising.

        Raises:
            InputError: there is no such score.
        """
        passes = self._usable.copy()
        for name, (least, greatest) in limits.items():
            if name not in self.scores:
                raise InputError(f"there is no score {name!r}; there is {', '.join(self.scores)}")
            values = self.scores[name]
            if least is not None:
                passes &= ~(values < least)
            if greatest is not None:
                passes &= ~(values > greatest)
        return np.flatnonzero(passes)

    def rows(self, limits: Limits, start: int, count: int) -> dict[str, Any]:
        """How many rows lie within the limits, and `count` of these from place `start` on."""
        found = self.survivors(limits)
        wanted = found[start : start + min(count, MOST_ROWS)]
        rows = [
            {"row": row, **each}
            for numbers, table in self._read(wanted)
            for row, each in zip(numbers, table.to_pylist(), strict=True)
        ]
        return {"total": len(self._usable), "survive": len(found), "rows": rows}

    def thumb(self, row: int) -> bytes:
        """JPEG of the face in the middle frame of a row.

        Raises:
            InputError: there is no such row.
            MediaError: its file can't be read.
            StoreError: its artifacts are not in the store.
        """
        return self._thumb(row)

    def faces(self, row: int) -> dict[str, Any]:
        """Tracks of the faces of a row's clip, and how many frames it has.

        Raises:
            InputError, StoreError: as `thumb`.
        """
        about = self._row(row)
        track = self._of_face(about, "track")
        clip = self._timeline(about)
        chosen = track.attributes.get("chosen")
        return {
            "frames": len(clip),
            "tracks": [
                {
                    "track": number,
                    "chosen": number == chosen,
                    "start": int(np.searchsorted(clip.seconds, facts["first_seconds"] - 1e-3)),
                    "stop": int(np.searchsorted(clip.seconds, facts["last_seconds"] + 1e-3)),
                    **facts,
                }
                for number, facts in enumerate(track.attributes["tracks"])
            ],
        }

    def export(self, limits: Limits, target: Path) -> int:
        """Write the rows within the limits as an index of the same columns; gives their number.

        Raises:
            InputError: there is no such score, or no such row.
        """
        found = self.survivors(limits)
        if not len(found):
            raise InputError("no row lies within these limits: widen them")
        metadata = dict(self.schema.metadata or {})
        facts = json.loads(metadata[b"dubflow"])
        facts["chosen"] = {"of": str(self.path), "limits": {n: list(b) for n, b in limits.items()}}
        schema = self.schema.with_metadata({**metadata, b"dubflow": json.dumps(facts)})
        with pq.ParquetWriter(target, schema) as writer:
            for _, table in self._read(found):
                kept = {"kept": [True] * len(table), "dropped_by": [[]] * len(table)}
                for name, values in kept.items():
                    at = schema.get_field_index(name)
                    column = pa.array(values, schema.field(name).type)
                    table = table.set_column(at, schema.field(name), column)
                writer.write_table(table.cast(schema))
        return len(found)

    def _file(self) -> pq.ParquetFile:
        """Opened anew each time: readers of several threads share no state."""
        return pq.ParquetFile(self.path, memory_map=True)

    def _read(self, wanted: NDArray[np.int64]) -> Iterator[tuple[list[int], pa.Table]]:
        """Numbers of some rows, which rise, and what the index says of them, batch by batch."""
        if not len(wanted):
            return
        start = 0
        for batch in self._file().iter_batches(_BATCH_ROWS):
            first, last = np.searchsorted(wanted, [start, start + len(batch)])
            if first < last:
                rows = wanted[first:last]
                yield rows.tolist(), pa.Table.from_batches([batch]).take(rows - start)
            start += len(batch)
            if start > wanted[-1]:
                return

    def _score(self, name: str) -> dict[str, Any]:
        values = self.scores[name]
        values = values[np.isfinite(values)]
        counts, edges = np.histogram(values, BINS)
        told = self.schema.field(name).metadata or {}
        return {
            "name": name,
            "doc": told.get(b"doc", b"").decode(),
            "unit": told.get(b"units", b"").decode(),
            "low": float(values.min()),
            "high": float(values.max()),
            "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
        }

    def _row(self, row: int) -> dict[str, Any]:
        if not 0 <= row < len(self._usable):
            raise InputError(f"there is no row {row}: {self.path.name} has {len(self._usable)}")
        ((_, table),) = self._read(np.array([row]))
        about: dict[str, Any] = table.to_pylist()[0]
        return about

    def _of_face(self, about: Mapping[str, Any], kind: str) -> Artifact:
        if about["landmarks"] is None:
            raise StoreError(f"no face was found in {about['clip']}")
        found = self.store.get("landmarks", about["landmarks"])
        return found if kind == "landmarks" else self.store.get(*found.manifest.inputs[kind])

    def _timeline(self, about: Mapping[str, Any]) -> Timeline:
        found = self.store.get("timeline", about["timeline"])
        arrays = {name: found.read(name) for name in found.array_names}
        return Timeline.from_record(arrays, found.attributes)

    def _made_thumb(self, row: int) -> bytes:
        about = self._row(row)
        clip = self._timeline(about)
        middle = (about["start"] + about["stop"]) // 2
        (frame,) = read_frames(about["path"], clip, middle, middle + 1)
        box = (0, 0, frame.width, frame.height)
        if about["landmarks"] is not None:
            mesh = self._of_face(about, "landmarks").read("landmarks", middle, middle + 1)[0]
            if mesh.any():
                box = _around(mesh[:, :2], frame.width, frame.height)
        picture = frame.crop_rgb(*box)
        scale = min(1.0, THUMB_PX / max(picture.shape[:2]))
        size = [max(1, round(scale * side)) for side in picture.shape[1::-1]]
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        _, data = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        return data.tobytes()


def index_router(desk: IndexDesk) -> APIRouter:
    """Addresses of an index, below /api/index."""
    router = APIRouter(prefix="/api/index")

    @router.get("")
    def facts() -> dict[str, Any]:
        return desk.facts()

    @router.get("/rows")
    def rows(
        request: Request,
        start: Annotated[int, Query(alias="from", ge=0)] = 0,
        count: Annotated[int, Query(ge=0, le=MOST_ROWS)] = 60,
    ) -> dict[str, Any]:
        return desk.rows(limits_of(request.query_params.multi_items()), start, count)

    @router.get("/thumb/{row}")
    def thumb(row: int) -> Response:
        headers = {"Cache-Control": "private, max-age=3600"}
        return Response(desk.thumb(row), media_type="image/jpeg", headers=headers)

    @router.get("/faces/{row}")
    def faces(row: int) -> dict[str, Any]:
        return desk.faces(row)

    @router.get("/export")
    def export(request: Request) -> FileResponse:
        with tempfile.NamedTemporaryFile(suffix=".parquet", delete=False) as file:
            target = Path(file.name)
        try:
            desk.export(limits_of(request.query_params.multi_items()), target)
        except BaseException:
            target.unlink()
            raise
        return FileResponse(
            target,
            media_type="application/vnd.apache.parquet",
            filename=f"{desk.path.stem}.chosen.parquet",
            background=BackgroundTask(target.unlink),
        )

    return router


def limits_of(query: Sequence[tuple[str, str]]) -> dict[str, tuple[float | None, float | None]]:
    """Limits of `min:SCORE` and `max:SCORE` in an address.

    Raises:
        InputError: one is no number.
    """
    limits: dict[str, tuple[float | None, float | None]] = {}
    for name, text in query:
        bound, colon, score = name.partition(":")
        if not colon or bound not in ("min", "max"):
            continue
        value = float("nan")
        with suppress(ValueError):
            value = float(text)
        if not np.isfinite(value):
            raise InputError(f"{name}={text}: give a number")
        least, greatest = limits.get(score, (None, None))
        limits[score] = (value, greatest) if bound == "min" else (least, value)
    return limits


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


def _around(points: NDArray[np.float32], width: int, height: int) -> tuple[int, int, int, int]:
    """The box around a face and a margin, x0, y0, x1, y1, within the picture [px]."""
    low, high = points.min(0), points.max(0)
    margin = _AROUND * (high - low)
    x0, y0 = np.clip(np.floor(low - margin), 0, [width - 2, height - 2]).astype(int)
    x1, y1 = np.clip(np.ceil(high + margin), [x0 + 1, y0 + 1], [width, height]).astype(int)
    return int(x0), int(y0), int(x1), int(y1)
