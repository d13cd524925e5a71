"""Evaluation end to end on small clips: perfect scores, failures counted, nothing done twice."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from flows.evaluate import evaluate
from flows.evaluation.item import options_of
from flows.evaluation.last_part import check_held_out
from flows.evaluation.protocols import Item, read_protocol
from flows.evaluation.settings import EvaluateSettings
from flows.presets import checked
from stores.artifacts import catalog
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.errors import InputError, MissingWeights, SettingsError
from tasks.engine.open_run import open_run
from tasks.source.timeline import timeline
from tasks.speech.waveform import waveform
from tests.flows.conftest import cut_wav
from tests.media_factory import EXAMPLE, make_video

pytestmark = pytest.mark.dub

Make = Callable[..., EvaluateSettings]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two persons' clips."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("p01_0001.mp4", "p02_0001.mp4"):
        shade = 300 if name.startswith("p01") else 280
        make_video(folder / name, frames=50, size=(400, shade), real_faces=True, audio="aac")
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def make(data: Path, store: Path, tmp_path: Path) -> Make:
    def make(**changes: Any) -> EvaluateSettings:
        given = {
            "protocols": ["folder_paired"],
            "data": data,
            "output": tmp_path / "out",
            "store": str(store),
            "methods": ["source"],
            "families": ["lips"],
        }
        return checked(EvaluateSettings, given | changes)

    return make


def rows(settings: EvaluateSettings, table: str = "scores") -> list[dict[str, Any]]:
    return list(pq.read_table(settings.output / f"{table}.parquet").to_pylist())


def test_the_source_itself_is_perfect_and_a_dub_is_not(make: Make) -> None:
    settings = make(methods=["source", "exemplar"], limit=1)
    done = evaluate(settings)
    assert done.items == 2
    distance = {r["system"]: r["value"] for r in rows(settings) if r["metric"] == "lip_distance"}
    assert distance["source"] == 0
    assert distance["exemplar"] > 0.1
    page = done.html.read_text()
    assert "Lip distance" in page
    assert "exemplar" in page
    assert (settings.output / "videos" / "folder_paired" / "exemplar" / "p01_0001.mp4").is_file()


def test_a_second_run_computes_nothing(make: Make, store: Path) -> None:
    settings = make(methods=["source", "exemplar"], limit=1)
    evaluate(settings)
    before = set(Store(store).committed())
    evaluate(settings)
    assert set(Store(store).committed()) == before


@pytest.mark.long
def test_the_catalog_is_written_once_for_all_items(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, times = catalog.read_catalog, []

    def noted(store: Store) -> Any:
        times.append(store)
        return read(store)

    monkeypatch.setattr(catalog, "read_catalog", noted)
    fresh = str(tmp_path / "fresh store")
    settings = make(methods=["source", "exemplar"], store=fresh, limit=1)
    evaluate(settings)
    assert len(times) == 1
    evaluate(settings)
    assert len(times) == 1


def test_a_damaged_clip_is_counted_and_stops_nothing(
    make: Make, data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "with damage"
    folder.mkdir()
    for clip in data.glob("*.mp4"):
        (folder / clip.name).write_bytes(clip.read_bytes())
    (folder / "p03_0001.mp4").write_bytes(b"this is no video")
    settings = make(data=folder)
    done = evaluate(settings)
    assert done.items == 2
    assert [(system, item) for system, item, _ in done.failures] == [("source", "p03_0001")]
    failed = [row for row in rows(settings, "items") if row["failure"]]
    assert [row["item"] for row in failed] == ["p03_0001"]


def test_unpaired_speech_has_no_truth(make: Make) -> None:
    settings = make(protocols=["folder_unpaired"], limit=1)
    evaluate(settings)
    (distance,) = [row for row in rows(settings) if row["metric"] == "lip_distance"]
    assert distance["value"] is None
    assert "truth" in distance["reason"]
    (item,) = rows(settings, "items")
    assert Path(item["speech"]).name[:3] != Path(item["video"]).name[:3]


def test_other_systems_videos_are_scored_and_missing_ones_counted(
    make: Make, data: Path, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "p01_0001.mp4").write_bytes((data / "p01_0001.mp4").read_bytes())
    settings = make(methods=[], external={"theirs": theirs}, limit=2)
    done = evaluate(settings)
    assert done.items == 1
    ((system, item, why),) = done.failures
    assert (system, item) == ("theirs", "p02_0001")
    assert "holds no p02_0001.mp4" in why


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"protocols": ["lrs5"]}, SettingsError, "no protocol"),
        ({"methods": ["neural"]}, SettingsError, "no method"),
        ({"methods": ["wav2lip"]}, MissingWeights, "dubflow weights add"),
        ({"methods": []}, SettingsError, "nothing to evaluate"),
        ({"external": {"x": Path("nowhere")}}, InputError, "no such folder"),
        ({"external": {"source": Path()}}, SettingsError, "has that name"),
        ({"variants": {"x": "neural"}}, SettingsError, "no method"),
        ({"variants": {"wav2lip": "exemplar"}}, SettingsError, "the name of a method"),
        ({"method_settings": {"soft": {"adapt": False}}}, SettingsError, "no method or variant"),
    ],
)
def test_what_can_only_fail_later_is_refused_at_once(
    make: Make, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        evaluate(make(**changes))


def test_speech_cut_from_elsewhere_needs_a_listing(make: Make, data: Path, tmp_path: Path) -> None:
    cut_wav(EXAMPLE.with_name("jfk.wav"), data, 0.5, 1.5)
    (data / "pairs.txt").write_text("0.5-1.5.wav p01_0001.mp4\n")
    own = tmp_path / "own.yaml"
    own.write_text(
        "title: own\nabout: own\nsource: own\ndata: pairs.txt\nspeech: listed\n"
        "listing: {file: pairs.txt, columns: [audio, video]}\n"
    )
    settings = make(protocols=[str(own)], methods=["exemplar"])
    assert evaluate(settings).items == 1
    assert (settings.output / "videos" / "own" / "exemplar").is_dir()


@pytest.fixture
def last_part(tmp_path: Path) -> str:
    """A protocol of the last two fifths of each clip."""
    path = tmp_path / "last.yaml"
    path.write_text(
        "title: last\nabout: last\nsource: own\ndata: clips\nglob: ['**/p0*.mp4']\n"
        "speech: own\nlast_share: 0.4\nmethods: {exemplar: {adapt: false}}\n"
    )
    return str(path)


@pytest.mark.long
def test_only_the_last_part_is_dubbed_and_judged(make: Make, data: Path, last_part: str) -> None:
    settings = make(protocols=[last_part], methods=["source", "exemplar"], limit=1)
    assert evaluate(settings).items == 2
    distance = {r["system"]: r["value"] for r in rows(settings) if r["metric"] == "lip_distance"}
    assert distance["source"] == 0 and distance["exemplar"] > 0.1
    found = {row["system"]: Path(row["result"]) for row in rows(settings, "items")}
    clip = data / "p01_0001.mp4"
    with open_run(Store(settings.store)):
        frames = [timeline(Source.of(path)).sizes["frame"] for path in (clip, *found.values())]
        heard = waveform(Source.of(found["source"])).attributes["seconds"]
    assert frames == [50, 20, 20] and heard == pytest.approx(0.8, abs=0.02)
    np.testing.assert_array_equal(decoded(found["source"], 0), decoded(clip, 30))


def decoded(path: Path, row: int) -> NDArray[np.uint8]:
    """Luma of a frame."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    return np.asarray(frames[row], np.uint8)


