"""`dubflow up`: a server for this machine's programs and its own pages, which ends when told to."""

import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import httpx
import pytest
from starlette.applications import Starlette
from starlette.exceptions import StarletteDeprecationWarning
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from flows.runtime.guarded_server import is_loopback, own_hosts, own_origins
from viewer.own_pages import OwnPagesOnly

pytestmark = pytest.mark.dub

with warnings.catch_warnings():  # Prefect brings httpx; Starlette asks for its successor
    warnings.simplefilter("ignore", StarletteDeprecationWarning)
    from starlette.testclient import TestClient

PORT = 4200


def guarded(host: str) -> TestClient:
    """A small server in the place of Prefect's, listening at `host`."""

    async def start_run(request: Request) -> PlainTextResponse:
        return PlainTextResponse("started")

    async def events(socket: WebSocket) -> None:
        await socket.accept()
        await socket.close()

    routes = [Route("/run", start_run, methods=["GET", "POST"]), WebSocketRoute("/events", events)]
    hosts = own_hosts(host)
    return TestClient(
        OwnPagesOnly(
            Starlette(routes=routes),
            hosts=hosts,
            origins=own_origins(hosts, PORT),
            any_address=not is_loopback(host),
        )
    )


@pytest.mark.parametrize(
    ("listening", "host", "origin", "status"),
    [
        ("127.0.0.1", "127.0.0.1:4200", None, 200),
        ("127.0.0.1", "localhost:4200", "http://localhost:4200", 200),
        ("127.0.0.1", "127.0.0.1:4200", "http://localhost:4200", 200),
        ("127.0.0.1", "localhost:9000", "http://localhost:9000", 200),  # forwarded
        ("127.0.0.1", "[::1]:4200", "http://[::1]:4200", 200),
        ("127.0.0.1", "evil.example", None, 400),
        ("127.0.0.1", "evil.example:4200", "http://evil.example:4200", 400),
        ("127.0.0.1", "localhost.evil.example", None, 400),
        ("127.0.0.1", "10.0.0.7:4200", None, 400),
        ("127.0.0.1", "", None, 400),
        ("127.0.0.1", "localhost:4200", "http://evil.example", 403),
        ("127.0.0.1", "localhost:4200", "http://localhost:8000", 403),
        ("127.0.0.1", "localhost:4200", "null", 403),
        ("127.0.0.1", "localhost:4200", "", 403),
        ("0.0.0.0", "10.0.0.7:4200", "http://10.0.0.7:4200", 200),
        ("0.0.0.0", f"{socket.gethostname()}:4200", None, 200),
        ("0.0.0.0", "evil.example:4200", "http://evil.example:4200", 400),
        ("0.0.0.0", "10.0.0.7:4200", "http://10.0.0.8:4200", 403),
    ],
)
def test_who_is_let_in(listening: str, host: str, origin: str | None, status: int) -> None:
    headers = {"Host": host} | ({} if origin is None else {"Origin": origin})
    browser = guarded(listening)
    assert browser.post("/run", headers=headers).status_code == status
    assert browser.get("/run", headers=headers).status_code == status
    if status == 200:
        with browser.websocket_connect("/events", headers=headers):
            return
    with pytest.raises(WebSocketDisconnect), browser.websocket_connect("/events", headers=headers):
        pass


STAND_INS = """
import signal, subprocess, sys
from flows.runtime import local_server

# Whoever runs the tests in the background lets them ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

start = subprocess.Popen
def stand_in(command, **options):
    process = start([sys.executable, "-c", "import time; time.sleep(600)"], **options)
    print(process.pid, flush=True)
    return process

local_server.subprocess.Popen = stand_in
local_server._wait_for = lambda *given, **more: None
local_server.run_prefect = lambda *given, **more: ""
from flows.cli.app import main
main(["up"])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals_end_server_and_worker(number: signal.Signals) -> None:
    command = [sys.executable, "-c", STAND_INS]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout and process.stderr
            children = [int(process.stdout.readline()) for _ in range(2)]
            told = _until("Ctrl-C stops", process.stderr)
            process.send_signal(number)
            assert process.wait(30) == (130 if number == signal.SIGINT else 0)
        finally:
            process.kill()
    assert [line for line in told if line.startswith("starting Prefect's server")]
    assert not [child for child in children if _is_alive(child)]


def _until(words: str, stream: IO[str]) -> list[str]:
    lines = []
    for line in stream:
        lines.append(line)
        if words in line:
            return lines
    raise AssertionError(f"ended after {lines}")


def _is_alive(process: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(process, 0)
        return True
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _up(port: int, home: Path) -> Iterator["subprocess.Popen[str]"]:
    command = [str(Path(sys.executable).with_name("dubflow")), "up", "--port", str(port)]
    with subprocess.Popen(
        [*command, "--home", str(home)], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr
            _until("Ctrl-C stops", process.stderr)
            yield process
        finally:
            process.terminate()
            process.wait(60)


@pytest.mark.slow
def test_the_real_server(tmp_path: Path) -> None:
    port = _free_port()
    own = f"http://127.0.0.1:{port}"
    with _up(port, tmp_path) as process, httpx.Client(base_url=own, trust_env=False) as browser:
        evil = {"Origin": "http://evil.example"}
        assert browser.post("/api/flow_runs/filter", json={}, headers=evil).status_code == 403
        assert browser.get("/api/health", headers={"Host": "evil.example"}).status_code == 400
        page = {"Origin": f"http://localhost:{port}"}
        asked = browser.post("/api/deployments/filter", json={}, headers=page)
        assert len(asked.json()) >= 5
        assert asked.headers["Access-Control-Allow-Origin"] == page["Origin"]
        assert "Access-Control-Allow-Origin" not in browser.get("/api/health").headers
        assert "<html" in browser.get("/", follow_redirects=True).text.lower()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        time.sleep(0.5)
        with pytest.raises(httpx.ConnectError):
            browser.get("/api/health")
