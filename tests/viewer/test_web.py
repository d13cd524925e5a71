"""What the server of `dubflow inspect` shows of a run, against what the store holds."""

import io
import json
import random
import subprocess
import sys
import time
import wave
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from flows.seen import see
from models.face_fit.settings import FitSettings
from models.speech_to_lips.neutral import opening
from stores.artifacts.builder import Derivation
from stores.artifacts.schema import Schema, series
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.errors import InputError
from stores.media.read import read_frames
from stores.media.scanning import scan
from stores.runs import RunRecord, record_run
from tasks.engine.open_run import open_run
from tasks.metrics.suspects import SUSPECTS
from tasks.source.face_basis import own_basis_key
from tasks.source.face_fit import face_fit
from tasks.source.face_fit_person import face_fit_person
from tests.media_factory import make_video, variable_times
from tests.viewer.conftest import Open, only_seen
from viewer.web.subject import find_subject

Looked = tuple[TestClient, str, Store, RunRecord]


@pytest.fixture(scope="module")
def looked(dubbed: tuple[Store, RunRecord], browse: Open) -> Looked:
    """A browser on the dub, the address of the run, the store and the record."""
    store, record = dubbed
    return browse(store), f"/api/runs/{record.id}", store, record


def floats(page: TestClient, address: str, dtype: str = "<f4") -> NDArray[Any]:
    answer = page.get(address)
    assert answer.status_code == 200, answer.text
    return np.frombuffer(answer.content, dtype)


def picture(page: TestClient, address: str) -> NDArray[np.uint8]:
    answer = page.get(address)
    assert answer.status_code == 200, answer.text
    found = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(found[..., ::-1], np.uint8)


def the(store: Store, record: RunRecord, kind: str) -> Any:
    return store.get(*next(item for item in record.artifacts if item[0] == kind))


@pytest.mark.parametrize(
    "kind", ["23.976", "59.94", "variable", "rotated", "edit list"], ids=lambda kind: kind
)
def test_frames_shown_are_the_decoders_bit_for_bit(kind: str, tmp_path: Path, browse: Open) -> None:
    given: dict[str, Any] = {
        "23.976": {"rate": Fraction(24000, 1001)},
        "59.94": {"rate": Fraction(60000, 1001)},
        "variable": {"pts": variable_times(40), "time_base": Fraction(1, 1000)},
        "rotated": {"rotation": 90},
        "edit list": {
            "pts": list(range(-7, 33)),
            "container_options": {"avoid_negative_ts": "disabled"},
        },
    }[kind]
    video, store = make_video(tmp_path / "a.mp4", frames=40, **given), Store(tmp_path / "store")
    page, run = browse(store), only_seen(store, tmp_path / "a.mp4")
    clip = scan(video)
    with av.open(str(video)) as container:
        count = sum(1 for _ in container.decode(video=0))
    times = floats(page, f"/api/runs/{run}/times", "<f8")
    assert len(times) == len(clip) + 1 == count + 1
    np.testing.assert_array_equal(times[:-1], clip.seconds)
    true = [frame.rgb() for frame in read_frames(video, clip, 0, len(clip))]
    order = random.Random(2).choices(range(len(clip)), k=10)
    for row in [*order, 20, 21, 22, 21, 20, 19, 0, len(clip) - 1]:
        shown = picture(page, f"/api/runs/{run}/frames/source/{row}?format=png")
        np.testing.assert_array_equal(shown, true[row], err_msg=f"{kind}, frame {row}")


