"""What a user's text names: a file that is here counts for what it is, names for what is gone."""

from pathlib import Path

import pytest

from stores.artifacts.keys import file_key
from stores.artifacts.store import Store
from stores.errors import InputError
from stores.named import fitting_runs, run_named, sources_named, told_sources
from stores.runs import RunRecord, record_run, recorded_runs


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with two others in it."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(id: str, output: Path | str | None) -> RunRecord:
    return RunRecord("dub", {}, [], None if output is None else str(output), id=id)


def test_a_run_is_named_by_id_or_file_seen_from_the_current_folder(here: Path) -> None:
    runs = [
        run("0a1b", here / "a" / "out.mp4"),
        run("0a2c", here / "b" / "out.mp4"),
        run("1d3e", here / "a" / "out.mp4"),
        run("2f4a", here / "b" / "only.mp4"),
        run("3c5b", None),
    ]

    def found(text: str) -> list[str]:
        return [each.id for each in fitting_runs(runs, text)]

    assert found("0a2c") == ["0a2c"]
    assert found("a/out.mp4") == ["1d3e"], "the last that wrote it"
    assert found(str(here / "b" / "out.mp4")) == found("./a/../b/out.mp4") == ["0a2c"]
    assert found("only.mp4") == ["2f4a"]
    assert found("out.mp4") == ["1d3e", "0a2c"]
    assert found("0a") == ["0a2c", "0a1b"]
    assert found("a/only.mp4") == found("") == []
    (here / "only.mp4").touch()
    assert found("only.mp4") == [], "another file of that name is here"


def test_no_run_or_several_are_told(here: Path) -> None:
    runs = [run("0a1b", here / "a" / "out.mp4"), run("0a2c", here / "b" / "out.mp4")]
    for text in ("out.mp4", "0a"):
        with pytest.raises(InputError, match=f"{text} fits 2 runs: .*b/out.mp4 .0a2c., .*a/out"):
            run_named(runs, text)
    with pytest.raises(InputError, match=r"no run 'c/out.mp4'; of that name there is .*0a2c"):
        run_named(runs, "c/out.mp4")
    with pytest.raises(InputError, match=r"no run 'oud.mp4'; did you mean out.mp4"):
        run_named(runs, "oud.mp4")
    (here / "out.mp4").touch()
    with pytest.raises(InputError, match=r"out.mp4 was written by no run .* of that name there is"):
        run_named(runs, "out.mp4")


def test_a_record_holds_the_whole_path(here: Path, store: Store) -> None:
    record_run(store, run("0123456789ab", "index.parquet"))
    (kept,) = recorded_runs(store)
    assert kept.output == str(here / "index.parquet")


def test_a_source_counts_by_its_bytes(here: Path) -> None:
    for place, text in (("a/talk.mp4", "one"), ("b/talk.mp4", "two"), ("copy.mp4", "one")):
        (here / place).write_text(text)
    one, two = file_key(here / "a" / "talk.mp4"), file_key(here / "b" / "talk.mp4")
    places = {one: {str(here / "a" / "talk.mp4"), "talk.mp4"}, two: {str(here / "b" / "talk.mp4")}}
    assert sources_named(places, "a/talk.mp4") == sources_named(places, "copy.mp4") == [one]
    assert sources_named(places, "talk.mp4") == sorted((one, two))
    assert sources_named(places, two[:7]) == [two]
    (here / "a" / "talk.mp4").unlink()
    assert sources_named(places, "b/../a/talk.mp4") == [one], "as a run read it"
    (here / "talk.mp4").write_text("three")
    with pytest.raises(
        InputError, match=r"holds nothing of talk.mp4, .* of that name it knows .*a/talk"
    ):
        sources_named(places, "talk.mp4")
    with pytest.raises(InputError, match=r"no source 'tlak.mp4'; did you mean talk.mp4\?"):
        sources_named(places, "tlak.mp4")
    told = told_sources(places, [one, two], "talk.mp4")
    assert told == f"{here}/a/talk.mp4 ({one[:12]}), {here}/b/talk.mp4 ({two[:12]})"
