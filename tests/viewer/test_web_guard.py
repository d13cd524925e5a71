"""Who is refused, in one line, and what a page may run."""

import base64
import hashlib
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest

from stores.artifacts.store import Store
from tests.command import invoke
from tests.media_factory import make_video
from tests.viewer.conftest import TOKEN, Open, only_seen
from viewer.web.guard import guarded_page


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, str]:
    """A store with a run that looked at 30 frames."""
    folder = tmp_path_factory.mktemp("guarded")
    store = Store(folder / "store")
    return store, only_seen(store, make_video(folder / "a.mp4", frames=30))


def files(store: Store) -> dict[str, int]:
    root = Path(store.url)
    return {str(path): path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def test_without_the_token_nothing_is_given(seen: tuple[Store, str], browse: Open) -> None:
    store, run = seen
    page = browse(store, token=None, port=8766)
    for address in ("/", "/static/app.js", "/api/session", f"/api/runs/{run}", "/nothing"):
        answer = page.get(address)
        assert answer.status_code == 401 and list(answer.json()) == ["error"]
    for wrong in ("", "x", TOKEN[:-1], TOKEN + "x", "täter"):
        assert page.get("/api/session", params={"token": wrong}).status_code == 401
    assert page.get("/api/session", params={"token": TOKEN}).status_code == 200
    assert page.get("/api/session").status_code == 401
    page.cookies.set("dubflow_inspect_8767", TOKEN)
    assert page.get("/api/session").status_code == 401
    page.cookies.set("dubflow_inspect_8766", TOKEN)
    assert page.get("/api/session").status_code == 200


def test_foreign_pages_and_names_are_refused(seen: tuple[Store, str], browse: Open) -> None:
    page = browse(seen[0])
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
        assert page.get("/api/session", headers={"Origin": origin}).status_code == 403
    assert page.get("/api/session", headers={"Host": "evil.example"}).status_code == 400
    assert page.get("/api/session", headers={"Origin": "http://127.0.0.1"}).status_code == 200
    job = f"/api/runs/{seen[1]}/suspects"
    assert page.post(job, headers={"X-Dubflow": "0"}).status_code == 403
    assert page.post(job, content=b"x" * (1 << 21)).status_code == 413
    assert page.post(job).json() == {"error": "this server starts no jobs"}


HOSTILE = [
    "/static/../app.py",
    "/static/%2e%2e/app.py",
    "/static/..%2fapp.py",
    "/static/%252e%252e%252fapp.py",
    "/static//etc/passwd",
    "/static/%00",
    "/api/runs/..%2f..%2fcatalog",
    "/api/runs/%2e%2e/times",
    "/api/artifacts/..%2f..%2fetc/passwd",
    "/api/artifacts/timeline/..%2f..%2fruns",
    "/api/artifacts/runs/" + "0" * 32,
    "/api/jobs/..%2f..",
    "/api/runs/RUN/frames/source/-1",
    "/api/runs/RUN/frames/source/99999999999999999999",
    "/api/runs/RUN/frames/source/3?width=0",
    "/api/runs/RUN/frames/source/3?width=1e9",
    "/api/runs/RUN/frames/source/3?format=svg",
    "/api/runs/RUN/frames/passwd/3",
    "/api/runs/RUN/source/30",
    "/api/runs/RUN/thumb/..%2fruns/3",
    "/api/runs/RUN/overlays/%3Cscript%3E/3",
    "/api/runs/RUN/tracks/score:..%2f",
    "/api/runs/RUN/waveform/own?points=100000000",
    "/api/runs/RUN/waveform/own?from=nan&to=inf",
    "/api/runs/RUN/sound/own?from=-1&to=1e300",
    "/api/runs/RUN/mel/own?height=100000",
    "/api/runs/RUN/play/dub",
    "/api/runs?limit=100000000",
]


@pytest.mark.parametrize("address", HOSTILE)
def test_odd_addresses_are_answered_in_one_line(
    address: str, seen: tuple[Store, str], browse: Open
) -> None:
    store, run = seen
    before = files(store)
    answer = browse(store).get(address.replace("RUN", run))
    assert 400 <= answer.status_code < 500, answer.text
    assert list(answer.json()) == ["error"] and "\n" not in answer.text
    assert "root:" not in answer.text and "Traceback" not in answer.text
    assert files(store) == before


def test_page_may_run_its_own_scripts_only(seen: tuple[Store, str], browse: Open) -> None:
    imports = '{"imports": {"lit": "/static/vendor/lit.js"}}'
    text = f'<meta content="STYLE_NONCE"><script type="importmap">{imports}</script>'
    page, allowed = guarded_page(text)
    digest = base64.b64encode(hashlib.sha256(imports.encode()).digest()).decode()
    assert f"script-src 'self' 'sha256-{digest}';" in allowed
    (nonce,) = re.findall(r"style-src 'self' 'nonce-([\w-]+)'", allowed)
    assert nonce in page and "STYLE_NONCE" not in page
    assert guarded_page(text)[0] != page
    for directive in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"):
        assert directive in allowed
    assert "unsafe" not in allowed
    answer = browse(seen[0]).get("/api/session")
    assert "script-src 'self';" in answer.headers["content-security-policy"]
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_command_refuses_an_open_door() -> None:
    ended = invoke("inspect", "--host", "0.0.0.0", "--no-browser")
    assert ended.exit_code == 1 and "--token" in ended.stderr
    ended = invoke("inspect", "--token", "short", "--no-browser")
    assert ended.exit_code == 1 and "16 letters" in ended.stderr


@pytest.fixture
def served(seen: tuple[Store, str]) -> Iterator[tuple[str, int, psutil.Process]]:
    """The command, run as a user runs it: its token, its port and its process."""
    program = "from flows.cli.app import main; main()"
    command = [sys.executable, "-c", program, "inspect", "--store", seen[0].url, "--no-browser"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"127\.0\.0\.1:(\d+)/\?token=([\w-]+)", line)
        assert found, line
        try:
            yield found[2], int(found[1]), psutil.Process(process.pid)
        finally:
            process.terminate()


@pytest.mark.long
def test_server_outlives_a_flood_and_stays_small(
    served: tuple[str, int, psutil.Process], seen: tuple[Store, str]
) -> None:
    token, port, process = served
    before = files(seen[0])

    def ask(first: int) -> set[int]:
        """Every eighth of the requests, one after the other."""
        found = set()
        client = HTTPConnection("127.0.0.1", port, timeout=60)
        for number in range(first, 5_000, 8):
            address = (
                f"/api/runs/{seen[1]}/frames/source/{number * 7 % 30}?width={100 + number % 60}",
                "/api/session",
                f"/api/runs/{seen[1]}",
                "/static/%2e%2e/app.py",
                f"/api/runs/{number:012x}",
            )[number % 5]
            client.request("GET", address, headers={"Authorization": f"Bearer {token}"})
            answer = client.getresponse()
            answer.read()
            found.add(answer.status)
        client.close()
        return found

    with ExitStack() as sockets, ThreadPoolExecutor(8) as clients:
        for number in range(100):
            half = sockets.enter_context(socket.create_connection(("127.0.0.1", port)))
            half.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"y" * number)
        sizes = []
        for _ in range(2):
            assert set().union(*clients.map(ask, range(8))) == {200, 404}
            sizes.append(process.memory_info().rss >> 20)
    assert sizes[1] <= 300 and sizes[1] - sizes[0] <= 24, sizes
    assert files(seen[0]) == before
    with pytest.raises(urllib.error.HTTPError, match="401") as refused:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/")
    refused.value.close()
