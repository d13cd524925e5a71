"""Evaluation end to end on small clips: perfect scores, failures counted, nothing done twice."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from flows.evaluate import evaluate
from flows.evaluation.settings import EvaluateSettings
from flows.presets import checked
from stores.artifacts import catalog
from stores.artifacts.store import Store
from stores.errors import InputError, MissingWeights, SettingsError
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