@pytest.mark.dub
def test_dub_and_source_are_shown_at_the_same_row(looked: Looked) -> None:
    page, run, _, record = looked
    told = page.get(run).json()
    output = Path(record.output or "")
    clip, dub = scan(Path(record.settings["video"])), scan(output)
    rows = floats(page, f"{run}/source_frames", "<i4")
    assert told["rows"] == len(rows) == len(dub) == told["videos"]["dub"]["frames"]
    np.testing.assert_allclose(floats(page, f"{run}/times", "<f8")[:-1], dub.seconds, atol=1e-3)
    true = {frame.index: frame.rgb() for frame in read_frames(output, dub, 0, len(dub))}
    for row in (30, 31, 32, 3, len(dub) - 1, 0):
        answer = page.get(f"{run}/frames/source/{row}")
        assert answer.headers["x-frame"] == str(rows[row])
        shown = picture(page, f"{run}/frames/dub/{row}?format=png")
        np.testing.assert_array_equal(shown, true[row])
    (frame,) = read_frames(Path(record.settings["video"]), clip, int(rows[5]), int(rows[5]) + 1)
    shown = picture(page, f"{run}/source/{rows[5]}?format=png")
    np.testing.assert_array_equal(shown, frame.rgb())
    small = picture(page, f"{run}/frames/dub/7?width=100&format=webp")
    assert small.shape == (75, 100, 3)
    assert picture(page, f"{run}/frames/dub/7?width=9999").shape == true[7].shape
    assert page.get(f"{run}/frames/dub/7").headers["cache-control"].endswith("immutable")


@pytest.mark.dub
def test_run_is_described(looked: Looked) -> None:
    page, run, _, record = looked
    told = page.get(run).json()
    assert (told["id"], told["output"]) == (record.id, record.output)
    kinds = [stage["kind"] for stage in told["stages"]]
    assert kinds.index("timeline") < kinds.index("landmarks") < kinds.index("dubbed")
    states = {stage["kind"]: stage for stage in told["stages"]}
    assert {stage["state"] for stage in told["stages"]} == {"stored"}
    assert states["landmarks"]["row_is"] == "source"
    assert states["render"]["row_is"] == "output"
    assert states["composite"]["inputs"] == ["landmarks", "output_frames", "render", "timeline"]
    assert told["videos"]["dub"]["playable"]["type"].startswith('video/mp4; codecs="avc1.')
    assert told["sounds"] == ["speech", "own"]
    names = {overlay["name"] for overlay in told["overlays"]}
    assert names == {"landmarks", "mouth", "boxes", "crop", "mask", "lender"}
    listed = page.get("/api/runs").json()
    assert record.id in [each["id"] for each in listed]


@pytest.mark.dub
def test_tracks_hold_a_number_a_row(looked: Looked) -> None:
    page, run, store, record = looked
    rows = floats(page, f"{run}/source_frames", "<i4")
    face, motion = the(store, record, "landmarks"), the(store, record, "motion")
    seen = floats(page, f"{run}/tracks/opening_seen")
    np.testing.assert_array_equal(seen, opening(face.read("mouth"))[rows])
    part = floats(page, f"{run}/tracks/opening_wanted?from=3&to=9")
    np.testing.assert_array_equal(part, opening(motion.read("mouth"))[3:9])
    np.testing.assert_array_equal(floats(page, f"{run}/tracks/opening_wanted")[3:9], part)
    for track in page.get(run).json()["tracks"]:
        assert len(floats(page, f"{run}/tracks/{track['name']}")) == len(rows)
    assert page.get(f"{run}/tracks/nothing").status_code == 422


