"""The demonstration of a batch: a real server, a real worker, a scheduled run, two processes."""

import json
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from flows.batches.report import RowResult, read_report
from flows.runtime.local_server import CPU_POOL, LocalServer, local_server
from stores.errors import ClusterError
from stores.places import check_new_folder
from stores.shipped import shipped_file

ROWS = 12
_SUFFIXES = (".mp4", ".mov", ".mkv")
_DELAY_SECONDS = 5
_POLL_SECONDS = 2.0
_FINAL = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})


@dataclass(frozen=True)
class DemoBatch:
    """What the demonstration did.

    Attributes:
        state: Of the flow run, as Prefect calls it.
        page: Address of the run's page while the server runs.
        rows: How each row ended.
    """

    state: str
    page: str
    rows: list[RowResult]


def demo_batch(
    folder: Path,
    *,
    clips: Path | None = None,
    port: int | None = None,
    say: Callable[[str], None] = lambda line: None,
    look: Callable[[str], None] = lambda page: None,
) -> DemoBatch:
    """Dub twelve rows by a deployment that a worker picks up.

    Args:
        folder: Where manifest, store, results and report go.
        clips: Videos to take; None for the built-in example.
        port: Of the server; None for a free one.
        say: Is told what happens.
        look: Is given the run's page when it has ended, before the server stops.

    Raises:
        ClusterError: the server or the worker does not do its part.
        SettingsError: nothing can be written in the folder.
    """
    check_new_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    manifest = _manifest(folder, clips)
    settings = {
        "manifest": str(manifest),
        "store": str(folder / "store"),
        "cluster": "local:2",
        "defaults": {"sync": {"mode": "cut_off"}},
    }
    say("starting Prefect's server, the deployments and a worker …")
    with (
        tempfile.TemporaryDirectory(prefix="dubflow-prefect-") as home,
        local_server(
            host="127.0.0.1",
            port=port or _free_port(),
            pools=(CPU_POOL,),
            home=Path(home),
            data=folder,
        ) as server,
    ):
        run = _schedule(server, settings)
        page = f"{server.url}/runs/flow-run/{run}"
        say(f"scheduled in {_DELAY_SECONDS} s: {page}")
        state = _wait_for_end(server, run, say)
        look(page)
    rows = read_report(folder / "manifest.report.parquet")
    return DemoBatch(state, page, [rows[number] for number in sorted(rows)])


def _manifest(folder: Path, clips: Path | None) -> Path:
    """Twelve rows: as many videos as there are, again and again, with pieces of speech."""
    videos = [shipped_file("examples/cap13.mp4")]
    if clips is not None:
        found = sorted(path for path in clips.rglob("*") if path.suffix in _SUFFIXES)
        videos = found[:: max(1, len(found) // ROWS)] or videos
    speech = str(shipped_file("examples/jfk.wav"))
    rows = [
        {
            "video": str(videos[number % len(videos)].resolve()),
            "audio": speech,
            "output": f"{number + 1:02}.mp4",
            "sync.end_seconds": 2.0 + 0.5 * (number % 3),
        }
        for number in range(ROWS)
    ]
    path = folder / "manifest.yaml"
    path.write_text(yaml.safe_dump(rows))
    return path


def _schedule(server: LocalServer, settings: dict[str, Any]) -> str:
    """Identifier of a run of the deployment that begins soon."""
    deployment = _get(server, "/deployments/name/batch/batch")["id"]
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + _DELAY_SECONDS))
    body = {
        "parameters": {"settings": settings},
        "state": {"type": "SCHEDULED", "state_details": {"scheduled_time": soon}},
    }
    answer = httpx.post(
        f"{server.url}/api/deployments/{deployment}/create_flow_run",
        content=json.dumps(body),
        headers={"content-type": "application/json"},
        timeout=30,
        trust_env=False,
    )
    if not answer.is_success:
        raise ClusterError(f"Prefect's server refuses the run: {answer.text[:300]}")
    return str(answer.json()["id"])


def _wait_for_end(server: LocalServer, run: str, say: Callable[[str], None]) -> str:
    told = ""
    while True:
        state = str(_get(server, f"/flow_runs/{run}")["state"]["type"])
        if state != told:
            say(f"the run is {state.lower()}")
            told = state
        if state in _FINAL:
            return state
        if any(worker.poll() is not None for worker in server.workers):
            raise ClusterError(
                "the worker has ended before the run; look at `prefect worker start`"
            )
        time.sleep(_POLL_SECONDS)


def _get(server: LocalServer, path: str) -> Any:
    answer = httpx.get(f"{server.url}/api{path}", timeout=30, trust_env=False)
    if not answer.is_success:
        raise ClusterError(f"Prefect's server answers {answer.status_code} to {path}")
    return answer.json()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
