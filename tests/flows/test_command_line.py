"""What the command does with a line: choices, ranges, errors of one line, completion, start-up."""

import io
import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import NoReturn

import httpx
import pytest
from cyclopts import App

from flows.cli.app import app
from flows.cli.errors import one_line_errors
from flows.cli.options import may_replace
from flows.names import (
    dataset_names,
    family_names,
    method_names,
    preset_names,
    protocol_names,
    recipe_names,
)
from flows.settings import DubSettings
from stores.errors import InputError
from tests.command import invoke
from tests.media_factory import make_video

DUB = ("dub", "talk.mp4", "german.wav", "-o", "out.mp4")


def commands(within: App = app, names: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], App]]:
    """Every command with its names."""
    found: list[tuple[tuple[str, ...], App]] = []
    for name in within:
        if not name.startswith("-"):
            below = commands(within[name], (*names, name))
            found += below or [((*names, name), within[name])]
    return found


def choices() -> list[tuple[tuple[str, ...], str, tuple[str, ...]]]:
    """(a line with a wrong choice, how it is called, the right ones) of all that has choices."""
    lines = []
    for names, command in commands():
        given = command.assemble_argument_collection()
        for argument in given:
            if not (right := argument.get_choices()):
                continue
            line = list(names)
            for other in given:
                if other is argument or other.required:
                    value = "wrong" if other is argument else (other.get_choices() or "x")[0]
                    line += [other.name, value] if other.name.startswith("-") else [value]
            lines.append((tuple(line), argument.name, right))
    return lines


CHOICES = choices()


def only_line(text: str) -> str:
    (line,) = text.splitlines()
    return line


def test_choices_are_those_that_exist() -> None:
    found = {(names[0], name): right for names, name, right in CHOICES}
    assert found["dub", "--method"] == method_names()
    assert {"exemplar", "ip_lap", "wav2lip"} < set(method_names())
    assert found["dub", "--sync-mode"] == ("silence", "cut_off", "loop", "bounce")
    ip_lap = ("ip_lap.landmarks", "ip_lap.renderer")
    assert found["train", "RECIPE"] == recipe_names()
    meta_talk = ("meta_talk.expression", "meta_talk.renderer")
    retalking = tuple(f"video_retalking.{name}" for name in ("dnet", "enet", "lnet"))
    stylegan2 = tuple(f"stylegan2.{name}" for name in ("embedding", "face", "identity"))
    wav2lip = ("wav2lip.expert", "wav2lip.generator")
    assert recipe_names() == (
        *("exemplar.polish", "ganimation", *ip_lap, *meta_talk, *stylegan2),
        *(*retalking, *wav2lip),
    )
    assert "source" in found["evaluate", "--method"]
    assert len(found) == len(CHOICES) >= 13