@pytest.mark.dub
def test_overlays_lie_on_the_face(looked: Looked) -> None:
    page, run, store, record = looked
    at = int(floats(page, f"{run}/source_frames", "<i4")[20])
    mesh = the(store, record, "landmarks").read("landmarks", at, at + 1)[0, :, :2]
    (points,) = page.get(f"{run}/overlays/landmarks/20").json()["shapes"]
    np.testing.assert_allclose(points["xy"], mesh, atol=0.01)
    (box,) = page.get(f"{run}/overlays/boxes/20").json()["shapes"]
    assert box["role"] == "chosen"
    (x0, y0), (x1, y1) = box["xy"]
    mouth = page.get(f"{run}/overlays/mouth/20").json()["shapes"]
    assert {shape["role"] for shape in mouth} == {"seen", "wanted"}
    for name in ("mouth", "mask"):
        drawn = page.get(f"{run}/overlays/{name}/20").json()["shapes"]
        inner = [shape for shape in drawn if shape["role"] in ("seen", "wanted", "chosen")]
        x, y = np.concatenate([shape["xy"] for shape in inner]).mean(0)
        assert x0 < x < x1 and y0 < y < y1, name
    for shape in page.get(f"{run}/overlays/lender/20").json()["shapes"]:
        assert page.get(shape["href"]).status_code == 200
    assert page.get(f"{run}/overlays/crop/20").json()["shapes"][0]["kind"] == "polygon"


@pytest.mark.dub
def test_sound_is_where_the_rows_are(looked: Looked) -> None:
    page, run, store, record = looked
    samples = next(
        artifact.read("sample")
        for kind, key in record.artifacts
        if kind == "waveform"
        for artifact in [store.get(kind, key)]
        if artifact.manifest.inputs["audio"]
        == the(store, record, "dubbed").manifest.inputs["speech"]
    )
    answer = page.get(f"{run}/sound/speech?from=0.25&to=1.25")
    with wave.open(io.BytesIO(answer.content)) as file:
        assert (file.getframerate(), file.getnframes()) == (16000, 16000)
        heard = np.frombuffer(file.readframes(16000), "<i2") / 32767
    np.testing.assert_allclose(heard, samples[4000:20000], atol=1e-4)
    pairs = floats(page, f"{run}/waveform/speech?from=0&to=1&points=10").reshape(10, 2)
    blocks = samples[:16000].reshape(10, 1600)
    np.testing.assert_array_equal(pairs, np.stack([blocks.min(1), blocks.max(1)], 1))
    mel = picture(page, f"{run}/mel/speech?from=0&to=1&height=40")
    assert mel.shape == (40, 80, 3)
    assert page.get(f"{run}/sound/speech?from=0&to=31").status_code == 422


@pytest.mark.dub
def test_every_stage_has_a_picture_or_says_that_it_has_none(looked: Looked) -> None:
    page, run, *_ = looked
    without = set()
    for stage in page.get(run).json()["stages"]:
        answer = page.get(f"{run}/thumb/{stage['kind']}/20?width=96")
        assert (answer.status_code == 200) == stage["picture"], stage["kind"]
        if answer.status_code == 404:
            without.add(stage["kind"])
            continue
        shown = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
        assert shown.shape[1] <= 96, stage["kind"]
    assert without == {"face_descriptors", "speech_features", "visibility"}


@pytest.mark.dub
def test_artifacts_are_laid_open(looked: Looked) -> None:
    page, _, _, record = looked
    listed = page.get(f"/api/artifacts?run={record.id}").json()
    assert [(each["kind"], each["key"]) for each in listed] == record.artifacts
    kind, key = next(item for item in record.artifacts if item[0] == "landmarks")
    told = page.get(f"/api/artifacts/{kind}/{key}").json()
    array = next(array for array in told["arrays"] if array["name"] == "landmarks")
    assert (array["dims"], array["units"]) == (["frame", "point", "xyz"], "px")
    assert "render" in {user["kind"] for user in told["used_by"]}
    assert {given["kind"] for given in told["inputs"]} == {"faces", "track", "timeline"}


@pytest.mark.dub
@pytest.mark.long
def test_drawings_and_proxies_are_made_on_demand(looked: Looked, tmp_path: Path) -> None:
    page, run, _, record = looked
    kind, key = next(item for item in record.artifacts if item[0] == "motion")
    assert page.get(f"/api/artifacts/{kind}/{key}/preview").headers["content-type"] == "image/png"
    for container in ("mp4", "webm"):
        address = f"{run}/play/source?type={container}"
        answer = page.get(address)
        while answer.status_code == 202:
            assert 0 <= answer.json()["progress"] <= 1
            time.sleep(0.1)
            answer = page.get(address)
        path = tmp_path / f"a.{container}"
        path.write_bytes(answer.content)
        clip, source = scan(path), scan(Path(record.settings["video"]))
        np.testing.assert_allclose(clip.seconds, source.seconds, atol=2e-3)
        assert clip.audio is not None


