"""Every documented command is run, page after page, in a folder that has the files it names.

Where something else is typed than documented, the tables below say what, and why.
"""

import argparse
import os
import re
import runpy
import shlex
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import httpx
import numpy as np
import pytest

from tests.command import invoke
from tests.conftest import ROOT
from tests.documented import data_block, documented, pages, shown_files
from tests.flows.conftest import cut_wav
from tests.media_factory import EXAMPLE, Rgb, faces, make_video
from tests.published_weights import trained_file, write_filled, write_registry
from tests.stores.object_server import object_server

pytestmark = [pytest.mark.dub, pytest.mark.slow]

NOT_RUN = {
    r"^pip |^make \.venv|^make PYTHON": "installs packages; test_wheel.py installs the wheel",
    r"^python -m viewer\.web\.vendor": "fetches from npm",
    r"^python docs/rooms\.py": "writes into the checkout; test_rooms.py draws the same",
}
"""What is not run at all, and why."""

SHOWN = {
    r"^make (test|test-long|check)$": "runs tests and checks, of which this is one",
    r"^make demo-batch": "dubs twelve rows; batches/test_demo.py runs the same",
    r"^make bench": "measures for minutes",
    r"^make sbom": "writes into the checkout; test_sbom.py makes the same",
}
"""Targets of which make only says what it would run, and why."""

PARSED = {
    r"^python -m benchmarks\.": "measures for minutes to hours; tests/benchmarks has its parts"
}
"""What only reads its arguments, and why."""

_QUICK = "--set {0}steps=2 --set {0}validate_every=2 --set {0}batch_size=2 --set {0}workers=0"
_EACH = " ".join(_QUICK.format(f"{each}.trainer.") for each in ("expression", "renderer"))
_LEARN = f"--set method_settings.fit.mode=mesh --set method_settings.faces.side=256 {_EACH}"
TYPED = {
    # Places of other machines, and what only the reader knows.
    r"^0 2 \* \* \* cd /data && /opt/dubflow/": "",
    r"(?<!\w)\.venv/bin/(?=dubflow)": "",
    r"(?<![\w/])/(data|mnt)/(?=\w)": "",
    r"/opt/dubflow": str(ROOT),
    r"python docs/gallery.py FOLDER": f"python {ROOT}/docs/gallery.py pictures",
    r"^make demo$": f"make -n -C {ROOT} demo && dubflow demo",
    r"https://minio\.example\.org": "http://127.0.0.1:$S3_PORT",
    r"_ID=… AWS_SECRET_ACCESS_KEY=…": "_ID=test AWS_SECRET_ACCESS_KEY=test",
    r"--host 10\.0\.0\.1": "--host 127.0.0.1 --port $PORT --no-dashboard",
    r"tcp://10\.0\.0\.1:8786": "tcp://127.0.0.1:$PORT",
    r"--nworkers 8": "",
    r"postgresql\S+": "sqlite+aiosqlite:///$PWD/prefect.db",
    r"server start --host 0\.0\.0\.0": "server start --host 127.0.0.1 --port $SERVER_PORT",
    r"prefect server start$": "prefect server start --host 127.0.0.1 --port $PORT",
    r"https://prefect\.example\.org": "http://127.0.0.1:$SERVER_PORT",
    r"http://127\.0\.0\.1:4200": "http://127.0.0.1:$PORT",
    r"^prefect --no-prompt deploy": f"cd {ROOT} && prefect --no-prompt deploy",
    r"dubflow up": "dubflow up --port $PORT --home prefect",
    r"\b4e3c39\b": "$(newest landmarks)",
    r"\b5c5869dfaf76\b": "$(newest render)",
    r"(motion|face_fit)/KEY": r"\1/$(newest \1)",
    r"(?<=inspect )RUN$|OUTPUT$": "talk.de.mp4",
    r"-o OUT$": "-o OUT.mp4",
    r"b=…": "b=clips",
    r"(VIDEO|\.safetensors) ?\.\.\.|(?<=SPEECH) …": r"\1",
    # On a terminal one is asked; and pages show several ways to the same output.
    r"dubflow dub (?!--config|--help|.*--dry-run)": "dubflow dub --overwrite ",
    r"(dubflow personalise .* -o RUN .*)": r"\1 --restart",
    # Nobody looks, and ports may be taken.
    r" --no-browser --port 8766": "",
    r"dubflow inspect": "dubflow inspect --no-browser --port 0",
    r"dubflow rate (?!--results)": "dubflow rate --port $PORT ",
    # Minutes and hours.
    r"(dubflow train .*)": rf"\1 --device cpu {_QUICK.format('')}",
    r"(dubflow personalise .*?)( --restart)?$": rf"\1 {_LEARN}\2",
    r"(dubflow evaluate .*)": r"\1 --metrics pixels",
    r"(dubflow evaluate .*--variant .*)": r"\1 --limit 1",
    r"(dubflow dub .*--method ip_lap$)": r"\1 --end 0.2",
}
"""What is typed otherwise: regular expressions and what replaces them, in this order."""