@pytest.mark.parametrize(
    ("line", "name", "right"),
    [pytest.param(*each, id=f"{each[0][0]} {each[1]}") for each in CHOICES],
)
def test_a_wrong_choice_names_the_right_ones(
    line: tuple[str, ...], name: str, right: tuple[str, ...]
) -> None:
    ended = invoke(*line)
    assert ended.exit_code == 1
    assert only_line(ended.stderr).startswith(f"dubflow: {name} wrong: expected {right[0]}")
    assert all(each in ended.stderr for each in right)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ((*DUB, "--method", "wav"), ("--method wav", " or wav2lip (", "did you mean wav2lip?")),
        ((*DUB, "--sync-mode", "lop"), ("silence, cut_off, loop or bounce", "did you mean loop?")),
        ((*DUB, "--set", "method=wav"), ("no method 'wav'", *method_names())),
        (
            ("prepare", "lrs", "--data", ".", "-o", "i.parquet"),
            ("data set 'lrs'", *dataset_names()),
        ),
        (("evaluate", "paired", "--data", ".", "-o", "r"), ("'paired'", *protocol_names())),
        (
            ("evaluate", "folder_paired", "--data", ".", "-o", "r", "--metrics", "lsee"),
            ("'lsee'", *family_names(), "did you mean lse?"),
        ),
        (
            ("train", "ip_lap.renderer", "--data", ".", "-o", "r", "--preset", "smal"),
            (*preset_names(), "did you mean small?"),
        ),
        ((*DUB, "--quality", "41"), ("--quality 41: ", "40")),
        ((*DUB, "--keep-background", "-61"), ("--keep-background -61: ", "-60")),
        ((*DUB, "--set", "encode.crf=41"), ("--set encode.crf=41: ", "40")),
        ((*DUB, "--set", "blend.modus=x"), ("--set blend.modus=x: ", "did you mean blend.mode?")),
        ((*DUB, "--set", "crf=20"), ("did you mean encode.crf?",)),
        ((*DUB, "--set", "colour=red"), ("--set colour=red: ", "there is video, audio, output")),
        (
            (*DUB, "--set", "method_settings.lenders.candidates=1"),
            ("method exemplar: --set method_settings.lenders.candidates=1: ",),
        ),
        ((*DUB, "--quality", "41", "--set", "face=x"), ("--quality 41: ", "--set face=x: ", "; ")),
        (
            ("train", "ip_lap.renderer", "--data", ".", "-o", "r", "--set", "batch_siz=3"),
            ("--set batch_siz=3: ", "did you mean batch_size?"),
        ),
        (
            ("prepare", "folder", "--data", ".", "-o", "i.parquet", "--set", "min_second=2"),
            ("--set min_second=2: ", "did you mean filters.min_seconds?"),
        ),
        ((*DUB, "--set", "sync.mode=["), ("--set sync.mode=[",)),
        ((*DUB, "--config", "none.yaml"), ("none.yaml: no such file",)),
        (("dub", "talk.mp4", "-o", "x.mp4"), ("either AUDIO or a cue sheet with --cues",)),
        ((*DUB, "--cues", "s.csv"), ("either AUDIO or a cue sheet with --cues",)),
        ((*DUB, "--fit", "stretch:3"), ("--fit stretch:3: ", "stretch:1.15")),
    ],
)
def test_wrong_settings(line: tuple[str, ...], words: tuple[str, ...]) -> None:
    ended = invoke(*line)
    assert ended.exit_code == 1
    assert only_line(ended.stderr).startswith("dubflow: ")
    assert not [word for word in words if word not in ended.stderr], ended.stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (DUB[:3], "--output is missing"),
        (("dub",), "VIDEO is missing"),
        (("dub", "talk.mp4", "--config", os.devnull), "--output is missing"),
        ((*DUB, "--face"), "--face needs a value"),
        ((*DUB, "more"), "too many arguments: more"),
        ((*DUB, "--metod", "wav2lip"), "unknown option: --metod. Did you mean --method?"),
        ((*DUB, "--workers", "many"), "--workers"),
        (("rate", "--port", "70000"), "70000"),
        (("up", "--port", "0"), "Must be >= 1"),
        (("dob",), 'Did you mean "dub"?'),
        (("weights", "fetch"), "fetch"),
    ],
)
def test_lines_that_are_not_understood(line: tuple[str, ...], words: str) -> None:
    ended = invoke(*line)
    assert ended.exit_code == 2
    assert words in only_line(ended.stderr)
    assert ended.stderr.startswith("dubflow: ")
    assert "--help`." in ended.stderr


def test_options_come_before_changes_and_these_before_the_file(tmp_path: Path) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text("sync: {mode: loop, start_seconds: 3}\nencode: {crf: 30, codec: hevc}\n")
    line = (*DUB, "--config", config, "--set", "encode.crf=20", "--set", "face=track:1")
    told = invoke(*line, "--sync-mode=bounce", "--face", "largest", "--dry-run").stdout
    for words in ("mode: bounce", "start_seconds: 3.0", "crf: 20.0", "codec: hevc", "largest"):
        assert words in told