@pytest.mark.dub
def test_files_are_given_by_single_ranges(looked: Looked) -> None:
    page, run, store, record = looked
    dubbed = store.get("dubbed", dict(record.artifacts)["dubbed"])
    whole = dubbed.file("dubbed.mp4").read_bytes()
    address = f"{run}/play/dub"
    assert page.get(address).content == whole
    for asked, part in {
        "bytes=0-9": whole[:10],
        "bytes=100-": whole[100:],
        "bytes=-7": whole[-7:],
        f"bytes=5-{10**17}": whole[5:],
    }.items():
        answer = page.get(address, headers={"Range": asked})
        assert (answer.status_code, answer.content) == (206, part)
    for asked in ("bytes=0-1,4-5", "bytes=-", "bytes=9-1", f"bytes={len(whole)}-", "lines=1-2"):
        answer = page.get(address, headers={"Range": asked})
        assert answer.status_code == 416 and "\n" not in answer.text


@pytest.mark.dub
def test_a_store_of_objects_shows_the_same(looked: Looked, browse: Open) -> None:
    page, run, store, record = looked
    far = Store(f"memory://{record.id}")
    names = [f"runs/{record.id}.json"]
    for kind, key in record.artifacts:
        below = f"{kind}/{key[:2]}/{key}"
        names += [f"{below}/{name}" for name in store.backend.names(below)]
    for name in names:
        far.backend.write(name, store.backend.read(name))
    there = browse(far)
    assert there.get(run).json() == page.get(run).json()
    for address in (
        "frames/dub/11?format=png",
        "frames/source/11?format=png",
        "overlays/mouth/11",
        "tracks/opening_seen",
        "waveform/speech?points=50",
        "thumb/render/11",
        "play/dub",
    ):
        assert there.get(f"{run}/{address}").content == page.get(f"{run}/{address}").content


@pytest.mark.dub
def test_damage_and_absence_show_in_the_lineage(looked: Looked, browse: Open) -> None:
    _, run, store, record = looked
    kind, key = next(item for item in record.artifacts if item[0] == "lenders")
    folder = Path(store.url) / kind / key[:2] / key
    aside = folder.with_name("aside")
    page = browse(store)
    folder.rename(aside)
    try:
        states = {s["kind"]: s["state"] for s in page.get(f"{run}/stages").json()}
        assert states["lenders"] == "missing"
        assert page.get(f"{run}/overlays/lender/0").status_code == 404
    finally:
        aside.rename(folder)
    file = folder / "first/c/0"
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    try:
        states = {s["kind"]: s["state"] for s in page.get(f"{run}/stages").json()}
        assert states["lenders"] == "damaged"
    finally:
        file.write_bytes(content)


