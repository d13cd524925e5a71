"""A prepared index, looked through by thresholds: counts, pages, thumbnails, export."""

import io
import json
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi import FastAPI
from PIL import Image

from flows.seen import see
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.dataset_index import index_facts, index_schema
from stores.errors import InputError
from tasks.engine.open_run import open_run
from tests.media_factory import make_video
from viewer.web.index import IndexDesk, index_router, limits_of

with warnings.catch_warnings():  # Prefect brings httpx; Starlette asks for its successor
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

SCORES = {"face_px": ("height of the face", "px"), "agreement": ("with speech", "")}


def write_index(to: Path, rows: int, **columns: Any) -> Path:
    """An index of made-up rows: `face_px` rises from 0, `agreement` is unknown in odd rows."""
    schema = index_schema(SCORES)
    number = np.arange(rows)
    known = {
        "person": [f"p{row % 7}" for row in number],
        "split": ["validation" if row % 7 == 0 else "train" for row in number],
        "clip": [f"clip{row}.mp4" for row in number],
        "path": [f"/data/clip{row}.mp4" for row in number],
        "start": number * 0,
        "stop": number * 0 + 12,
        "seconds": number * 0 + 2.0,
        "face_px": number.astype(float),
        "agreement": [None if row % 2 else 0.5 for row in number],
        "kept": number < rows // 2,
        "dropped_by": [[] if row < rows // 2 else ["min_face_px"] for row in number],
        **{kind: [f"{kind}{row}" for row in number] for kind in ("landmarks", "waveform")},
        **columns,
    }
    arrays = [
        pa.array(known[field.name], field.type)
        if field.name in known
        else pa.nulls(rows, field.type)
        for field in schema
    ]
    facts = json.dumps({"store": str(to.parent / "store"), "seed": 1})
    table = pa.Table.from_arrays(arrays, schema=schema.with_metadata({"dubflow": facts}))
    pq.write_table(table, to)
    return to


@pytest.fixture
def desk(tmp_path: Path) -> IndexDesk:
    return IndexDesk(write_index(tmp_path / "data.parquet", 100), Store(tmp_path / "store"))


@pytest.fixture
def ask(desk: IndexDesk) -> Callable[[str], Any]:
    app = FastAPI()
    app.include_router(index_router(desk))
    return TestClient(app).get


def test_scores_have_units_limits_and_histograms(ask: Callable[[str], Any]) -> None:
    facts = ask("/api/index").json()
    assert (facts["name"], facts["rows"], facts["persons"]) == ("data.parquet", 100, 7)
    assert facts["splits"] == {"validation": 15, "train": 85}
    scores = {score["name"]: score for score in facts["scores"]}
    assert set(scores) == {"seconds", "face_px", "agreement"}, "scores of no row are left out"
    face = scores["face_px"]
    assert (face["unit"], face["doc"]) == ("px", "height of the face")
    assert (face["low"], face["high"]) == (0, 99)
    assert sum(face["histogram"]["counts"]) == 100
    assert len(face["histogram"]["edges"]) == len(face["histogram"]["counts"]) + 1
    assert sum(scores["agreement"]["histogram"]["counts"]) == 50


def test_thresholds_say_how_many_survive(ask: Callable[[str], Any]) -> None:
    found = ask("/api/index/rows?from=2&count=3&min:face_px=90&max:face_px=97").json()
    assert (found["total"], found["survive"]) == (100, 8)
    assert [row["row"] for row in found["rows"]] == [92, 93, 94]
    assert found["rows"][0]["clip"] == "clip92.mp4"
    unknown = ask("/api/index/rows?count=500&min:agreement=0.9").json()
    assert unknown["survive"] == 50, "what is not known drops nothing"
    assert ask("/api/index/rows?from=200").json()["rows"] == []


def test_rows_without_a_face_never_survive(tmp_path: Path) -> None:
    faces = [None if row < 10 else "key" for row in range(40)]
    index = IndexDesk(write_index(tmp_path / "data.parquet", 40, landmarks=faces), Store(tmp_path))
    assert index.rows({}, 0, 1)["survive"] == 30
    assert index.rows({}, 0, 1)["rows"][0]["row"] == 10


@pytest.mark.parametrize(
    ("query", "words"),
    [("min:blur=1", "no score 'blur'"), ("max:face_px=wide", "max:face_px=wide: give a number")],
)
def test_what_is_no_limit_is_told(desk: IndexDesk, query: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        desk.survivors(limits_of([tuple(query.split("="))]))  # type: ignore[list-item]


def test_an_export_is_an_index_of_the_chosen_rows(
    ask: Callable[[str], Any], tmp_path: Path, desk: IndexDesk
) -> None:
    answer = ask("/api/index/export?min:face_px=48&max:face_px=52")
    assert "data.chosen.parquet" in answer.headers["content-disposition"]
    path = tmp_path / "chosen.parquet"
    path.write_bytes(answer.content)
    assert pq.read_schema(path).equals(desk.schema)
    rows = pq.read_table(path).to_pylist()
    assert [row["clip"] for row in rows] == [f"clip{number}.mp4" for number in range(48, 53)]
    assert all(row["kept"] and row["dropped_by"] == [] for row in rows)
    chosen = index_facts(path)["chosen"]
    assert chosen["limits"] == {"face_px": [48.0, 52.0]}
    assert pq.read_schema(path).field("face_px").metadata == desk.schema.field("face_px").metadata
    with pytest.raises(InputError, match="widen them"):
        desk.export({"face_px": (1e6, None)}, tmp_path / "none.parquet")


@pytest.mark.long
def test_a_hundred_thousand_rows_need_little_memory(tmp_path: Path) -> None:
    path = write_index(tmp_path / "large.parquet", 100_000)
    before = pa.total_allocated_bytes()
    desk = IndexDesk(path, Store(tmp_path / "store"))
    tracemalloc.start()
    pa_peak = pa.default_memory_pool()
    assert desk.facts()["rows"] == 100_000
    found = desk.rows({"face_px": (99_000.0, None)}, 900, 60)
    assert [row["row"] for row in found["rows"]] == list(range(99_900, 99_960))
    assert desk.export({}, tmp_path / "all.parquet") == 100_000
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()
    assert pa_peak.bytes_allocated() - before < 32 << 20


@pytest.mark.dub
def test_a_row_shows_the_face_of_its_middle_frame_and_the_clips_tracks(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", frames=12, size=(400, 300), real_faces=True, audio="aac")
    store = Store(tmp_path / "store")
    with open_run(store):
        seen = see(Source.of(video))
    assert seen.waveform is not None
    path = write_index(
        tmp_path / "data.parquet",
        1,
        path=[str(video)],
        landmarks=[seen.landmarks.key],
        timeline=[seen.timeline.key],
        waveform=[seen.waveform.key],
    )
    app = FastAPI()
    app.include_router(index_router(IndexDesk(path)))
    client = TestClient(app)
    picture = Image.open(io.BytesIO(client.get("/api/index/thumb/0").content))
    mesh = seen.landmarks.read("landmarks", 6, 7)[0, :, :2]
    width, height = 1.5 * (mesh.max(0) - mesh.min(0))
    assert max(picture.size) <= 192
    assert picture.size[0] / picture.size[1] == pytest.approx(width / height, rel=0.05)
    faces = client.get("/api/index/faces/0").json()
    assert faces["frames"] == 12
    (track,) = faces["tracks"]
    assert (track["chosen"], track["start"], track["stop"]) == (True, 0, 12)
    chosen = tmp_path / "chosen.parquet"
    IndexDesk(path).export({}, chosen)
    assert pq.read_table(chosen).to_pylist()[0]["path"] == str(video)
