"""`dubflow weights` as a user types it, against a local server that misbehaves on request."""

import hashlib
import io
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from models.published import build
from stores.artifacts.store import Store
from stores.collector import collect
from stores.errors import StoreFull, WeightsError
from stores.weights.download import Download
from stores.weights.registry import FILE, WEIGHTS, find_converted, read_registry
from tasks.weights.networks import load_network
from tests.command import Ended, invoke

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


def checkpoint(value: float = 0.5) -> bytes:
    """A file of a small network, with some hundred kB beside it that nobody needs."""
    network = build("audiodvp_expression")
    state = {key: torch.full_like(w, value) for key, w in network.state_dict().items()}
    file = io.BytesIO()
    torch.save({"state_dict": state, "optimizer": torch.rand(100_000)}, file)
    return file.getvalue()


class Touch:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def etag_of(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


@dataclass
class Site:
    """What the server has and how it behaves.

    Attributes:
        data: The file.
        breaks: After how many bytes of each next answer the connection ends; None: not at all.
        ranges: Whether it honours Range.
        if_range: Whether it honours If-Range, or gives any range without asking.
        statuses: Codes of the next answers that are errors.
        asked: (path, Range, If-Range) of each request.
    """

    data: bytes = b""
    etag: str | None = None
    content_type: str = "application/octet-stream"
    ranges: bool = True
    if_range: bool = True
    location: str | None = None
    breaks: list[int | None] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    asked: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    url: str = ""


def handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            wanted, condition = self.headers["Range"], self.headers["If-Range"]
            site.asked.append((self.path, wanted, condition))
            if site.statuses:
                self.send_error(site.statuses.pop(0))
                return
            if site.location:
                self.send_response(302)
                self.send_header("Location", site.location)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            etag = site.etag or etag_of(site.data)
            start = 0
            if wanted and site.ranges and (condition == etag or not site.if_range):
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            body = site.data[start:]
            self.send_response(206 if start else 200)
            if start:
                last = len(site.data) - 1
                self.send_header("Content-Range", f"bytes {start}-{last}/{len(site.data)}")
            self.send_header("ETag", etag)
            self.send_header("Content-Type", site.content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            stop = site.breaks.pop(0) if site.breaks else None
            self.wfile.write(body[:stop])
            self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            return

    return Handler


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stores.weights.download.time.sleep", lambda seconds: None)


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site(checkpoint())
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(made))
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site: Site) -> Any:
    """Writes a registry of the test's own with the entry `mine`."""
    path = tmp_path / "own.yaml"
    entries: dict[str, Any] = {}
    monkeypatch.setenv("DUBFLOW_WEIGHTS", str(path))
    monkeypatch.setenv("DUBFLOW_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("COLUMNS", "250")

    def add(name: str = "mine", **change: object) -> None:
        entries[name] = {
            "network": "audiodvp_expression",
            "file": f"{name}.pth",
            "page": "https://example.org/mine",
            "address": f"{site.url}/{name}.pth",
            "sha256": hashlib.sha256(site.data).hexdigest(),
            "licence": "none stated",
            "commercial": False,
            "formats": ["torch"],
            "nesting": {"under": ["state_dict"]},
            **change,
        }
        entries[name] = {k: v for k, v in entries[name].items() if v is not None or k in NULLS}
        path.write_text(yaml.safe_dump({"weights": entries}))

    add()
    return add


NULLS = ("commercial",)


def weights(*arguments: object) -> Ended:
    return invoke("weights", *arguments)


def fails(*arguments: object) -> str:
    """The one line that a command ends with."""
    done = weights(*arguments)
    assert done.exit_code == 1, done.output
    assert "Traceback" not in done.output
    lines = [line for line in done.stderr.splitlines() if line.startswith("dubflow: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


def is_there(store: Store, name: str = "mine") -> bool:
    return find_converted(store, name) is not None


def nothing_left(store: Store) -> bool:
    return not list(store.backend.local_path("staging").glob("*"))


def test_pull_fetches_verifies_and_converts(register: Any, site: Site, store: Store) -> None:
    done = weights("pull", "mine")
    assert done.exit_code == 0, done.output
    assert "mine is there" in done.stderr
    network = load_network("mine", store=store)
    assert all(bool((w == 0.5).all()) for w in network.state_dict().values())
    assert nothing_left(store)
    assert weights("pull", "mine").exit_code == 0
    assert len(site.asked) == 1  # not again


def test_pull_goes_on_where_it_broke_off(register: Any, site: Site, store: Store) -> None:
    site.breaks = [100_000, 50_000, 1, None]
    assert weights("pull", "mine").exit_code == 0
    etag = etag_of(site.data)
    assert site.asked == [
        ("/mine.pth", None, None),
        ("/mine.pth", "bytes=100000-", etag),
        ("/mine.pth", "bytes=150000-", etag),
        ("/mine.pth", "bytes=150001-", etag),
    ]
    assert is_there(store)


def test_a_later_command_goes_on_too(register: Any, site: Site, store: Store) -> None:
    site.breaks = [100_000] + [0] * 10
    message = fails("pull", "mine")
    assert "can't be fetched" in message
    assert "100000 bytes are kept, the same command goes on from there" in message
    assert not is_there(store)
    site.breaks, site.asked = [], []
    assert weights("pull", "mine").exit_code == 0
    assert site.asked == [("/mine.pth", "bytes=100000-", etag_of(site.data))]


def test_a_server_without_ranges_starts_over(register: Any, site: Site, store: Store) -> None:
    site.ranges, site.breaks = False, [100_000, 150_000, None]
    assert weights("pull", "mine").exit_code == 0
    assert is_there(store)


def test_halves_of_two_files_are_never_joined(register: Any, site: Site, store: Store) -> None:
    old = site.data
    site.breaks = [100_000] + [0] * 10
    fails("pull", "mine")
    site.data, site.breaks, site.asked = checkpoint(0.25), [], []
    register()
    assert weights("pull", "mine").exit_code == 0
    assert site.asked == [("/mine.pth", "bytes=100000-", etag_of(old))]
    assert bool((load_network("mine", store=store).state_dict()["fc.bias"] == 0.25).all())


@pytest.mark.parametrize("lies", [True, False])
def test_a_server_without_if_range_is_caught(
    register: Any, site: Site, store: Store, lies: bool
) -> None:
    """It sends a range of the new file: another ETag tells, and if that lies, the hash."""
    site.etag = '"same"' if lies else None
    site.breaks = [100_000] + [0] * 10
    fails("pull", "mine")
    site.data, site.breaks, site.if_range = checkpoint(0.25), [], False
    register()
    assert weights("pull", "mine").exit_code == 0
    assert bool((load_network("mine", store=store).state_dict()["fc.bias"] == 0.25).all())


def test_busy_servers_are_asked_again(register: Any, site: Site, store: Store) -> None:
    site.statuses = [503, 429, 500]
    assert weights("pull", "mine").exit_code == 0
    site.statuses = [503] * 10
    register("other")
    assert "503" in fails("pull", "other")


def test_pull_refuses_pages_and_other_files(register: Any, site: Site, store: Store) -> None:
    good = site.data
    site.data, site.content_type = b"<!DOCTYPE html><html>log in", "text/html; charset=utf-8"
    assert "leads to a web page" in fails("pull", "mine")
    site.content_type = "application/octet-stream"
    assert "leads to a web page" in fails("pull", "mine")
    site.data = checkpoint(0.1)
    message = fails("pull", "mine")
    assert "is not mine as published: its SHA-256 is" in message
    register(size=len(good))
    site.data = good[:-7]
    assert f"has {len(good) - 7} bytes, the published one {len(good)}" in fails("pull", "mine")
    site.statuses = [404]
    assert "404" in fails("pull", "mine")
    assert not is_there(store)
    assert not list(store.committed())
    assert nothing_left(store) or not list(store.backend.local_path("staging").rglob("*.pth"))


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/a", "gopher://x/"])
def test_redirects_lead_to_web_servers_only(
    register: Any, site: Site, store: Store, location: str
) -> None:
    site.location = location
    assert "can't be fetched" in fails("pull", "mine")
    assert not is_there(store)


def test_a_redirect_is_followed_and_an_endless_one_is_not(
    register: Any, site: Site, store: Store
) -> None:
    site.location = f"{site.url}/again"
    assert "redirect" in fails("pull", "mine").lower()


def test_pull_goes_through_a_proxy(
    register: Any, site: Site, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The site plays the proxy: it is asked for a whole address of a host that there is not."""
    register(address="http://weights.invalid/mine.pth")
    monkeypatch.setenv("HTTP_PROXY", site.url)
    site.breaks = [100_000, None]
    assert weights("pull", "mine").exit_code == 0
    assert {path for path, *_ in site.asked} == {"http://weights.invalid/mine.pth"}
    monkeypatch.setenv("HTTP_PROXY", "ftp://127.0.0.1")
    register("other")
    assert "the proxy in the environment can't be used" in fails("pull", "other")


def test_unreachable_hosts_are_one_line(register: Any, site: Site) -> None:
    register(address="http://127.0.0.1:9/mine.pth")
    message = fails("pull", "mine")
    assert "can't be fetched" in message
    assert "HTTPS_PROXY" in message


def test_more_than_announced_is_refused(site: Site, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"the published one 5$"):
        Download(f"{site.url}/a", tmp_path / "a", size=5).fetch()
    assert not (tmp_path / "a").exists()


def test_a_full_disk_is_told_before(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "stores.weights.download.shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000})
    )
    with pytest.raises(StoreFull, match="MB, 0 MB are free"):
        Download(f"{site.url}/a", tmp_path / "a").fetch()


def test_progress_is_told(site: Site, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    site.breaks = [100_000, None]
    download = Download(
        f"{site.url}/a", tmp_path / "a", report=lambda done, total: told.append((done, total))
    )
    assert download.fetch().read_bytes() == site.data
    assert download.resumed
    assert told[-1] == (len(site.data), len(site.data))
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_pull_says_when_a_browser_is_needed(register: Any) -> None:
    message = fails("pull", "wav2lip_gan")
    assert "its page is made for browsers" in message
    assert read_registry()["wav2lip_gan"].page in message
    assert "`dubflow weights add wav2lip_gan wav2lip_gan.pth`" in message


def test_pull_fetches_what_completes_it_first(register: Any, site: Site, store: Store) -> None:
    register("part")
    register("mine", completed_by=[{"entry": "part", "prefix": "p."}])
    assert weights("pull", "mine").exit_code == 0
    assert [path for path, *_ in site.asked] == ["/part.pth", "/mine.pth"]


def test_add_list_show_verify(register: Any, site: Site, store: Store, tmp_path: Path) -> None:
    file = tmp_path / "downloaded.pth"
    file.write_bytes(site.data)
    done = weights("add", "mine", file)
    assert done.exit_code == 0, done.output
    assert "no commercial use: none stated" in done.stderr
    file.unlink()

    listed = weights("list")
    line = next(line for line in listed.stdout.splitlines() if line.split()[0] == "mine")
    assert line.split()[:3] == ["mine", "there", "no"]
    assert line.split()[-3:] == ["audiodvp_expression", "none", "stated"]
    assert "wav2lip_gan" in listed.stdout
    rows = json.loads(weights("list", "--json", "--there").stdout)
    assert [(row["name"], row["commercial"]) for row in rows] == [("mine", False)]
    assert len(json.loads(weights("list", "--json", "--network", "wav2lip").stdout)) == 6

    shown = weights("show", "mine").stdout
    assert hashlib.sha256(site.data).hexdigest() in shown
    assert "not allowed" in shown
    told = weights("show", "wav2lip_gan").stdout
    assert "to get it" in told
    page = json.loads(weights("show", "wav2lip_gan", "--json").stdout)["page"]
    assert len(page) > 60 and told.count(page) == 2, "in one line each, longer than a terminal"
    assert json.loads(weights("show", "mine", "--json").stdout)["record"]["size"] == len(site.data)

    assert "1 weights checked, 0 damaged" in weights("verify").stderr
    assert collect(store, dry_run=False).artifacts == []
    kept = find_converted(store, "mine")
    assert kept is not None
    path = kept.file(FILE)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    verified = weights("verify", "--json")
    assert verified.exit_code == 1
    assert json.loads(verified.stdout)["damaged"] == {
        "mine": [f"{FILE} has other bytes than were committed"]
    }
    artifacts = invoke("artifacts", "verify", "--remove")
    assert artifacts.exit_code == 0
    assert json.loads(weights("list", "--json", "--there").stdout) == []
    assert weights("pull", "mine").exit_code == 0
    assert store.find(WEIGHTS.kind, kept.key) is not None


def test_at_80_columns_nothing_of_a_licence_is_cut(
    register: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(licence="none stated; README: research and personal, non-commercial use only")
    monkeypatch.setenv("COLUMNS", "80")
    lines = weights("list").stdout.splitlines()
    assert max(map(len, lines)) <= 80 and "…" not in "".join(lines)
    first = next(place for place, line in enumerate(lines) if line.startswith("mine "))
    words = [lines[first].partition("pull")[2], *lines[first + 1 : first + 5]]
    assert "none stated; README: research and personal, non-commercial use only" in " ".join(
        " ".join(words).split()
    )


def test_add_refuses_in_one_line(register: Any, site: Site, tmp_path: Path) -> None:
    file = tmp_path / "a.pth"
    assert "can't be read" in fails("add", "mine", file)
    file.write_bytes(b"<html>Google Drive - Virus scan warning</html>")
    assert "is a web page" in fails("add", "mine", file)
    register(sha256=None, address=None)
    file.write_bytes(site.data[:50_000])
    assert "damaged or broken off" in fails("add", "mine", file)
    torch.save({"state_dict": {}, "x": Touch(tmp_path / "was-run")}, file)
    assert "is refused: to load it would call " in fails("add", "mine", file)
    assert not (tmp_path / "was-run").exists()
    file.write_bytes(site.data)
    assert weights("add", "mine", file).exit_code == 0
    file.write_bytes(checkpoint(0.75))
    assert "add --replace" in fails("add", "mine", file)
    assert weights("add", "mine", file, "--replace").exit_code == 0
    assert "no weights are called 'nine'; did you mean mine?" in fails("add", "nine", file)


@pytest.mark.parametrize("command", ["list", "show", "pull", "add", "verify"])
def test_help_teaches(command: str) -> None:
    done = weights(command, "--help")
    assert done.exit_code == 0
    assert "--store" in done.stdout