FIRST = r"dubflow (prepare|train|personalise) |weights add "
"""What a page uses before it says how it is made."""

SETUP = {
    "docs/batch.md": ["mkdir out"],
    "docs/cues.md": ["dubflow dub VIDEO SPEECH -o scene.mov"],
    "docs/inspect.md": [
        "dubflow prepare folder --data clips -o index.parquet",
        "export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=eu-central-1",
        "export AWS_ENDPOINT_URL=http://127.0.0.1:$S3_PORT",
    ],
    "docs/personalise.md": ["dubflow prepare folder --data clips -o index.parquet"],
    "docs/face_basis.md": ["dubflow personalise talk.mp4 --speech voices/ -o RUN"],
}
"""What is typed before a page's commands, since the page takes it for granted."""

STAYS = {
    r"dubflow inspect": "http://",
    r"dubflow rate .*=": "http://",
    r"dubflow up": "Ctrl-C stops",
    r"prefect server start": "Uvicorn|dashboard",
    r"prefect worker start": "started",
    r"dask scheduler": "Scheduler at",
    r"dask worker": "Start Nanny",
}
"""What runs until Ctrl-C, and what it says once it is there. It is ended when its page is."""

REFUSED = {
    r"weights pull": "can't be fetched",
    r"dubflow dub .*--method video_retalking": "the weights .* are missing",
}
"""What ends with an error here, and its words: what it asks for comes from the network alone."""

MADE = {
    "docs/start_batch.md": (
        "one.mp4",
        "out-a.mp4",
        "out-b.mp4",
        "rows.report.parquet",
        "later.mp4",
    ),
    "docs/start_prepare.md": ("clips/anna_02.mp4", "index.parquet", "strict.parquet"),
    "docs/start_inspect.md": ("who.png", "talk.en.mp4", "run.png", "motion.png"),
}
"""What a reader finds in the folder besides what `-o`, `>`, `--sheet` and `--preview` name."""

TOLD = {
    "docs/start_batch.md": ("takes about ", "2 done before", "is there already, queued", "keeps "),
    "docs/start_prepare.md": ("2 clips", "nothing, all came from the store"),
    "docs/start_inspect.md": ("track:0", "talk.mp4 ", "used by lenders"),
}
"""What a reader sees on the screen."""

TRAINED: dict[str, tuple[str, dict[str, Any]]] = {
    "runs/landmarks/ip_lap_landmarks.safetensors": (
        "ip_lap_landmark_generator",
        {"width": 32, "layers": 1, "heads": 2, "feedforward": 32},
    ),
    "runs/renderer/ip_lap_renderer.safetensors": ("ip_lap_renderer", {"fine": 4, "coarse": 32}),
    "runs/lnet/video_retalking_lnet.safetensors": (
        "vrt_lnet",
        {"width": 4, "residuals": 1, "attention": 1},
    ),
    "runs/enet/video_retalking_enet.safetensors": ("vrt_enet", {"side": 192, "width": 2}),
    "runs/plain/video_retalking_lnet.safetensors": (
        "vrt_lnet",
        {"width": 4, "residuals": 1, "attention": 0},
    ),
}
"""Small networks that pages take for trained, and that they don't train."""

PATIENCE = 3600.0
"""Seconds that anything may take: only what hangs takes an hour, also where others are at work."""

PAGES = {str(page.relative_to(ROOT)): documented(page) for page in pages()}
_OUTPUT = r"(?:(?<!grep )-o|>|--sheet|--preview) (?=\w)(\S+)"


def said_of(command: str, table: Mapping[str, str]) -> str | None:
    """What the table says of the command, if anything."""
    return next((words for like, words in table.items() if re.search(like, command)), None)


