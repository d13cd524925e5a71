"""`kill -9` at random moments over dub, batch, prepare and train: a rerun ends with the same bytes.

The commands run in children of a process that has imported what they import, so that the moments
fall into their work. KILLS of each command hit a run that was under way; SERIES of them hit one
store, one after the other, before a run may come to its end.
"""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stores.artifacts.store import Store
from tests.flows.conftest import cut_wav
from tests.media_factory import EXAMPLE, content, make_video

KILLS, SERIES = 25, 5
COMMANDS = ("dub", "batch", "prepare", "train")

SERVER = """
import json, os, signal, sys, time
import av, cv2, pyarrow.parquet, torch, zarr
import flows.batch, flows.dub, flows.prepare, flows.train
from contextlib import suppress
from flows.cli.app import main

for line in sys.stdin:
    folder, command, seconds = json.loads(line)
    begun = time.monotonic()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.chdir(folder)
        log = os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        code = 1
        try:
            main(command)
            code = 0
        except SystemExit as end:
            code = end.code or 0
        finally:
            os._exit(code)
    with suppress(OSError):  # it has done so itself
        os.setpgid(child, child)
    ended = 0
    while not ended:
        ended, status = os.waitpid(child, os.WNOHANG)
        if not ended and seconds is not None and time.monotonic() - begun > seconds:
            os.killpg(child, signal.SIGKILL)
            ended, status = os.waitpid(child, 0)
        time.sleep(0.005)
    print(json.dumps([os.waitstatus_to_exitcode(status), time.monotonic() - begun]), flush=True)
"""

pytestmark = pytest.mark.slow

Run = Callable[[Path, Sequence[str], float | None], tuple[int, float]]
"""Folder, arguments, and when to kill [s] → exit code and seconds."""


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    # One thread: sums over several round differently.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "DUBFLOW_PROCESSORS": "2"}
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )
    assert server.stdin is not None and server.stdout is not None

    def ask(folder: Path, command: Sequence[str], seconds: float | None) -> tuple[int, float]:
        assert server.stdin is not None and server.stdout is not None
        server.stdin.write(json.dumps([str(folder), list(command), seconds]) + "\n")
        server.stdin.flush()
        code, taken = json.loads(server.stdout.readline())
        return code, taken

    yield ask
    server.stdin.close()
    server.wait(60)
    server.stdout.close()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """A folder that each round begins with; all that is named in commands lies in it."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "clips").mkdir()
    make_video(folder / "talk.mp4", frames=30, size=(320, 240), real_faces=True)
    make_video(folder / "other.mp4", frames=24, size=(304, 240), real_faces=True)
    cut_wav(EXAMPLE.with_name("jfk.wav"), folder, 0.3, 1.2).rename(folder / "speech.wav")
    rows = "video,audio,output\ntalk.mp4,speech.wav,one.mp4\nother.mp4,speech.wav,two.mp4\n"
    (folder / "rows.csv").write_text(rows)
    persons = ["file,person,split"]
    for number, split in enumerate(("train", "train", "validation")):
        size = (200 + 16 * number, 150)
        clip = folder / "clips" / f"{number}.mp4"
        make_video(clip, frames=54, size=size, real_faces=True, audio="aac")
        persons.append(f"{number}.mp4,p{number},{split}")
    (folder / "clips" / "manifest.csv").write_text("\n".join(persons) + "\n")
    return folder


_LENIENT = ("min_agreement=null", "max_lag_seconds=null", "min_face_px=20")
_PREPARE = (
    *("prepare", "folder", "--data", "clips", "-o", "index.parquet", "--store", "store"),
    *(part for each in _LENIENT for part in ("--set", f"filters.{each}")),
)
_TINY: dict[str, Any] = {
    "steps": 20,
    "batch_size": 2,
    "validate_every": 5,
    "checkpoint_every": 2,
    "workers": 0,
    "device": "cpu",
    "deterministic": True,
    "size": {"width": 32, "layers": 1, "heads": 2, "feedforward": 32},
}
_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "dub": ("dub", "talk.mp4", "speech.wav", "-o", "out.mp4", "--store", "store", "--direct"),
    "batch": ("batch", "rows.csv", "--store", "store", "--direct"),
    "prepare": _PREPARE,
    "train": (
        *("train", "ip_lap.landmarks", "--data", "index.parquet", "-o", "trained"),
        *("--store", "store", "--direct"),
        *(f"--set={name}={json.dumps(value)}" for name, value in _TINY.items()),
    ),
}


@dataclass(frozen=True)
class Left:
    """What a command that came to its end left behind.

    Attributes:
        outputs: Bytes of the files that a user asked for.
        digests: Artifact → file → digest; all but manifests, which say when it was made.
    """

    outputs: dict[str, bytes]
    digests: dict[str, dict[str, str]]


_OUTPUTS = ("*.mp4", "index.parquet", "trained/*.safetensors")


def left(folder: Path) -> Left:
    paths = sorted(path for pattern in _OUTPUTS for path in folder.glob(pattern))
    outputs = {p.name: content(p) if p.suffix == ".mp4" else p.read_bytes() for p in paths}
    return Left(outputs, digests(Store(folder / "store")))


def digests(store: Store) -> dict[str, dict[str, str]]:
    """Artifact → file → digest, of a store in which nothing is damaged."""
    found = {}
    for kind, key in store.committed():
        artifact = store.get(kind, key)
        assert artifact.damage() == []
        files = artifact.manifest.files
        found[f"{kind}/{key}"] = {name: record.digest for name, record in files.items()}
    return found


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", COMMANDS)
def test_killed_at_any_moment_it_ends_with_the_same_bytes(
    name: str, run: Run, inputs: Path, tmp_path: Path
) -> None:
    rng, command, begin = random.Random(name), _ARGUMENTS[name], inputs
    if name == "train":  # what it trains on is there
        begin = tmp_path / "prepared"
        shutil.copytree(inputs, begin)
        check(run(begin, _PREPARE, None), begin)
    folder = tmp_path / "work"  # always the same: an index has paths in it

    def clear() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(begin, folder)

    undisturbed = []
    for _ in range(2):  # what the first reads of the disk, the others find in memory
        clear()
        undisturbed.append(check(run(folder, command, None), folder))
    duration, expected = min(undisturbed), left(folder)
    kills, reruns = 0, []
    while kills < KILLS:
        clear()
        for number in range(1, SERIES + 1):
            code, _ = run(folder, command, rng.uniform(0, duration / number))
            if code == 0:  # it was faster than its killer
                break
            assert code == -9, (folder / "log.txt").read_text()
            kills += 1
        reruns.append(check(run(folder, command, None), folder))
        found = left(folder)
        assert found.outputs == expected.outputs
        assert found.digests == expected.digests
    sys.stderr.write(
        f"{name}: {kills} kills, {len(reruns)} reruns, {duration:.1f} s undisturbed, "
        f"they took {min(reruns):.1f} to {max(reruns):.1f} s\n"
    )


def check(ended: tuple[int, float], folder: Path) -> float:
    """Seconds that a run took, which must have come to its end."""
    code, seconds = ended
    assert code == 0, (folder / "log.txt").read_text()
    return seconds