def test_a_file_alone_is_a_whole_job_and_a_dry_run_prints_it(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(invoke(*DUB, "--quality", "20", "--dry-run").stdout)
    assert invoke("dub", "--config", job, "--dry-run").stdout == job.read_text()
    job.write_text(job.read_text().replace("crf: 20.0", "crf: 50"))
    assert f"{job}: encode.crf: " in only_line(invoke("dub", "--config", job).stderr)


def test_each_fault_of_a_cue_sheet_is_told_on_a_line(tmp_path: Path) -> None:
    make_video(video := tmp_path / "talk.mp4", frames=5)
    sheet = tmp_path / "s.csv"
    sheet.write_text("start,end,face,speech,colour\nx,1,anna,a.wav,\n")
    ended = invoke("dub", video, "--cues", sheet, "-o", tmp_path / "o.mp4", "--direct")
    assert ended.exit_code == 1
    told = [line.removeprefix(f"dubflow: {sheet}: ") for line in ended.stderr.splitlines()]
    assert [line.split(":")[0] for line in told] == [
        *("column colour", "row 1, column start", "row 1, column face"),
        *("row 1, column speech", "row 1, column end"),
    ]


def test_version() -> None:
    assert invoke("--version").stdout.split()[0] == "dubflow"


@pytest.mark.parametrize(
    "line",
    [DUB, ("demo", "-o", "out.mp4"), ("faces", "talk.mp4", "-o", "out.mp4")],
    ids=lambda line: line[0],
)
def test_a_file_that_is_there_is_not_replaced_unasked(
    line: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("out.mp4").write_text("mine")
    ended = invoke(*line)
    assert ended.exit_code == 1
    assert only_line(ended.stderr).startswith("dubflow: out.mp4 is there: --overwrite replaces it")
    forced = invoke(*line[:1], "none.mp4", "none.wav", "-o", "out.mp4", "--overwrite")
    assert line[0] != "dub" or "none.mp4" in only_line(forced.stderr)
    assert Path("out.mp4").read_text() == "mine"


class Terminal(io.StringIO):
    """A stream that is one."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "replaced"), [("y\n", True), ("\n", False), ("", False)])
def test_at_a_terminal_it_is_asked(
    answer: str, replaced: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    monkeypatch.setattr("sys.stderr", asked := Terminal())
    (tmp_path / "out.mp4").touch()
    with nullcontext() if replaced else pytest.raises(InputError, match="was left as it is"):
        may_replace(tmp_path / "out.mp4", overwrite=False)
    assert asked.getvalue() == f"{tmp_path / 'out.mp4'} is there. Replace it? [y/N] "


def test_help_is_the_settings() -> None:
    told = " ".join(invoke("dub", "--help").stdout.replace("│", " ").split())
    for panel in ("What is dubbed", "Encoding", "Settings", "Running"):
        assert f"─ {panel} ─" in told
    for words in (
        "[0 to 40]",
        "[default: 17]",
        "[choices: auto, h264, hevc]",
        "[-60 to 20]",
        "--direct",
    ):
        assert words in told
    method = DubSettings.model_fields["method"].description
    assert method and method[1:] in told


@pytest.mark.parametrize(
    ("line", "work", "remark"),
    [
        ((*DUB, "--direct"), "flows.cli.dub.dub_and_tell", "finished ranges are kept"),
        (
            ("train", "ip_lap.renderer", "--data", "i.parquet", "-o", "run"),
            "flows.cli.train._train",
            "run holds a checkpoint, the same command goes on from it",
        ),
        (("weights", "list"), "flows.cli.weights.read_registry", "the same command goes on"),
    ],
)
def test_ctrl_c(
    line: tuple[str, ...], work: str, remark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*given: object, **options: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(work, stopped)
    ended = invoke(*line)
    assert ended.exit_code == 130
    assert only_line(ended.stderr).startswith(f"dubflow: stopped; {remark}")


def test_ctrl_c_is_heard_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "flows.cli.weights.read_registry", lambda: signal.raise_signal(signal.SIGINT)
    )
    ended = invoke("weights", "list")
    heard, stopped = ended.stderr.splitlines()
    assert heard.startswith("dubflow: stopping; what is under way")
    assert stopped.startswith("dubflow: stopped; ")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def completed(line: str, tmp_path: Path) -> set[str]:
    """What bash offers at the end of a line."""
    script = tmp_path / "dubflow.bash"
    script.write_text(app.generate_completion(shell="bash"))
    words = line.split(" ")
    typed = " ".join(f"'{word}'" for word in words)
    asked = f"""
        . {script}
        COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; COMP_LINE='{line}'
        _dubflow; printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", asked], capture_output=True, text=True, env={**os.environ, "PATH": path}
    )
    return set(done.stdout.split())


def test_bash_completes(tmp_path: Path) -> None:
    assert completed("dubflow d", tmp_path) == {"dub", "demo", "demo-batch", "doctor"}
    assert completed("dubflow artifacts v", tmp_path) == {"verify"}
    assert completed("dubflow dub --sy", tmp_path) == {"--sync-mode"}
    assert completed("dubflow dub a b --method ", tmp_path) == set(method_names())
    assert completed("dubflow prepare lr", tmp_path) == {"lrs2", "lrs3", "lrw"}  # asks the command


def test_help_and_wrong_choices_import_nothing_heavy() -> None:
    heavy = ("torch", "mediapipe", "prefect", "dask", "distributed", "zarr", "av", "numpy", "cv2")
    code = f"""
import sys
from flows.cli.app import main
main(["--help"])
for command in ("dub", "batch", "prepare", "train", "evaluate", "rate", "up", "demo"):
    main([command, "--help"])
try:
    main({[*DUB, "--sync-mode", "lop"]!r})
except SystemExit as end:
    assert end.code == 1
print("loaded:", [name for name in {heavy!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded: []"
    assert len(done.stderr.splitlines()) == 1


def test_a_server_that_is_gone_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ask() -> NoReturn:
        raise RuntimeError("failed to reach it") from httpx.ConnectError("refused")

    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with pytest.raises(RuntimeError), one_line_errors():
        ask()
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    with pytest.raises(SystemExit), one_line_errors():
        ask()
    assert "no Prefect server answers at http://127.0.0.1:9/api" in capsys.readouterr().err
    with pytest.raises(RuntimeError), one_line_errors():
        raise RuntimeError("of another kind")
