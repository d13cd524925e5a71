"""A batch on three hosts with the store behind an S3 server, against the same on one machine."""

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.flows.runtime.hosts import HOSTS, Network, network, why_not
from tests.flows.runtime.range_notes import Range, check_costs, notes, noting
from tests.media_factory import content, make_video
from tests.published_weights import write_filled, write_registry

BIN = Path(sys.executable).parent
WEIGHTS = "wav2lip_gan"
CUT_SECONDS = 20.0
_SERVER, _SCHEDULER = f"http://{HOSTS['store']}:5000", f"tcp://{HOSTS['scheduler']}:8786"
_ANSWER_SECONDS = 120.0

_NEW_BUCKET = """
import sys, urllib.request
urllib.request.urlopen(urllib.request.Request(sys.argv[1], method="PUT"), timeout=5)
"""
_DIGESTS = """
import json, sys
from stores.artifacts.store import Store
store = Store(sys.argv[1])
found = {}
for kind, key in store.committed():
    files = store.get(kind, key).manifest.files
    found[f"{kind}/{key}"] = {name: record.digest for name, record in files.items()}
print(json.dumps(found))
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "there are network namespaces"),
]


@dataclass(frozen=True)
class Result:
    """What a batch left behind.

    Attributes:
        rows: As the command reports them.
        outputs: Bytes of each dubbed file.
        digests: Artifact → file → digest; all but manifests, which say when it was made.
    """

    rows: list[dict[str, Any]]
    outputs: list[bytes]
    digests: dict[str, dict[str, str]]


Shell = Callable[..., list[str]]
"""Makes a command one of a certain host."""


@dataclass(frozen=True)
class Inputs:
    """Rows of a manifest, a file of weights, and the environment in which they are known."""

    rows: list[dict[str, Any]]
    weights: Path
    environment: dict[str, str]

    def batch(self, folder: Path, store: str, shell: Shell, *options: str, **more: str) -> Result:
        """Run it by the command that users have; weights first."""
        folder.mkdir()
        manifest = folder / "manifest.yaml"
        named = [{**row, "output": f"{number}.mp4"} for number, row in enumerate(self.rows)]
        manifest.write_text(yaml.safe_dump(named))
        environment = {**os.environ, **self.environment, **more}

        def run(*command: str) -> str:
            done = subprocess.run(
                shell(*command), env=environment, stdout=subprocess.PIPE, text=True, check=True
            )
            return done.stdout

        dubflow = str(BIN / "dubflow")
        run(dubflow, "weights", "add", WEIGHTS, str(self.weights), "--store", store)
        done = run(
            *(dubflow, "batch", str(manifest), "--store", store, "--direct", "--json"),
            *("--set", "sync.mode=cut_off", *options),
        )
        run(dubflow, "artifacts", "verify", "--store", store)  # fails if anything is damaged
        rows = json.loads(done)["rows"]
        assert [row["state"] for row in rows] == ["done"] * len(self.rows), rows
        outputs = [content(Path(row["output"])) for row in rows]
        return Result(rows, outputs, json.loads(run(sys.executable, "-c", _DIGESTS, store)))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, speech: Path) -> Inputs:
    """Two rows with the built-in method, and one with a network."""
    folder = tmp_path_factory.mktemp("inputs")
    rows = [
        {
            "video": str(
                make_video(
                    folder / f"{number}.mp4", frames=20 + number, size=(320, 240), real_faces=True
                )
            ),
            "audio": str(speech),
            "method": method,
        }
        for number, method in enumerate(("exemplar", "wav2lip", "exemplar"))
    ]
    environment = {"DUBFLOW_WEIGHTS": str(write_registry(folder / "own.yaml", WEIGHTS))}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DUBFLOW_WEIGHTS", environment["DUBFLOW_WEIGHTS"])
        return Inputs(rows, write_filled(WEIGHTS, folder), environment)


@pytest.fixture(scope="module")
def alone(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, set[Range]]:
    """The batch on this machine with a store in a folder, and the ranges that it computed."""
    folder, log = tmp_path_factory.mktemp("alone"), tmp_path_factory.mktemp("log") / "ranges"
    result = inputs.batch(
        folder / "batch", str(folder / "store"), lambda *command: [*command], **noting(log)
    )
    found = {note.range for note in notes(log)}
    assert sum(row["computed"] for row in result.rows) == len(found)
    return result, found


@dataclass(frozen=True)
class Lab:
    """Hosts on which a scheduler, two workers and an S3 server run."""

    network: Network
    folder: Path
    log: Path

    def environment(self, host: str) -> dict[str, str]:
        """Nothing is shared but the videos, which all see under the same names."""
        return {
            "AWS_ENDPOINT_URL": _SERVER,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "DUBFLOW_DOWNLOADS": str(self.folder / host),
            "CUDA_VISIBLE_DEVICES": "",
            **noting(self.log, host=host),
        }

    def batch(self, inputs: Inputs, bucket: str) -> Result:
        """Drive it from the scheduler's host."""
        self.log.unlink(missing_ok=True)
        self.network.run("store", sys.executable, "-c", _NEW_BUCKET, f"{_SERVER}/{bucket}")
        return inputs.batch(
            self.folder / bucket,
            f"s3://{bucket}/dubflow",
            lambda *command: self.network.command("scheduler", *command),
            *("--cluster", _SCHEDULER),
            **self.environment("scheduler"),
        )