def typed(command: str) -> str:
    """The command as it is typed here."""
    if said_of(command, SHOWN):
        return command.replace("make", f"make -n -C {ROOT}", 1)
    for like, instead in TYPED.items():
        command = re.sub(like, instead, command)
    return command


def made(command: str) -> list[str]:
    """Files and folders that are there after the command."""
    if said_of(command, REFUSED | PARSED):
        return []
    return re.findall(r"> (\S+)" if "--dry-run" in command else _OUTPUT, command)


@pytest.mark.parametrize("table", [NOT_RUN, SHOWN, PARSED, TYPED, STAYS, REFUSED])
def test_nothing_in_the_tables_is_stale(table: Mapping[str, str]) -> None:
    commands = [c.text for each in PAGES.values() for c in each]
    commands += [typed(command) for command in commands]
    assert not [like for like in table if not any(re.search(like, each) for each in commands)]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files for all pages, and a store: three clips of somebody who speaks."""
    folder = tmp_path_factory.mktemp("shelf")
    clips, voices = folder / "clips", folder / "voices"
    clips.mkdir()
    rows = ["file,person,split"]
    speech = EXAMPLE.with_name("jfk.wav")
    for number, split in ((1, "train"), (2, "train"), (3, "validation")):
        size = (400 + 16 * number, 300)
        face = make_video(folder / f"{number}.mp4", frames=60, size=size, real_faces=True)
        said = cut_wav(speech, folder, 2.0 * number, 2.0 * number + 2.4)
        to = ("-o", clips / f"p{number}_1.mp4", "--store", folder / "store")
        assert not invoke("dub", face, said, *to).exit_code
        rows.append(f"p{number}_1.mp4,p{number},{split}")
        (voices / f"v{number}").mkdir(parents=True)
        cut_wav(speech, voices / f"v{number}", 2.0 * number, 2.0 * number + 1.6)
    (clips / "manifest.csv").write_text("\n".join(rows) + "\n")
    cut_wav(speech, folder, 0.3, 2.1).rename(folder / "german.wav")
    names = ("wav2lip_gan", "ip_lap_landmark_generator", "ip_lap_renderer")
    write_registry(folder / "weights.yaml", *names)
    for name in names:
        write_filled(name, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DUBFLOW_WEIGHTS", str(folder / "weights.yaml"))
        store = ("--store", folder / "store")
        assert not invoke("weights", "add", names[0], folder / f"{names[0]}.pth", *store).exit_code
    for name, (network, options) in TRAINED.items():
        (folder / name).parent.mkdir(parents=True)
        trained_file(folder / name, network, options)
    return folder


SPECIAL = {
    "cues": "VIDEO",
    "dub": "VIDEO",
    "evaluate": "PERSONS/anna.mp4",
    "personalise": "talk.mp4",
}
"""What is not like other pages' videos."""


def make_special(path: Path, page: str) -> None:
    """Two people, where pages choose among them; else long enough to learn from, in few frames."""
    if page in ("cues", "dub"):
        make_video(path, frames=60, size=(800, 300), draw=two_faces())
        return
    seconds, rate = (61, 5) if page == "evaluate" else (6, 10)
    frames, size = seconds * rate, (400, 300)
    make_video(path, frames=frames, rate=rate, size=size, real_faces=True, audio="aac")


