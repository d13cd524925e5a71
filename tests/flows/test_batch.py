"""Batches: rows stand alone, nothing is done twice, and what went wrong is said."""

import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import pyarrow.parquet as pq
import pytest
import yaml

from flows import batch as batch_module
from flows import methods
from flows.batch import batch, check_rows, row_key
from flows.batches.manifest import Row, read_manifest
from flows.batches.report import RowResult, State, read_report, write_report
from flows.batches.settings import BatchSettings
from flows.dub import stage_versions
from flows.dub_report import DubReport
from stores.artifacts import catalog
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.errors import InputError, SettingsError
from tasks.engine.run import NoProgress, Progress
from tasks.methods.exemplar import exemplar_render
from tasks.result.composite import composite
from tests.command import invoke
from tests.media_factory import make_video

pytestmark = pytest.mark.dub

Make = Callable[..., BatchSettings]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("media") / "short.mp4"
    return make_video(path, frames=20, size=(400, 300), real_faces=True)


@pytest.fixture
def rows(short: Path, speech: Path) -> list[dict[str, Any]]:
    """Two good rows and one of each kind of trouble."""
    good = {"video": str(short), "audio": str(speech)}
    return [
        {**good, "output": "1.mp4"},
        {**good, "output": "2.mp4", "blend.mode": "multiband"},
        {**good, "output": "3.mp4", "video": "damaged.mp4"},
        {**good, "output": "4.mp4", "audio": "missing.wav"},
        {**good, "output": "5.mp4", "video": "nobody.mp4"},
        {**good, "output": "6.mp4", "face": "track:7"},
    ]


