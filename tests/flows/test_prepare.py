"""Preparing a data set: scores once, cuts as often as one likes, and only new files cost."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.datasets.description import Clip, Split
from flows.datasets.splits import draw
from flows.preparation.report import split_notes
from flows.prepare import PrepareReport, PrepareSettings, prepare
from flows.presets import checked
from stores.artifacts.store import Store
from stores.collector import collect
from stores.dataset_index import index_facts, read_parts
from stores.errors import InputError, SettingsError
from tests.command import invoke
from tests.media_factory import faces, make_video

pytestmark = pytest.mark.dub

Make = Callable[..., PrepareSettings]
FRAMES = 54
LENIENT = {"min_agreement": None, "max_lag_seconds": None, "min_face_px": 20}
"""The sound of these clips is a tone, and their faces are small."""

LENIENT_CHANGES = tuple(
    f"--set={name}={'null' if value is None else value}" for name, value in LENIENT.items()
)
CLIPS = ("p01_a.mp4", "p02_a.mp4", "p03_silent.mp4", "p04_bad.mp4")
SPLIT_APART = next(seed for seed in range(99) if sum(draw(seed, clip) < 0.2 for clip in CLIPS) == 1)
"""A seed that holds out one of the clips, each taken for a person of its own."""
PERSONS = ("p01", "p02", "p03", "p04")
ALL_TRAIN = next(seed for seed in range(99) if min(draw(seed, name) for name in PERSONS) >= 0.2)
"""A seed that holds out nobody."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two persons, a damaged file, and a silent one."""
    folder = tmp_path_factory.mktemp("data")
    for number, name in enumerate(("p01_a", "p02_a")):
        size = (200 + 16 * number, 150)
        video = folder / f"{name}.mp4"
        make_video(video, frames=FRAMES, size=size, real_faces=True, audio="aac")
    make_video(folder / "p03_silent.mp4", frames=10, size=(64, 48))
    (folder / "p04_bad.mp4").write_bytes((folder / "p01_a.mp4").read_bytes()[:4000])
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def make(data: Path, store: Path, tmp_path: Path) -> Make:
    def make(**changes: Any) -> PrepareSettings:
        given = {
            "dataset": "folder",
            "data": data,
            "output": tmp_path / "index.parquet",
            "store": str(store),
            "person": r"(p\d+)_",
            "filters": LENIENT,
            "workers": 2,
        }
        return checked(PrepareSettings, given | changes)

    return make


def rows(report: PrepareReport) -> dict[str, dict[str, Any]]:
    return {row["clip"]: row for row in pq.read_table(report.index).to_pylist()}


def test_an_index_with_scores_keys_and_reasons(make: Make) -> None:
    report = prepare(make())
    assert (report.clips, report.rows, report.kept) == (4, 3, 2)
    found = rows(report)
    good = found["p01_a.mp4"]
    assert (good["start"], good["stop"], good["fps"]) == (0, FRAMES, 25)
    assert good["seconds"] == pytest.approx(FRAMES / 25)
    assert good["person"] == "p01"
    assert good["kept"]
    assert good["dropped_by"] == []
    assert 20 < good["face_px"] < 150
    assert 0.05 < good["sharpness"] < 2
    assert good["visible_share"] > 0.8
    assert good["speech_share"] > 0.9
    assert good["clipped_share"] == 0
    assert good["sync_confidence"] is None
    silent = found["p03_silent.mp4"]
    assert silent["dropped_by"] == ["no_sound"]
    assert silent["face_px"] is None
    (failure,) = report.failures
    assert failure.clip == "p04_bad.mp4"
    (row,) = pq.read_table(report.failures_file).to_pylist()
    assert "p04_bad.mp4" in row["reason"]
    assert sum(split.rows for split in report.splits) == 2


def test_keys_of_the_index_are_in_the_store_and_stay_there(make: Make, store: Path) -> None:
    settings = make()
    report = prepare(settings)
    kept = collect(Store(store), dry_run=True).artifacts
    every = ("train", "validation", "test")
    for segment in read_parts(report.index, splits=every):
        assert set(segment.keys) >= {"mel", "mfcc", "waveform", "landmarks", "face_crops"}
        for kind, key in segment.keys.items():
            assert Store(store).find(kind, key) is not None
            assert (kind, key) not in kept
    assert index_facts(report.index)["filters"]["min_seconds"] == 1.0


def test_the_second_time_nothing_is_computed(make: Make) -> None:
    first, second = prepare(make()), prepare(make())
    assert second.computed == 0
    assert rows(first) == rows(second)