@pytest.mark.long
def test_fitted_model_lies_on_the_face(tmp_path: Path, browse: Open) -> None:
    video = make_video(tmp_path / "a.mp4", frames=18, size=(400, 300), real_faces=True)
    store = Store(tmp_path / "store")
    with open_run(store, workers=1) as run:
        seen = see(Source.of(video))
        given = {"video": seen.video, "timeline": seen.timeline, "landmarks": seen.landmarks}
        quick = FitSettings(person_frames=4, person_iterations=12, iterations=3)
        person = face_fit_person(**given, basis=own_basis_key(), settings=quick)
        face_fit(**given, person=person, frozen=None, settings=quick)
    record = RunRecord("look", {"video": str(video)}, run.touched, None)
    record_run(store, record)
    page, mesh = browse(store), seen.landmarks.read("landmarks", 17, 18)[0, :, :2]
    shown, told = page.get(f"/api/runs/{record.id}/overlays/fit/17").json()["shapes"]
    assert told["label"].startswith("landmarks")
    answer = page.get(shown["href"])
    drawn = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)
    (x0, y0), (x1, y1) = shown["xy"]
    assert drawn.shape == (y1 - y0, x1 - x0, 4)
    y, x = np.nonzero(drawn[..., 3] > 127)
    points = np.stack([x + x0, y + y0], axis=1)
    low, high = points.min(0), points.max(0)
    np.testing.assert_allclose((low + high) / 2, (mesh.min(0) + mesh.max(0)) / 2, atol=8)
    np.testing.assert_allclose(high - low, np.ptp(mesh, axis=0), rtol=0.25)


def commit(store: Store, kind: str, rows: int, facts: dict[str, Any], digest: str) -> Any:
    """An artifact of one number for each of some rows, made of a file."""
    schema = Schema(kind, {name: series("A score; of it") for name in facts["values"]}, {}, "")
    key = f"{len(kind):032x}"
    derivation = Derivation(schema, key, 1, {"result": ("source", digest)}, {})
    builder = store.builder(derivation, {"frame": rows})
    builder.prepare()
    builder.write_whole({name: np.arange(rows, dtype=np.float32) for name in facts["values"]})
    return builder.commit(facts, seconds=0.1)


@pytest.mark.dub
def test_scores_of_the_dubbed_file_become_tracks(looked: Looked, browse: Open) -> None:
    _, run, store, record = looked
    dubbed = the(store, record, "dubbed")
    digest, rows = (
        dubbed.manifest.files[dubbed.attributes["file"]].digest,
        dubbed.attributes["frames"],
    )
    own = commit(store, "metrics_played", rows, {"values": {"lip": 1.0}}, digest)
    other = commit(store, "metrics_elsewhere", rows, {"values": {"other": 1.0}}, "0" * 32)
    try:
        page = browse(store)
        scores = [t for t in page.get(run).json()["tracks"] if t["group"] == "scores"]
        assert [(t["name"], t["title"]) for t in scores] == [("score:lip", "A score")]
        np.testing.assert_array_equal(floats(page, f"{run}/tracks/score:lip"), np.arange(rows))
    finally:
        for artifact in (own, other):
            store.remove(artifact.kind, artifact.key)


@pytest.mark.dub
def test_suspects_are_found_again(looked: Looked, browse: Open) -> None:
    _, run, store, record = looked
    dubbed = the(store, record, "dubbed")
    digest, rows = (
        dubbed.manifest.files[dubbed.attributes["file"]].digest,
        dubbed.attributes["frames"],
    )
    derivation = Derivation(SUSPECTS, "5" * 32, 1, {"timeline": ("source", digest)}, {})
    builder = store.builder(derivation, {"frame": rows, "suspect": 1})
    builder.prepare()
    places = {"class": np.array([1], np.int32), "weight": np.array([0.5], np.float32)}
    places |= {"start": np.array([3]), "stop": np.array([9])}
    builder.write_whole(places | {"opening": np.zeros(rows, np.float32)})
    classes = [{"name": "no_face", "title": "No face"}, {"name": "seam", "title": "Seam"}]
    facts = {"classes": classes, "reasons": ["It shows."], "not_judged": []}
    made = builder.commit(facts, seconds=0.1)
    try:
        page = browse(store)
        found = page.get(f"{run}/suspects").json()
        place = {"class": "seam", "title": "Seam", "start": 3, "stop": 9, "weight": 0.5}
        assert found["rows"] == [place | {"reason": "It shows."}]
        assert (found["state"], page.get(run).json()["suspects"]) == ("ready", "ready")
    finally:
        store.remove(made.kind, made.key)


