"""No command ends in a traceback where its store can't be written: read-only, or on a full disk."""

import builtins
import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stores import overview
from stores.artifacts.store import Store
from tasks.engine.open_run import open_run
from tests.command import Ended, invoke
from tests.flows.test_command_line import commands
from tests.media_factory import make_audio, make_video
from tests.tasks.toy_stages import ToySettings, numbers

pytestmark = pytest.mark.dub

READ_ONLY, FULL = errno.EROFS, errno.ENOSPC

_QUEUED = "keeps its jobs in a folder of their own, which tests/flows/jobs takes away"

WITHOUT_STORE = {
    **{("jobs", n): _QUEUED for n in ("submit", "list", "show", "retry", "cancel", "wait")},
    ("up",): "starts Prefect's server",
    ("demo-batch",): "starts Prefect's server",
    ("inspect",): "serves until it is stopped; its app is tried in tests/viewer",
}
"""Commands that are not called here, and why."""

READERS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("artifacts", "list"): (),
    ("artifacts", "show"): ("numbers/",),
    ("artifacts", "lineage"): ("numbers/",),
    ("artifacts", "verify"): (),
    ("weights", "list"): (),
    ("weights", "show"): ("s3fd",),
    ("weights", "verify"): (),
    ("verify",): ("talk.mp4",),
}
"""What works as ever on a store that can't be written, and the arguments that it is given."""

GC = ("artifacts", "gc")

WRITERS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("dub",): ("talk.mp4", "speech.wav", "-o", "out.mp4", "--direct"),
    ("demo",): ("-o", "demo.mp4", "--direct"),
    ("faces",): ("talk.mp4",),
    ("cues",): ("clips/one.mp4", "-o", "cues.csv"),
    ("batch",): ("rows.csv", "--direct"),
    ("prepare",): ("folder", "--data", "clips", "-o", "index.parquet"),
    ("train",): ("ip_lap.landmarks", "--data", "clips", "-o", "trained", "--direct"),
    ("personalise",): (
        *("clips/one.mp4", "-o", "run", "--preset", "small", "--direct"),
        *("--set", "expression.settings.pairs=real"),
    ),
    ("evaluate",): ("folder_paired", "--data", "clips", "-o", "results"),
    GC: ("--yes",),
    ("weights", "pull"): ("gfpgan_v1.4",),
}

OTHERS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("doctor",): (),
    ("weights", "add"): ("s3fd", "speech.wav"),
    ("rate",): ("--results", "--answers", "store/answers"),
}
"""What says something of its own."""


def refuse(monkeypatch: pytest.MonkeyPatch, root: Path, code: int) -> None:
    """Let the system refuse, with this error, whatever is written below a folder."""

    def refused(path: Any) -> bool:
        return isinstance(path, (str, os.PathLike)) and root in Path(path).absolute().parents

    def guard(owner: Any, name: str, writes: Callable[..., bool]) -> None:
        call = getattr(owner, name)

        def guarded(path: Any, *rest: Any, **more: Any) -> Any:
            if refused(path) and writes(path, *rest, **more):
                raise OSError(code, os.strerror(code), str(path))
            return call(path, *rest, **more)

        monkeypatch.setattr(owner, name, guarded)

    def opens_for_writing(path: Any, mode: str = "r", *rest: Any, **more: Any) -> bool:
        return bool(set(mode) & set("wax+"))

    def creates(path: Any, flags: int, *rest: Any, **more: Any) -> bool:
        new = bool(flags & os.O_CREAT) and not Path(path).exists()
        return new or (code != FULL and bool(flags & (os.O_WRONLY | os.O_RDWR)))

    guard(os, "open", creates)
    guard(io, "open", opens_for_writing)
    guard(builtins, "open", opens_for_writing)
    guard(os, "mkdir", lambda path, *rest, **more: not Path(path).exists())
    if code != FULL:
        for name in ("rename", "replace", "unlink", "rmdir"):
            guard(os, name, lambda path, *rest, **more: Path(path).exists())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a store that holds something, and with the files that commands are given."""
    make_video(tmp_path / "talk.mp4", frames=10)
    make_audio(tmp_path / "speech.wav", codec="pcm_s16le")
    (tmp_path / "clips").mkdir()
    make_video(tmp_path / "clips" / "one.mp4", frames=10, audio="aac")
    (tmp_path / "rows.csv").write_text("video,audio,output\ntalk.mp4,speech.wav,row.mp4\n")
    with open_run(Store(tmp_path / "store")):
        numbers(40, ToySettings())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DUBFLOW_STORE", str(tmp_path / "store"))
    return tmp_path


@pytest.fixture
def closed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder ro/ in which nothing can be written, whoever asks."""
    (place / "ro").mkdir()
    access = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: Path(path).name != "ro" and access(path, mode)
    )


def last_line(ended: Ended) -> str:
    assert "Traceback" not in ended.output
    return ended.stderr.strip().splitlines()[-1]


def test_every_command_is_tried() -> None:
    tried = {*READERS, *WRITERS, *OTHERS, *WITHOUT_STORE}
    assert tried == {names for names, _ in commands()}