@pytest.fixture(scope="module")
def lab(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    with network() as hosts, ExitStack() as stack:
        made = Lab(hosts, folder, folder / "ranges")

        def start(host: str, *command: str) -> None:
            process = subprocess.Popen(
                hosts.command(host, *command),
                env={**os.environ, **inputs.environment, **made.environment(host)},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait, 60)
            stack.callback(process.terminate)

        start("store", sys.executable, "-m", "moto.server", "-H", HOSTS["store"], "-p", "5000")
        dask = str(BIN / "dask")
        start(
            "scheduler",
            *(dask, "scheduler", "--host", HOSTS["scheduler"], "--port", "8786"),
            "--no-dashboard",
        )
        for host, resources in (("cpu", ()), ("gpu", ("--resources", "GPU=1"))):
            start(
                host,
                *(dask, "worker", _SCHEDULER, "--host", HOSTS[host], "--nthreads", "1"),
                *("--no-dashboard", "--preload", "flows.runtime.dask_worker", *resources),
            )
        _await_answer(hosts, "scheduler", "store", 5000)
        _await_answer(hosts, "cpu", "scheduler", 8786)
        yield made


def _await_answer(hosts: Network, seen_from: str, host: str, port: int) -> None:
    look = f"import socket; socket.create_connection(('{HOSTS[host]}', {port}), 3)"
    deadline = time.monotonic() + _ANSWER_SECONDS
    while time.monotonic() < deadline:
        command = hosts.command(seen_from, sys.executable, "-c", look)
        if subprocess.run(command, capture_output=True).returncode == 0:
            return
        time.sleep(0.2)
    raise AssertionError(f"{host} does not answer {seen_from}")


def check_placement(log: Path) -> None:
    """The one network ran on the host that offers a GPU, and nothing else did."""
    kinds: dict[str, list[str]] = {}
    for note in notes(log):
        kinds.setdefault(note.host, []).append(note.range[0])
    assert set(kinds) == {"cpu", "gpu"}, "the driver computes nothing"
    assert kinds["gpu"] == ["render"]
    assert kinds["cpu"].count("render") == 2
    assert "wav2lip_crops" in kinds["cpu"]


def test_hosts_make_the_same_artifacts_as_one_machine(
    lab: Lab, inputs: Inputs, alone: tuple[Result, set[Range]]
) -> None:
    expected, ranges = alone
    found = lab.batch(inputs, "undisturbed")
    assert found.digests == expected.digests
    assert found.outputs == expected.outputs
    check_costs(lab.log, ranges, Counter())
    check_placement(lab.log)


def test_a_store_that_is_away_for_a_while(
    lab: Lab, inputs: Inputs, alone: tuple[Result, set[Range]]
) -> None:
    """The cable of the S3 server is out for 20 s in the middle of the work."""
    expected, ranges = alone
    chance, cuts = random.Random(5), []

    def cut() -> None:
        wanted = chance.randrange(len(ranges) // 4, len(ranges) // 2)
        while len(notes(lab.log)) < wanted:
            time.sleep(0.02)
        lab.network.cut("store", CUT_SECONDS)
        cuts.append(len(notes(lab.log)))

    thread = threading.Thread(target=cut)
    lab.log.unlink(missing_ok=True)
    thread.start()
    found = lab.batch(inputs, "cut")
    thread.join(1)
    assert cuts
    assert cuts[0] < len(ranges), "the batch was at work when the cable was in again"
    assert found.digests == expected.digests
    assert found.outputs == expected.outputs
    check_costs(lab.log, ranges, Counter())
