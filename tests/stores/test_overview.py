"""A store by what it means to people: sources, runs, ages; and making room by them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.quantities import read_days, read_since, read_size, told_age
from flows.store_limit import LIMIT, size_notes
from stores.artifacts.artifact import Artifact
from stores.artifacts.catalog import read_catalog
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.collector import Collected, Forget, collect
from stores.errors import InputError
from stores.overview import Overview
from stores.runs import RunRecord, record_run
from tasks.engine.open_run import open_run
from tests.tasks.toy_stages import ToySettings, copied, numbers, total


@pytest.fixture
def made(store: Store, tmp_path: Path) -> dict[str, Artifact]:
    """Copies of three files and a sum, of three runs a day apart; the last has no record."""
    found: dict[str, Artifact] = {}
    with open_run(store):
        for name in ("talk", "german", "loose"):
            (tmp_path / f"{name}.mp4").write_text(name * 3)
            found[name] = copied(Source.of(tmp_path / f"{name}.mp4"))
        found["numbers"] = numbers(40, ToySettings())
        found["total"] = total(found["numbers"], extra=found["talk"])
    for days, (output, *kinds) in enumerate(
        (("new.mp4", "total"), ("old.mp4", "german", "numbers"), ("oldest.mp4", "talk"))
    ):
        items = [(found[kind].kind, found[kind].key) for kind in kinds]
        when = (datetime.now(UTC) - timedelta(days=days, hours=1)).isoformat(timespec="seconds")
        id = str(days) * 12
        record_run(store, RunRecord("dub", {}, items, f"/out/{output}", created=when, id=id))
    return found


def names(items: list[tuple[str, str]], made: dict[str, Artifact]) -> set[str]:
    return {name for name, each in made.items() if (each.kind, each.key) in items}


def test_artifacts_are_found_by_what_they_mean(store: Store, made: dict[str, Artifact]) -> None:
    seen = Overview.of(store)
    item = (made["total"].kind, made["total"].key)
    assert seen.sources(item) == {"talk.mp4"}
    assert names(seen.chosen(source="there/talk.mp4"), made) == {"talk", "total"}
    assert names(seen.chosen(stage="numbers"), made) == {"numbers"}
    assert names(seen.chosen(run="new.mp4"), made) == {"total", "numbers", "talk"}
    assert names(seen.chosen(run="1111"), made) == {"german", "numbers"}
    assert names(seen.chosen(run="old.mp4", source="german.mp4"), made) == {"german"}
    assert len(seen.chosen(younger_than=1000)) == 5
    assert not seen.chosen(younger_than=-1)
    assert [run.id[0] for run in seen.runs_of[made["numbers"].kind, made["numbers"].key]] == [
        *("1", "0")
    ]
    assert names(seen.used_by((made["talk"].kind, made["talk"].key)), made) == {"total"}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"source": "tlak.mp4"}, "no source 'tlak.mp4'; did you mean talk.mp4?"),
        ({"run": "zzz"}, "no run 'zzz'; there is 000000000000, 111111111111"),
    ],
)
def test_what_is_not_there_is_told_with_the_nearest(
    wrong: dict[str, str], words: str, store: Store, made: dict[str, Artifact]
) -> None:
    with pytest.raises(InputError) as error:
        Overview.of(store).chosen(**wrong)  # type: ignore[arg-type]
    assert words in str(error.value)


def test_identical_files_answer_to_all_their_names(store: Store, tmp_path: Path) -> None:
    with open_run(store):
        (tmp_path / "first.mp4").write_text("same")
        (tmp_path / "copy.mp4").write_text("same")
        made = copied(Source.of(tmp_path / "first.mp4"))
    row = {"kind": "timeline", "key": "k", "inputs": ["/".join(made.manifest.inputs["source"])]}
    rows = [*read_catalog(store).to_pylist(), row | {"files": None}]
    run = RunRecord("dub", {"video": str(tmp_path / "copy.mp4")}, [("timeline", "k")], None)
    assert Overview(rows, [run]).sources((made.kind, made.key)) == {"first.mp4", "copy.mp4"}


def test_a_file_of_another_ones_name_is_another_file(
    store: Store, made: dict[str, Artifact], tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other, copy = tmp_path / "other" / "talk.mp4", tmp_path / "copy.mp4"
    other.write_text("german" * 3)
    copy.write_text("talk" * 3)
    seen = Overview.of(store)
    assert names(seen.chosen(source=str(other)), made) == {"german"}
    assert names(seen.chosen(source=str(copy)), made) == {"talk", "total"}
    found = collect(store, forget=Forget(source=str(other)), dry_run=True)
    assert [run.output for run in found.runs] == ["/out/old.mp4"]
    other.write_text("never used")
    for forget in ({"source": str(other)}, {"source": str(tmp_path / "german.avi")}):
        with pytest.raises(InputError, match=r"holds nothing of|no source"):
            collect(store, forget=Forget(**forget), dry_run=True)  # type: ignore[arg-type]


def test_nothing_is_forgotten_by_a_name_of_two_files(
    store: Store, made: dict[str, Artifact], tmp_path: Path
) -> None:
    (tmp_path / "talk.mp4").write_text("another talk")
    with open_run(store):
        copied(Source.of(tmp_path / "talk.mp4"))
    assert len(Overview.of(store).chosen(source="talk.mp4")) == 3
    with pytest.raises(InputError, match=r"talk.mp4 fits 2 files: .*; give one's path or its dig"):
        collect(store, forget=Forget(source="talk.mp4"), dry_run=False)


@pytest.mark.parametrize(
    ("forget", "gone", "runs"),
    [
        (Forget(), {"loose"}, 0),
        (Forget(older_than=timedelta(days=2)), {"loose"}, 1),  # `talk` is used by the newest
        (Forget(source="german.mp4"), {"loose", "german"}, 1),
        (Forget(source="talk.mp4"), {"loose", "talk", "total"}, 2),
        (Forget(keep_bytes=0), {"loose", "german", "talk", "numbers", "total"}, 3),
        (Forget(keep_bytes=10**9), {"loose"}, 0),
    ],
)
def test_room_is_made_by_what_runs_mean(
    forget: Forget, gone: set[str], runs: int, store: Store, made: dict[str, Artifact]
) -> None:
    told: list[tuple[Collected, int]] = []

    def first(found: Collected) -> None:
        told.append((found, len(list(store.committed()))))

    planned = collect(store, forget=forget, dry_run=True)
    found = collect(store, forget=forget, dry_run=False, first=first)
    assert told == [(found, 5)] and planned == found  # before anything is removed
    assert names(found.artifacts, made) == gone
    assert (len(found.runs), found.kept_runs) == (runs, 3 - runs)
    assert found.kept_artifacts == len(list(store.committed())) == 5 - len(gone)
    assert found.kept_bytes == sum(row["stored_bytes"] for row in read_catalog(store).to_pylist())


def test_the_oldest_runs_go_until_the_rest_fits(store: Store, made: dict[str, Artifact]) -> None:
    newest = Overview.of(store)
    fits = newest.size(newest.items_of["0" * 12])
    found = collect(store, forget=Forget(keep_bytes=fits), dry_run=False)
    assert names(found.artifacts, made) == {"loose", "german"}
    assert found.kept_bytes == fits


def test_a_store_past_its_limit_warns(
    store: Store, made: dict[str, Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = read_catalog(store)
    monkeypatch.delenv(LIMIT, raising=False)
    assert size_notes(store, catalog) == []
    monkeypatch.setenv(LIMIT, "1GB")
    assert size_notes(store, catalog) == []
    monkeypatch.setenv(LIMIT, "1kB")
    (note,) = size_notes(store, catalog)
    assert "gc --keep-size 1kB" in note
    monkeypatch.setenv(LIMIT, "much")
    with pytest.raises(InputError, match="DUBFLOW_STORE_LIMIT much: expected a size"):
        size_notes(store, catalog)


def test_sizes_and_times() -> None:
    assert [read_size(t, name="-") for t in ("50GB", "1.5 tb", "2kib", "7")] == [
        *(50 * 10**9, 1_500_000_000_000, 2048, 7)
    ]
    assert [read_since(t, name="-") for t in ("2d", "90m", "1w")] == [172800, 5400, 604800]
    assert read_since(datetime.now(UTC).isoformat(), name="-") < 60
    for wrong in ("", "GB", "5i", "-3GB"):
        with pytest.raises(InputError, match="expected a size"):
            read_size(wrong, name="--keep-size")
    with pytest.raises(InputError, match="--since soon: expected 2d"):
        read_since("soon", name="--since")
    with pytest.raises(InputError, match="--since 9999-01-01: that is still to come"):
        read_since("9999-01-01", name="--since")
    assert [read_days(d, name="-") for d in (0, 0.5)] == [timedelta(0), timedelta(hours=12)]
    for days in (-1, -1e-9, float("nan"), float("inf"), 1e12):
        with pytest.raises(InputError, match=r"--older-than-days .*: expected a number of days"):
            read_days(days, name="--older-than-days")
    assert [told_age(s) for s in (5, 119, 7200, 3e5, 2e6)] == ["5 s", "119 s", "2 h", "3 d", "3 w"]