@pytest.mark.parametrize("code", [READ_ONLY, FULL], ids=["read-only", "full"])
@pytest.mark.parametrize("names", READERS, ids=" ".join)
def test_reading_needs_no_writing(
    names: tuple[str, ...], code: int, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "seconds_since", lambda created: 60.0)
    wanted = invoke(*names, *READERS[names])
    assert wanted.exit_code == (2 if names == ("verify",) else 0), "it finds no mark"
    refuse(monkeypatch, place / "store", code)
    found = invoke(*names, *READERS[names])
    assert (found.exit_code, found.stdout) == (wanted.exit_code, wanted.stdout)


@pytest.mark.parametrize("names", WRITERS, ids=" ".join)
def test_writing_to_a_read_only_store(
    names: tuple[str, ...], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = errno.EACCES if names[0] in ("dub", "artifacts") else READ_ONLY
    refuse(monkeypatch, place / "store", code)
    ended = invoke(*names, *WRITERS[names])
    assert ended.exit_code == 1
    line = last_line(ended)
    assert line.startswith(f"dubflow: the store {place / 'store'} can't be written"), ended.output
    assert "--store" in line


@pytest.mark.parametrize("names", [names for names in WRITERS if names != GC], ids=" ".join)
def test_writing_to_a_full_disk(
    names: tuple[str, ...], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, place / "store", FULL)
    ended = invoke(*names, *WRITERS[names])
    assert ended.exit_code != 0
    line = last_line(ended)
    assert f"no space left in the store {place / 'store'}: free some" in line, ended.output


def test_a_full_disk_is_made_free(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "store" / "staging").rmdir()
    refuse(monkeypatch, place / "store", FULL)
    assert invoke(*GC, "--yes").exit_code == 0
    assert list(Store(place / "store").committed()) == []


OUTPUTS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("dub",): ("talk.mp4", "speech.wav", "-o", "ro/out.mp4", "--direct"),
    ("demo",): ("-o", "ro/demo.mp4", "--direct"),
    ("demo-batch",): ("-o", "ro/demo"),
    ("faces",): ("talk.mp4", "-o", "ro/who.png"),
    ("cues",): ("clips/one.mp4", "-o", "ro/cues.csv"),
    ("batch",): ("rows.csv", "--report", "ro/report.parquet", "--direct"),
    ("prepare",): ("folder", "--data", "clips", "-o", "ro/new/index.parquet"),
    ("train",): ("ip_lap.landmarks", "--data", "clips", "-o", "ro/trained", "--direct"),
    ("personalise",): ("clips/one.mp4", "-o", "ro", "--preset", "small", "--direct"),
    ("evaluate",): ("folder_paired", "--data", "clips", "-o", "ro/results"),
    ("rate",): ("a=clips", "b=clips", "--answers", "ro/answers"),
    ("jobs", "submit"): ("rows.yaml",),
}
"""Lines that name an output in a folder that can't be written."""


@pytest.mark.parametrize("names", OUTPUTS, ids=" ".join)
@pytest.mark.usefixtures("closed")
def test_an_output_that_could_not_be_written_is_refused_before_any_work(
    names: tuple[str, ...], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = "- {video: talk.mp4, audio: speech.wav, output: ro/out.mp4}\n"
    (place / "rows.yaml").write_text(row)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("DUBFLOW_JOBS", str(place / "jobs"))
    before = sorted(place.rglob("*"))
    ended = invoke(*names, *OUTPUTS[names])
    assert ended.exit_code == 1
    line = last_line(ended)
    assert ": nothing can be written in " in line and line.endswith("ro; name another place")
    assert sorted(p for p in place.rglob("*") if "jobs" not in p.parts) == before


@pytest.mark.usefixtures("closed")
def test_a_check_of_a_batch_says_what_could_not_be_written(place: Path) -> None:
    (place / "rows.csv").write_text("video,audio,output\ntalk.mp4,speech.wav,ro/row.mp4\n")
    ended = invoke("batch", "rows.csv", "--check", "--report", "ro/report.parquet")
    assert ended.exit_code == 2
    report, row = ended.stderr.strip().splitlines()
    assert report == (
        "problem: ro/report.parquet: nothing can be written in ro; name another place"
    )
    assert row == (
        "problem: row 1 row.mp4: ro/row.mp4: nothing can be written in ro; name another place"
    )


@pytest.mark.parametrize("code", [READ_ONLY, FULL], ids=["read-only", "full"])
@pytest.mark.parametrize("names", OTHERS, ids=" ".join)
def test_others_end_without_a_traceback(
    names: tuple[str, ...], code: int, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, place / "store", code)
    ended = invoke(*names, *OTHERS[names])
    assert ended.exit_code == 1
    assert "Traceback" not in ended.output and ended.output.strip()


def test_a_damaged_artifact_that_cannot_be_removed_is_not_called_removed(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Store(place / "store")
    (manifest,) = (place / "store" / "numbers").rglob("manifest.json")
    manifest.write_text("{}")
    refuse(monkeypatch, place / "store", READ_ONLY)
    ended = invoke("artifacts", "verify", "--remove")
    assert ended.exit_code == 1
    assert "can't be written" in last_line(ended)
    assert list(opened.committed())
