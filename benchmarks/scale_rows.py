"""What a row of a batch costs, without Prefect and as a task run of a real server."""

import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import httpx
import psutil

import flows.batch
from benchmarks.scale_parts import CountingProxy, free_port, processor_seconds
from benchmarks.scale_record import manifest
from benchmarks.scale_toys import copy_row
from flows.batch import batch
from flows.batches.settings import BatchSettings
from flows.runtime.local_server import local_server
from viewer.sheet import contact_sheet

A = TypeVar("A")

_SETTLE_SECONDS = 4.0
"""The server goes on for a while with what a run has told it."""


@dataclass(frozen=True)
class RowCost:
    """One row whose stages cost nothing.

    Attributes:
        wall: Seconds.
        command: Processor seconds.
        server: Processor seconds of Prefect's server.
        requests: HTTP requests to it.
        events: That it keeps.
        runs: Flow and task runs.
    """

    wall: float
    command: float
    server: float = 0.0
    requests: float = 0.0
    events: float = 0.0
    runs: float = 0.0


@dataclass(frozen=True)
class PrefectCost:
    """Rows, and what the server can take.

    Attributes:
        plain: A row without Prefect.
        prefect: A row as a task run; its contact sheet is shown, but not drawn.
        batch: Requests of a batch besides those of its rows.
        requests_per_second: That the server answers, with one processor.
    """

    plain: RowCost
    prefect: RowCost
    batch: float
    requests_per_second: float


def prefect_cost(video: Path, sound: Path, folder: Path, *, rows: int) -> PrefectCost:
    """Measured on two batches, so that what a batch costs by itself is left out."""
    folder.mkdir()
    few = 2
    given = {"video": str(video), "audio": str(sound)}

    def settings(kind: str, count: int) -> BatchSettings:
        return manifest(folder / f"{kind}{count}", count, given)

    with mock.patch.object(flows.batch, "dub", copy_row):
        _timed(batch, settings("warm", 1))
        short = _timed(batch, settings("plain", few))
        long = _timed(batch, settings("plain", few + rows))
    plain = RowCost(*((a - b) / rows for a, b in zip(long, short, strict=True)))
    port = free_port()
    with (
        local_server(host="127.0.0.1", port=port, pools=(), home=folder / "home", data=folder),
        CountingProxy(port) as proxy,
    ):
        os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{proxy.port}/api"
        from flows import prefect_flows  # reads the address

        server = _Server(port, proxy)
        sheet = contact_sheet(video)
        with (
            mock.patch.object(prefect_flows, "dub", copy_row),
            mock.patch.object(prefect_flows, "contact_sheet", lambda path: sheet),
        ):
            server.watched(prefect_flows.batch_flow, settings("first", 1))
            first = server.watched(prefect_flows.batch_flow, settings("prefect", few))
            second = server.watched(prefect_flows.batch_flow, settings("prefect", few + rows))
        capacity = server.requests_per_second(4.0)
    row = {name: (second[name] - first[name]) / rows for name in first}
    assert row["runs"] <= 1 + 1e-9, "more than one run for a clip"
    return PrefectCost(plain, RowCost(**row), first["requests"] - few * row["requests"], capacity)


def sheet_cost(video: Path) -> tuple[float, float]:
    """Seconds of wall, and of processors, that drawing the contact sheet of a result takes."""
    spent = [_timed(contact_sheet, video) for _ in range(3)]
    return min(wall for wall, _ in spent), min(mine for _, mine in spent)


def _timed(perform: Callable[[A], Any], given: A) -> tuple[float, float]:
    """Seconds of wall, and of this process."""
    start, mine = time.perf_counter(), time.process_time()
    perform(given)
    return time.perf_counter() - start, time.process_time() - mine


class _Server:
    """Prefect's, from outside."""

    def __init__(self, port: int, proxy: CountingProxy) -> None:
        self._url = f"http://127.0.0.1:{port}/api"
        self._proxy = proxy
        self._processes = [
            child
            for child in psutil.Process().children()
            if {"prefect", "server"} <= set(child.cmdline())
        ]

    def watched(
        self, perform: Callable[[BatchSettings], Any], settings: BatchSettings
    ) -> Mapping[str, float]:
        """Wall, processor seconds of this process and of the server, requests, events, runs."""
        idle = processor_seconds(self._processes)
        time.sleep(_SETTLE_SECONDS)
        spent = processor_seconds(self._processes)
        idle = (spent - idle) / _SETTLE_SECONDS
        requests, kept = self._proxy.counts(), self._kept()
        start = time.perf_counter()
        wall, command = _timed(perform, settings)
        time.sleep(_SETTLE_SECONDS)
        busy = processor_seconds(self._processes) - spent
        found = self._kept()
        return {
            "wall": wall,
            "command": command,
            "server": busy - idle * (time.perf_counter() - start),
            "requests": (self._proxy.counts() - requests).total(),
            "events": found["events"] - kept["events"],
            "runs": found["runs"] - kept["runs"],
        }

    def requests_per_second(self, seconds: float) -> float:
        """Artifacts as rows make them, from four connections; for each second of its processor."""
        body = {"key": "row", "type": "image", "data": "x" * 1000}
        deadline = time.monotonic() + seconds

        def post() -> int:
            count = 0
            with httpx.Client(trust_env=False, timeout=30) as client:
                while time.monotonic() < deadline:
                    client.post(f"{self._url}/artifacts/", json=body).raise_for_status()
                    count += 1
            return count

        spent = processor_seconds(self._processes)
        with ThreadPoolExecutor(4) as pool:
            made = sum(pool.map(lambda _: post(), range(4)))
        return made / (processor_seconds(self._processes) - spent)

    def _kept(self) -> dict[str, float]:
        with httpx.Client(trust_env=False, timeout=30) as client:

            def ask(path: str, body: Mapping[str, Any]) -> Any:
                answer = client.post(f"{self._url}{path}", json=body)
                answer.raise_for_status()
                return answer.json()

            runs = sum(float(ask(f"/{sort}_runs/count", {})) for sort in ("flow", "task"))
            events = float(ask("/events/filter", {"limit": 1})["total"])
        return {"runs": runs, "events": events}