@pytest.fixture
def make(rows: list[dict[str, Any]], store: Path, short: Path, tmp_path: Path) -> Make:
    (tmp_path / "damaged.mp4").write_bytes(short.read_bytes()[: short.stat().st_size // 2])
    make_video(tmp_path / "nobody.mp4", frames=10)

    def make(count: int = len(rows), **changes: Any) -> BatchSettings:
        manifest = tmp_path / "manifest.yaml"
        manifest.write_text(yaml.safe_dump(rows[:count]))
        given = {"manifest": manifest, "store": str(store), "rows": 2}
        return BatchSettings.model_validate(given | changes)

    return make


class Watched:
    """Notes what a batch tells."""

    def __init__(self) -> None:
        self.rows = 0
        self.ends: list[tuple[int, State]] = []

    def start(self, rows: int) -> None:
        self.rows = rows

    def row(self, row: Row) -> Progress:
        return NoProgress()

    def ended(self, row: Row, result: RowResult) -> None:
        self.ends.append((row.number, result.state))


def test_poisoned_rows_are_told_apart_and_stop_no_other(make: Make, tmp_path: Path) -> None:
    watch = Watched()
    report = batch(make(), watch=watch)
    states = [row.state for row in report.rows]
    done, filtered, failed = State.DONE, State.FILTERED, State.FAILED
    assert states == [done, done, failed, failed, filtered, failed]
    reasons = [row.reason for row in report.rows]
    assert "damaged.mp4" in reasons[2]
    assert "missing.wav" in reasons[3]
    assert "no usable face" in reasons[4]
    assert "track:7" in reasons[5]
    assert all((tmp_path / f"{number}.mp4").is_file() for number in (1, 2, 5))
    assert watch.rows == 6
    assert sorted(number for number, _ in watch.ends) == [1, 2, 3, 4, 5, 6]
    table = pq.read_table(report.path).to_pylist()
    assert [row["state"] for row in table] == [state.value for state in states]


def test_rows_share_what_was_prepared_of_their_video(make: Make) -> None:
    report = batch(make(2, again=True))
    assert sum(row.hits for row in report.rows) > 0


def test_a_rerun_does_only_what_is_missing_or_failed(
    make: Make, tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch(make())
    shutil.copy(short, tmp_path / "damaged.mp4")
    (tmp_path / "2.mp4").unlink()
    dubbed: list[int] = []
    real = batch_module.dub

    def noted(settings: Any, **kwargs: Any) -> Any:
        dubbed.append(int(settings.output.stem))
        return real(settings, **kwargs)

    monkeypatch.setattr(batch_module, "dub", noted)
    report = batch(make())
    assert sorted(dubbed) == [2, 3, 6]
    states = [row.state.value for row in report.rows]
    assert states == ["done before", "done", "done", "failed", "filtered", "failed"]


def test_a_changed_row_is_done_again(make: Make, rows: list[dict[str, Any]]) -> None:
    batch(make(1))
    rows[0]["blend.strength"] = 0.5
    assert [row.state for row in batch(make(1)).rows] == [State.DONE]


def test_a_row_is_done_again_when_its_result_would_be_another(
    make: Make, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings of a preset, versions of stages and bytes of inputs belong to the key."""
    (row,) = read_manifest(make(1).manifest, {"store": make(1).store})
    inputs = [Source.of(row.settings.video), Source.of(row.settings.audio)]
    keys = {row_key(row, inputs, {})}
    assert {row_key(row, inputs, {})} == keys
    with monkeypatch.context() as patch:
        patch.setattr(methods, "_preset", lambda name: {"exclude_within_s": 1.0})
        keys.add(row_key(row, inputs, {}))
    for stage in (composite, exemplar_render):
        with monkeypatch.context() as patch:
            patch.setattr(stage, "version", stage.version + 1)
            keys.add(row_key(row, inputs, {}))
    keys.add(row_key(row, inputs[::-1], {}))
    for number in (1, 2):  # weights of the same name and of other contents
        keys.add(row_key(row, inputs, {"mine.safetensors": cast(Artifact, Named(str(number)))}))
    assert len(keys) == 7


@pytest.mark.parametrize(
    ("method", "called"),
    [
        ("exemplar", {"exemplar_render", "track", "face_descriptors"}),
        ("ip_lap", {"ip_lap_render", "lenders", "exemplar_render"}),
        ("meta_talk", {"meta_talk_render", "lenders", "face_fit", "face_fit_person", "regressed"}),
        ("video_retalking", {"vrt_render", "face_fit"}),
        ("stylegan2", {"stylegan2_render", "stylegan2_driven", "face_squares"}),
    ],
)
def test_stages_that_functions_of_a_method_call_count_too(
    make: Make, method: str, called: set[str]
) -> None:
    (row,) = read_manifest(make(1).manifest, {"store": make(1).store, "method": method})
    assert called <= {address.partition(":")[2] for address in stage_versions(row.settings)}


class Named(NamedTuple):
    key: str


def test_a_changed_preset_is_not_done_before(
    many: Callable[[int], BatchSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = many(1)
    batch(settings, perform=made_at_once)
    assert [row.state for row in batch(settings, perform=made_at_once).rows] == [State.BEFORE]
    monkeypatch.setattr(methods, "_preset", lambda name: {"exclude_within_s": 1.0})
    assert [row.state for row in batch(settings, perform=made_at_once).rows] == [State.DONE]


def test_a_row_whose_input_changes_meanwhile_is_not_done(
    many: Callable[[int], BatchSettings], tmp_path: Path, short: Path, rows: list[dict[str, Any]]
) -> None:
    settings = many(1)
    rows[0]["video"] = str(shutil.copy(short, tmp_path / "changing.mp4"))
    settings = many(1)

    def perform(row: Row, progress: Progress) -> DubReport:
        with row.settings.video.open("ab") as file:
            file.write(b"more")
        return made_at_once(row, progress)

    (row,) = batch(settings, perform=perform).rows
    assert row.state is State.FAILED
    assert "changing.mp4 changed while it was read" in row.reason


@pytest.mark.long
def test_the_catalog_is_written_once_for_all_rows(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, times = catalog.read_catalog, []

    def noted(store: Store) -> Any:
        times.append(store)
        return read(store)

    monkeypatch.setattr(catalog, "read_catalog", noted)
    store = tmp_path / "fresh store"
    settings = make(2, store=str(store))
    batch(settings)
    assert len(times) == 1
    listed = pq.read_table(store / "catalog.parquet").to_pylist()
    assert {(row["kind"], row["key"]) for row in listed} == set(Store(store).committed())
    batch(settings)  # all done before
    assert len(times) == 1


@pytest.fixture
def many(rows: list[dict[str, Any]], make: Make) -> Callable[[int], BatchSettings]:
    """So many rows that are alike."""

    def many(count: int) -> BatchSettings:
        rows[:] = [{**rows[0], "output": f"many-{number}.mp4"} for number in range(count)]
        return make(count, rows=1)

    return many


def made_at_once(row: Row, progress: Progress) -> DubReport:
    """In the place of a dub."""
    output = row.settings.output
    output.write_bytes(b"video")
    return DubReport(
        output=output,
        frames=1,
        valid_frames=1,
        no_face_ranges=[],
        seconds=0.04,
        speech_seconds=0.04,
        stages=[],
        notes=[],
        versions={},
    )


def test_rows_that_end_quickly_share_a_writing_of_the_report(
    many: Callable[[int], BatchSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = []

    def noted(path: Path, results: Any) -> None:
        lengths.append(len(results))
        write_report(path, results)

    monkeypatch.setattr(batch_module, "write_report", noted)
    monkeypatch.setattr(batch_module, "REPORT_SECONDS", 3600.0, raising=False)
    report = batch(many(30), perform=made_at_once)
    assert len(lengths) <= 2
    assert lengths[-1] == 30
    assert len(read_report(report.path)) == 30


def test_rows_that_have_ended_are_in_the_report_soon(
    many: Callable[[int], BatchSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = many(4)
    seen: list[int] = []

    def perform(row: Row, progress: Progress) -> DubReport:
        deadline = time.monotonic() + 20
        while len(read_report(settings.report_path)) < row.number - 1:
            assert time.monotonic() < deadline, "a killed batch would have lost the row"
            time.sleep(0.01)
        seen.append(row.number)
        return made_at_once(row, progress)

    monkeypatch.setattr(batch_module, "REPORT_SECONDS", 0.2)
    batch(settings, perform=perform)
    assert seen == [1, 2, 3, 4]


def test_a_report_that_cannot_be_written_ends_the_batch(
    many: Callable[[int], BatchSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = many(2)
    nowhere = settings.model_copy(update={"report": tmp_path / "no folder" / "report.parquet"})
    with pytest.raises(InputError, match="its folder does not exist"):
        batch(nowhere, perform=made_at_once)

    def refuse(path: Path, results: Any) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(batch_module, "write_report", refuse)
    with pytest.raises(PermissionError):
        batch(settings, perform=made_at_once)


def test_two_batches_do_not_share_a_report(many: Callable[[int], BatchSettings]) -> None:
    settings = many(2)

    def perform(row: Row, progress: Progress) -> DubReport:
        with pytest.raises(InputError, match=r"another batch is writing .*--report"):
            batch(settings, perform=made_at_once)
        return made_at_once(row, progress)

    report = batch(settings, perform=perform)
    assert [row.state for row in report.rows] == [State.DONE, State.DONE]
    assert {row.state for row in read_report(report.path).values()} == {State.DONE}
    assert [row.state for row in batch(settings, perform=made_at_once).rows] == [State.BEFORE] * 2


def test_an_interrupt_keeps_what_has_ended(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupting(Watched):
        def ended(self, row: Row, result: RowResult) -> None:
            super().ended(row, result)
            if len(self.ends) == 1:
                raise KeyboardInterrupt

    settings = make(2, rows=1)
    settings.report_path.unlink(missing_ok=True)
    with pytest.raises(KeyboardInterrupt):
        batch(settings, watch=Interrupting())
    assert set(read_report(settings.report_path)) == {1}
    report = batch(settings)
    assert [row.state for row in report.rows] == [State.BEFORE, State.DONE]


def test_checking_finds_bad_files_without_dubbing(make: Make, tmp_path: Path) -> None:
    third, fourth = check_rows(make())
    assert third.startswith("row 3 3.mp4: ") and "damaged.mp4" in third
    assert fourth.startswith("row 4 4.mp4: ") and "missing.wav" in fourth
    assert not list(tmp_path.glob("[0-9].mp4"))


def test_checking_lists_every_fault_of_every_row(
    make: Make, rows: list[dict[str, Any]], tmp_path: Path, store: Path
) -> None:
    rows[0]["colour"] = "red"
    rows[1] |= {"output": "no/2.mp4", "detector": "s3fd", "video": "none.mp4"}
    rows[2] |= {"keep_background_db": -20, "sync.mode": "loop"}
    rows[3]["output"] = rows[4]["output"]
    rows[5] |= {"face": "second", "encode.crf": 99, "audio": "lost.wav"}
    manifest = make().manifest
    ended = invoke("batch", manifest, "--check", "--store", store)
    assert ended.exit_code == 2
    found = "\n".join(line.removeprefix("problem: ") for line in ended.stderr.splitlines())
    for words in (
        r"^row 1: colour",
        r"^row 2 2.mp4: .*none.mp4",
        r"^row 2 2.mp4: .*folder does not exist",
        r"^row 2 2.mp4: .*weights pull s3fd",
        r"^row 3 3.mp4: .*damaged.mp4",
        r"^row 3 3.mp4: .*loop or bounce",
        r"^row 4 5.mp4: .*missing.wav",
        r"^2 rows write .*5.mp4",
        r"^row 6: face: 'second' names no face",
        r"^row 6: encode.crf: .* 40, got 99",
        r"^row 6 6.mp4: .*lost.wav",
    ):
        assert len(re.findall(words, found, re.MULTILINE)) == 1, (words, found)
    assert "every row" not in found


def test_files_of_others_are_not_replaced(make: Make, tmp_path: Path) -> None:
    (tmp_path / "1.mp4").write_text("mine")
    (fault,) = check_rows(make(1))
    assert fault.startswith("row 1 1.mp4: ") and "--overwrite" in fault
    (row,) = batch(make(1)).rows
    assert (row.state, "--overwrite" in row.reason) == (State.FAILED, True)
    assert (tmp_path / "1.mp4").read_text() == "mine"
    assert batch(make(1, overwrite=True)).count(State.DONE) == 1
    assert not check_rows(make(1, report=tmp_path / "other.parquet"))  # a run wrote it: it is ours


def test_wrong_settings_refuse_the_whole_batch(make: Make, rows: list[dict[str, Any]]) -> None:
    rows[1]["colour"] = "red"
    with pytest.raises(SettingsError, match="row 2: colour"):
        batch(make())


def test_a_report_of_something_else_is_not_overwritten(make: Make, tmp_path: Path) -> None:
    other = tmp_path / "figures.parquet"
    other.write_bytes(b"mine")
    with pytest.raises(InputError, match="is no report of a batch"):
        batch(make(report=other))
    assert other.read_bytes() == b"mine"