@pytest.mark.parametrize(("held_out", "refused"), [(0.0, True), (0.2, True), (0.4, False)])
def test_networks_that_learned_from_the_judging_part_are_refused(
    held_out: float, refused: bool, tmp_path: Path
) -> None:
    path = tmp_path / "net.safetensors"
    told = {"network": "meta_talk_expression", "trained_on": json.dumps({"held_out": held_out})}
    save_file({"a": torch.zeros(1)}, path, metadata=told)
    check_held_out(str(path), None)
    check_held_out("wav2lip_gan", 0.4)
    if refused:
        with pytest.raises(SettingsError, match="trained on the last 40% of its clip's time"):
            check_held_out(str(path), 0.4)
    else:
        check_held_out(str(path), 0.4)


def test_settings_may_name_the_item(make: Make, data: Path) -> None:
    item = Item("talks/one", data / "one.mp4", data / "one.mp4")
    given = {"exemplar": {"run": "RUNS/{item}", "smooth": 2}}
    settings = make(methods=["exemplar"], method_settings=given)
    found = options_of(settings, read_protocol("folder_paired"), "exemplar", item)
    assert found["run"] == "RUNS/talks/one" and found["smooth"] == 2
    assert found["adapt"] is False


def test_a_variant_has_the_settings_of_its_method_and_its_own(make: Make, data: Path) -> None:
    item = Item("one", data / "one.mp4", data / "one.mp4")
    given = {"exemplar": {"run": "RUN", "render": {"a": 1, "b": 1}}, "other": {"render": {"b": 2}}}
    settings = make(methods=["source"], variants={"other": "exemplar"}, method_settings=given)
    found = options_of(settings, read_protocol("folder_paired"), "other", item)
    assert found["run"] == "RUN" and found["render"] == {"a": 1, "b": 2} and not found["adapt"]


@pytest.mark.long
def test_a_variant_is_dubbed_and_judged_beside_its_method(make: Make) -> None:
    settings = make(
        methods=["source", "exemplar"],
        variants={"other": "exemplar"},
        method_settings={"other": {"exclude_within_s": 0.5}},
        limit=1,
    )
    assert evaluate(settings).items == 3
    found = {r["system"]: r["value"] for r in rows(settings) if r["metric"] == "lip_distance"}
    assert found["source"] == 0 and 0 < found["other"] != found["exemplar"] > 0
    assert (settings.output / "videos" / "folder_paired" / "other" / "p01_0001.mp4").is_file()