def lay_out(folder: Path, shelf: Path, page: Path) -> None:
    """Give the page's folder every name that pages use; the first pages bring their own."""
    if page.stem.startswith("start_"):
        return
    one = shelf / "clips" / "p1_1.mp4"
    special = folder.parent / "special.mp4"
    if page.stem in SPECIAL:
        make_special(special, page.stem)
    for name in ("talk.mp4", "VIDEO", "one.mp4", "talks/a.mp4", "talks/b.mp4", "PERSONS/anna.mp4"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to(special if name == SPECIAL.get(page.stem) else one)
    for name in ("other.mp4", "two.mp4"):
        (folder / name).symlink_to(one.with_name("p2_1.mp4"))
    for name in ("german.wav", "speech.wav", "SPEECH", "music.wav", "german/a.wav", "german/b.wav"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to(shelf / "german.wav")
    for name in ("clips", "CLIPS", "DIR", "FOLDER", "results/exemplar", "results/wav2lip"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to(shelf / "clips")
    (folder / "STORE").symlink_to(shelf / "store")
    for name in ("voices", "VOICES"):
        (folder / name).symlink_to(shelf / "voices")
    for each in shelf.glob("*.pth"):
        (folder / each.name).symlink_to(each)
    for name, content in shown_files(page).items():
        (folder / "my_methods" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "my_methods" / name).write_text(content)
    (folder / "runs").mkdir()
    for name in TRAINED:
        if f"-o {Path(name).parent}" not in page.read_text():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).symlink_to(shelf / name)
    for number in (1, 2, 3):
        for tree in ("lrs3/trainval", "LRS2/main"):
            (folder / tree / f"v{number}").mkdir(parents=True)
            (folder / tree / f"v{number}" / "00001.mp4").symlink_to(
                shelf / "clips" / f"p{number}_1.mp4"
            )
    (folder / "LRS2" / "test.txt").write_text("v1/00001\nv2/00001\n")
    (folder / "jobs.csv").write_text("video,audio,output\ntalk.mp4,german.wav,job.mp4\n")
    for name, kind, of in (("jobs.csv", "csv", "batch"), ("jane.json", "json", "marks")):
        if page.stem == of:
            (folder / name).write_text(data_block(page, kind).replace("track:1", "track:0"))


@dataclass
class Reader:
    """Somebody who types a page's commands, one after the other, into one shell."""

    folder: Path
    variables: dict[str, str]
    ends: ExitStack
    said: str = ""

    def types(self, command: str) -> None:
        """Type it, and see that it ends as it should."""
        words = said_of(command, STAYS)
        if words:
            self.starts(command, words)
            return
        code, output = takes(command) if said_of(command, PARSED) else self.runs(command)
        self.said += output
        refusal = said_of(command, REFUSED)
        assert bool(code) is bool(refusal), f"$ {command}\n{output}\nended with {code}"
        assert not refusal or re.search(refusal, output), f"$ {command}\n{output}"

    def runs(self, command: str) -> tuple[int, str]:
        """Exit code and output; variables that the command sets are kept.

        A plain `dubflow …` runs in this process: to import all that it uses takes seconds.
        """
        if re.fullmatch(r"dubflow [^$>|]+", command) and "PREFECT_API_URL" not in self.variables:
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(self.folder)
                for name in os.environ.keys() - self.variables.keys():
                    patch.delenv(name)
                for name, value in self.variables.items():
                    patch.setenv(name, value)
                ended = invoke(*shlex.split(command)[1:])
            return ended.exit_code, ended.output
        after = self.folder.parent / "variables"
        done = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", f"set -a\n{command}\nenv -0 >{after}"],
            cwd=self.folder,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
        )
        if done.returncode == 0:
            pairs = after.read_text().rstrip("\0").split("\0")
            self.variables = dict(pair.split("=", 1) for pair in pairs)
        return done.returncode, done.stdout

    def starts(self, command: str, words: str) -> None:
        """Start what stays, and wait until it says so."""
        log = self.folder.parent / f"{time.monotonic_ns()}.log"
        with log.open("w") as output:
            started = subprocess.Popen(
                ["bash", "-c", f"exec env {command}"],
                cwd=self.folder,
                env=self.variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.ends.callback(end, command, started, log)
        deadline = time.monotonic() + PATIENCE
        ports = [int(self.variables[name]) for name in re.findall(r"--port \$(\w+)", command)]
        while not re.search(words, log.read_text()) or not all(map(answers, ports)):
            assert started.poll() is None, f"$ {command}\n{log.read_text()}"
            assert time.monotonic() < deadline, f"$ {command}\n{log.read_text()}"
            time.sleep(0.2)
        if "dubflow rate" in command:
            rates(ports[0])


def two_faces() -> Callable[[int, int, int], Rgb]:
    """Draws two people side by side, the second in a mirror and some seconds ahead."""
    one = faces(400, 300)
    other = islice(faces(400, 300), 100, None)
    return lambda index, width, height: np.hstack([next(one), next(other)[:, ::-1]])


def rates(port: int) -> None:
    """Find all alike, as somebody who rates on the page."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as page:
        trial = page.get("/api/next", params={"rater": "jo"}).raise_for_status().json()
        while trial["trial"]:
            given = {question["name"]: 0 for question in trial["questions"]}
            answer = {"rater": "jo", "trial": trial["trial"], "answers": given, "seconds": 2.5}
            trial = page.post("/api/answer", json=answer).raise_for_status().json()


def answers(port: int) -> bool:
    """Whether somebody listens at this port of this machine."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def end(command: str, started: "subprocess.Popen[bytes]", log: Path) -> None:
    """Ctrl-C, after which it ends in peace."""
    started.send_signal(signal.SIGINT)
    try:
        code = started.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        started.kill()
        raise
    assert code in (0, 130, -signal.SIGINT), f"$ {command}\n{log.read_text()}"


def takes(command: str) -> tuple[int, str]:
    """Whether the benchmark takes these arguments, as exit code and what it says against them."""
    _, _, module, *arguments = shlex.split(command)

    class Taken(Exception):
        pass

    parse = argparse.ArgumentParser.parse_args

    def parsed(*given: object, **options: object) -> NoReturn:
        parse(*given, **options)  # type: ignore[call-overload]
        raise Taken

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # that some other test imported it
        patch.setattr(argparse.ArgumentParser, "parse_args", parsed)
        patch.setattr(sys, "argv", [module, *arguments])
        try:
            runpy.run_module(module, run_name="__main__")
        except Taken:
            return 0, ""
        except SystemExit as ended:
            return 1, f"{ended.code}"
    return 1, "did not read its arguments"


@pytest.fixture(scope="module")
def s3_port() -> Iterator[int]:
    with object_server() as port:
        httpx.put(f"http://127.0.0.1:{port}/bucket", timeout=PATIENCE).raise_for_status()
        yield port


@pytest.fixture
def reader(tmp_path: Path, shelf: Path, request: pytest.FixtureRequest) -> Iterator[Reader]:
    folder, programs = tmp_path / "folder", tmp_path / "programs"
    folder.mkdir()
    programs.mkdir()
    newest = programs / "newest"  # the key of the newest artifact of the kind
    newest.write_text('#!/bin/sh\nls -td "$DUBFLOW_STORE/$1"/*/* | head -1 | xargs basename\n')
    newest.chmod(0o755)
    with socket.socket() as one, socket.socket() as other:  # two that are free
        ports = []
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
            ports.append(str(each.getsockname()[1]))
    kept = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("DUBFLOW", "PREFECT", "AWS", "DASK"))
    }
    own = {
        "HOME": str(tmp_path / "home"),
        "SHELL": "/bin/bash",
        "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "DUBFLOW": str(ROOT),
        "DUBFLOW_STORE": str(shelf / "store"),
        "DUBFLOW_WEIGHTS": str(shelf / "weights.yaml"),
        "HTTPS_PROXY": "http://127.0.0.1:9",  # nobody
        "COLUMNS": "120",
        "PORT": ports[0],
        "SERVER_PORT": ports[1],
        "S3_PORT": "0",
    }
    (tmp_path / "home").mkdir()
    with ExitStack() as ends:
        yield Reader(folder, kept | own, ends)


