"""Every `dubflow` command of README and docs is understood, and its settings are valid."""

import re
import shlex
from pathlib import Path
from typing import NoReturn

import pytest

from tests.command import invoke
from tests.documented import documented, pages

_COMMAND = re.compile(r"(?:[A-Z_]+=\S+ )*dubflow (.*?)(?: > \S+)?")

WORK = {
    "artifacts": ("flows.cli.collect.open_store", "flows.cli.artifacts.open_store"),
    "batch": ("flows.cli.batch._run", "flows.cli.batch._check"),
    "cues": ("flows.cues.propose.propose",),
    "demo": ("flows.cli.demo.dub_and_tell",),
    "demo-batch": ("flows.batches.demo.demo_batch",),
    "doctor": ("flows.runtime.doctor.examine",),
    "evaluate": ("flows.cli.evaluate._evaluate", "flows.cli.evaluate._list"),
    "faces": ("flows.gallery.find_persons",),
    "inspect": ("flows.cli.inspect._store_of", "viewer.web.subject.find_subject"),
    "dub": ("flows.cli.dub.dub_and_tell", "flows.cli.dub._check"),
    "jobs": ("flows.cli.jobs._jobs",),
    "prepare": ("flows.cli.prepare._prepare", "flows.cli.prepare._list"),
    "rate": ("viewer.ratings.study.make_study", "flows.cli.rate._show_results"),
    "up": ("flows.runtime.local_server.local_server",),
    "verify": ("flows.verify.verify",),
    "weights": ("flows.cli.weights.open_store",),
}
"""What each command calls once its settings are read; the others have `--dry-run`.

Whoever imports a name comes before whose it is: it is imported when it is replaced.
"""


class AtWork(Exception):
    """The command has begun with what it is for."""


def arguments_of_commands() -> list[tuple[str, tuple[str, ...]]]:
    """(page, arguments) of each `dubflow` command."""
    found: dict[tuple[str, tuple[str, ...]], None] = {}
    for page in pages():
        for each in documented(page):
            if line := _COMMAND.fullmatch(each.text):
                found[page.stem, tuple(shlex.split(line[1]))] = None
    return list(found)


COMMANDS = arguments_of_commands()


def test_all_pages_are_read() -> None:
    assert len(COMMANDS) >= 45
    assert {arguments[0] for _, arguments in COMMANDS} >= {"dub", "train", *WORK} - {
        *("demo", "demo-batch", "doctor"),  # which the pages name in their text only
    }
    assert ("artifacts", "gc", "--older-than-days", "30", "--yes") in {a for _, a in COMMANDS}


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job, and runs of `dubflow personalise` that have ended, in the folder of the commands."""
    monkeypatch.chdir(tmp_path)
    dub = ("dub", "talk.mp4", "german.wav", "-o", "talk.de.mp4", "--dry-run")
    (tmp_path / "job.yaml").write_text(invoke(*dub).stdout)
    for run in ("run", "RUN"):
        (tmp_path / run).mkdir()
        (tmp_path / run / "method.yaml").touch()


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize(
    "arguments", [pytest.param(a, id=f"{page}: {' '.join(a)}") for page, a in COMMANDS]
)
def test_documented(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    if "blur_mouth" in arguments:  # an example: test_add_a_method.py makes and runs it
        arguments = tuple("exemplar" if a == "blur_mouth" else a for a in arguments)
    command = arguments[0]
    if command == "--version":
        assert invoke(command).stdout.startswith("dubflow ")
        return
    names = arguments[: 2 if command in ("artifacts", "jobs", "weights") else 1]
    helped = invoke(*names, "--help")
    assert helped.exit_code == 0
    assert f"Usage: dubflow {' '.join(names)}" in helped.stdout
    if command == "--install-completion":
        return  # would change the home folder
    if "--help" in arguments:
        assert invoke(*arguments).exit_code == 0
    elif command in WORK:

        def work(*given: object, **options: object) -> NoReturn:
            raise AtWork

        for each in WORK[command]:
            monkeypatch.setattr(each, work)
        with pytest.raises(AtWork):
            invoke(*arguments)
    else:
        done = invoke(*arguments, "--dry-run")
        assert done.exit_code == 0, done.stderr


def test_a_wrong_command_is_noticed() -> None:
    wrong = invoke("dub", "a.mp4", "b.wav", "-o", "c.mp4", "--metod", "x", "--dry-run")
    assert wrong.exit_code == 2 and "--metod" in wrong.stderr
    assert invoke(
        "train", "ip_lap.landmarks", "--data", "a", "-o", "b", "--dry-run", "--set=x=1"
    ).exit_code
