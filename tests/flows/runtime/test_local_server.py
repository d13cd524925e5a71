"""The local server is waited for with care: only our own counts, and a dead one at once."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest

from flows.runtime import local_server
from stores.errors import ClusterError

pytestmark = pytest.mark.dub

SERVER = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    answered = 0
    def do_GET(self):
        Handler.answered += 1
        with open(sys.argv[2], "a") as log:
            log.write("asked\\n")
        self.send_response(200 if Handler.answered > 2 else 503)
        self.end_headers()
    def log_message(self, *args):
        pass
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def started(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, *arguments], text=True)


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def somebody_elses(port: int) -> Iterator[int]:
    """A server that answers everything, which is not ours."""

    class Fine(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", port), Fine)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield port
    server.shutdown()
    server.server_close()


def test_folders_are_those_of_who_starts_it_wherever_its_workers_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = local_server._environment("127.0.0.1", 1, Path("home"), Path("clips"))
    assert [told[name] for name in ("PREFECT_HOME", "DUBFLOW_DATA")] == [
        str(tmp_path / "home"),
        str(tmp_path / "clips"),
    ]


def test_a_server_that_has_ended_is_told_at_once(port: int) -> None:
    start = time.monotonic()
    with (
        started("-c", "raise SystemExit(3)") as child,
        pytest.raises(ClusterError, match=rf"ended at once \(status 3\); is port {port} taken"),
    ):
        local_server._wait_for(child, "127.0.0.1", port)
    assert time.monotonic() - start < 20


PARENT = """
import os, time
from flows.runtime.local_server import _process
with _process(["0", "--bind", "127.0.0.1"], dict(os.environ), module="http.server") as first:
    with _process(["0", "--bind", "127.0.0.1"], dict(os.environ), module="http.server") as second:
        print(first.pid, second.pid, flush=True)
        time.sleep(600)
"""


def test_what_was_started_ends_with_its_parent() -> None:
    """Also after `kill -9`, which leaves the parent no time to stop anything."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    children = [psutil.Process(int(number)) for number in parent.stdout.readline().split()]
    assert len(children) == 2 and all(child.is_running() for child in children)
    parent.kill()
    parent.communicate()
    _, alive = psutil.wait_procs(children, timeout=60)
    for child in alive:
        child.kill()
    assert not alive


def test_another_server_at_the_port_is_not_taken_for_ours(
    somebody_elses: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_server, "_START_SECONDS", 2.0)
    child = started("-c", "import time; time.sleep(60)")
    try:
        with pytest.raises(ClusterError, match="did not answer"):
            local_server._wait_for(child, "127.0.0.1", somebody_elses)
    finally:
        child.kill()
        child.wait()


def test_a_server_that_is_not_ready_is_asked_again_with_pauses(port: int, tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = started("-c", SERVER, str(port), str(log))
    try:
        local_server._wait_for(child, "127.0.0.1", port)
    finally:
        child.kill()
        child.wait()
    assert log.read_text().splitlines() == ["asked"] * 3