def test_another_threshold_computes_nothing_and_changes_the_index(make: Make) -> None:
    before = rows(prepare(make()))
    widths = sorted(row["face_px"] for row in before.values() if row["face_px"])
    threshold = sum(widths) / 2
    report = prepare(make(filters=LENIENT | {"min_face_px": threshold, "min_seconds": 1.5}))
    assert report.computed == 0
    after = rows(report)
    dropped = [row for row in after.values() if row["dropped_by"] == ["min_face_px"]]
    assert len(dropped) == 1
    assert not dropped[0]["kept"]
    counts = {count.name: count for count in report.filters}
    assert (counts["min_face_px"].drops, counts["min_face_px"].alone) == (1, 1)
    assert counts["no_sound"].left == 2
    assert counts["min_face_px"].left == 1
    for name, row in after.items():
        same = {"kept", "dropped_by"}
        assert {k: v for k, v in row.items() if k not in same} == {
            k: v for k, v in before[name].items() if k not in same
        }


def test_only_new_files_are_computed(make: Make, data: Path, tmp_path: Path) -> None:
    prepare(make())
    more = tmp_path / "more"
    more.mkdir()
    for path in data.iterdir():
        (more / path.name).write_bytes(path.read_bytes())
    make_video(more / "p05_new.mp4", frames=30, size=(200, 150), real_faces=True, audio="aac")
    report = prepare(make(data=more))
    assert report.clips == 5
    assert {stage.computed for stage in report.stages} == {1}
    assert prepare(make(data=more)).computed == 0


@pytest.mark.long
def test_a_gap_without_a_face_makes_two_rows(make: Make, tmp_path: Path) -> None:
    pictures = faces(200, 150)
    plain = np.full((150, 200, 3), 90, np.uint8)

    def draw(index: int, width: int, height: int) -> Any:
        picture = next(pictures)
        return plain if 20 <= index < 30 else picture

    folder = tmp_path / "gap"
    folder.mkdir()
    make_video(folder / "gap.mp4", frames=50, size=(200, 150), draw=draw, audio="aac")
    report = prepare(make(data=folder, filters=LENIENT | {"min_seconds": 0.5}))
    found = pq.read_table(report.index).to_pylist()
    assert [(row["start"], row["stop"]) for row in found] == [(0, 20), (30, 50)]
    assert len({row["face_crops"] for row in found}) == 1


def test_what_can_not_work_is_refused_at_once(make: Make, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="parquet"):
        prepare(make(output=tmp_path / "index.csv"))
    with pytest.raises(InputError, match="no such folder"):
        prepare(make(data=tmp_path / "nowhere"))
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"a": [1]}), other)
    with pytest.raises(InputError, match="no index of a data set; move it away"):
        prepare(make(output=other))
    assert pq.read_table(other).column_names == ["a"]
    with pytest.raises(SettingsError, match="no data set"):
        prepare(make(dataset="imagenet"))


def clip(name: str, person: str | None = None) -> Clip:
    return Clip(name, Path(name), person or name)


def test_what_to_know_of_persons_and_splits() -> None:
    apart: list[tuple[Clip, Split]] = [(clip("a.mp4"), "train"), (clip("b.mp4"), "test")]
    unnamed, unjudged = split_notes(apart)
    assert "2 clips tell no person" in unnamed and "--person REGEX" in unnamed
    assert "none of 2 persons is for validation" in unjudged and "seed=N" in unjudged
    named: list[tuple[Clip, Split]] = [
        (clip("a.mp4", "p1"), "train"),
        (clip("b.mp4", "p2"), "validation"),
    ]
    assert split_notes(named) == []
    assert split_notes([(clip("a.mp4"), "validation"), (clip("b.mp4"), "validation")]) == []
    assert split_notes([]) == []


def test_notes_are_in_the_report_and_on_the_terminal(
    make: Make, data: Path, store: Path, tmp_path: Path
) -> None:
    report = prepare(make(seed=ALL_TRAIN))
    assert [note for note in report.notes if "is for validation" in note]
    given = ("prepare", "folder", "--data", data, "-o", tmp_path / "i.parquet", "--store", store)
    seed = ("--person", r"(p\d+)_", "--set", f"seed={ALL_TRAIN}")
    for more in (("--dry-run",), LENIENT_CHANGES):
        assert "is for validation" in invoke(*given, *seed, *more).stderr
    split = invoke(*given, "--dry-run", "--set", f"seed={SPLIT_APART}")
    assert "4 clips tell no person" in split.stderr


def test_the_command(make: Make, data: Path, store: Path, tmp_path: Path) -> None:
    prepare(make())
    index = tmp_path / "by_command.parquet"
    given = ["prepare", "folder", "--data", str(data), "--person", r"(p\d+)_"]
    listed = invoke(*given, "-o", str(index), "--dry-run")
    assert listed.exit_code == 0
    assert listed.stdout.count("\n") == 5
    changes = [f"--set={name}={value}" for name, value in (("min_seconds", 9), ("seed", 3))]
    done = invoke(*given, "-o", str(index), "--store", str(store), *changes)
    assert done.exit_code == 2  # a clip failed
    dropped = [row["dropped_by"] for row in pq.read_table(index).to_pylist() if row["face_px"]]
    assert all("min_seconds" in reasons for reasons in dropped)
    wrong = invoke(*given, "-o", str(index), "--set", "min_secs=1")
    assert wrong.exit_code == 1