JOB = """
import json, sys, time
asked = json.load(sys.stdin)
print(json.dumps({"progress": {"name": "work", "done": 1, "total": 2}}), flush=True)
if asked["do"] == "redo":
    time.sleep(60)
if asked["do"] == "plan":
    print(json.dumps({"error": "it can't be\\n done"}))
    sys.exit(1)
print("no JSON\\n" + json.dumps({"result": {"asked": asked}}))
"""


@pytest.fixture
def worker(browse: Open, dubbed: tuple[Store, RunRecord]) -> tuple[TestClient, str]:
    """A browser on a server whose jobs are played."""
    store, record = dubbed
    return browse(store, job_command=[sys.executable, "-c", JOB]), f"/api/runs/{record.id}"


def ended(page: TestClient, job: str) -> dict[str, Any]:
    while (told := page.get(f"/api/jobs/{job}").json())["state"] == "running":
        time.sleep(0.02)
    return dict(told)


@pytest.mark.dub
def test_jobs_run_fail_and_stop(worker: tuple[TestClient, str]) -> None:
    page, run = worker
    assert page.get("/api/session").json()["redo"] is True
    assert page.get(f"{run}/suspects").json() == {"state": "absent", "rows": []}
    told = ended(page, page.post(f"{run}/suspects").json()["job"])
    assert told["state"] == "done"
    assert told["progress"] == [{"name": "work", "done": 1, "total": 2}]
    ended(page, page.get(f"{run}/schema").json()["job"])
    assert page.get(f"{run}/schema").json()["asked"]["do"] == "schema"
    wanted = {"changes": {"blend": {"strength": 0.5}}, "span": [3, 9]}
    told = ended(page, page.post(f"{run}/plan", json=wanted).json()["job"])
    assert (told["state"], told["error"]) == ("failed", "it can't be done")
    job = page.post(f"{run}/redo", json=wanted).json()["job"]
    assert page.get(f"/api/jobs/{job}").json()["state"] == "running"
    page.post(f"/api/jobs/{job}/cancel")
    assert ended(page, job)["state"] == "cancelled"
    assert page.post(f"{run}/redo", json={"span": [1, 2], "more": 1}).status_code == 422


@pytest.mark.dub
def test_subject_is_found_by_whatever_name(dubbed: tuple[Store, RunRecord], tmp_path: Path) -> None:
    store, record = dubbed
    assert find_subject(store, None).kind == "home"
    for name in (record.output, record.id, record.id[:9]):
        assert find_subject(store, name).id == record.id
    kind, key = record.artifacts[3]
    assert find_subject(store, key[:16]).id == f"{kind}/{key}"
    (tmp_path / "index.parquet").write_bytes(b"")
    assert find_subject(store, str(tmp_path / "index.parquet")).kind == "index"
    (tmp_path / "other.mp4").write_bytes(b"x")
    with pytest.raises(InputError, match="written by no run"):
        find_subject(store, str(tmp_path / "other.mp4"))


def test_a_bare_name_does_where_one_run_wrote_it(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    record_run(store, RunRecord("dub", {}, [], "/a/out.mp4", id="0" * 12))
    assert find_subject(store, "out.mp4").id == "0" * 12
    record_run(store, RunRecord("dub", {}, [], "/b/out.mp4", id="1" * 12))
    with pytest.raises(InputError, match=r"out.mp4 fits 2 runs: /"):
        find_subject(store, "out.mp4")
    (tmp_path / "out.mp4").touch()
    with pytest.raises(InputError, match="written by no run"):
        find_subject(store, "out.mp4")


def test_server_imports_nothing_heavy() -> None:
    program = (
        "import sys, json, flows.cli.inspect, viewer.web.app, viewer.web.subject, uvicorn;"
        "heavy = {'torch', 'mediapipe', 'prefect', 'librosa', 'matplotlib', 'scipy', 'dask'};"
        "print(json.dumps(sorted(heavy & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert json.loads(done.stdout) == []