@pytest.mark.parametrize("page", [page for page, commands in PAGES.items() if commands])
def test_a_page_can_be_typed_along(
    page: str, reader: Reader, shelf: Path, request: pytest.FixtureRequest
) -> None:
    lay_out(reader.folder, shelf, ROOT / page)
    commands = [c.text for c in PAGES[page] if said_of(c.text, NOT_RUN) is None]
    if "start_" not in page:
        commands.sort(key=lambda command: not re.search(FIRST, command))
        commands = [*SETUP.get(page, []), *commands]
    commands = [typed(command) for command in commands]
    first = next((c for c in commands if "talk.de.mp4" in c), "-o talk.de.mp4")
    if "-o talk.de.mp4" not in first:
        commands.insert(0, "dubflow dub talk.mp4 german.wav -o talk.de.mp4")
    if any("s3://" in command for command in commands):
        reader.variables["S3_PORT"] = str(request.getfixturevalue("s3_port"))
    with reader.ends:
        for command in commands:
            reader.types(command)
            missing = [name for name in made(command) if not (reader.folder / name).exists()]
            assert not missing, command
    assert not [name for name in MADE.get(page, ()) if not (reader.folder / name).stat().st_size]
    assert not [words for words in TOLD.get(page, ()) if words not in reader.said], reader.said
