"""A dub on a real server, and pages in a real browser."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from flows.dub import dub
from flows.settings import read_settings
from stores.artifacts.store import Store
from stores.dataset_index import index_schema, write_table
from stores.runs import find_run
from tests.flows.conftest import FRAMES, cut_wav
from tests.media_factory import EXAMPLE, make_video

FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
NAME = 'a <img src=x onerror="alert(1)"> & b.mp4'
"""Of the dubbed file: what comes from outside must not become HTML."""


@dataclass(frozen=True)
class Served:
    """A store with one dub, and its server.

    Attributes:
        address: With the token.
        run: Id of the dub's record.
    """

    address: str
    run: str
    store: Path


@dataclass
class Told:
    """What a page complained of."""

    errors: list[str] = field(default_factory=list)

    def console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, or what CHROMIUM names; without one, no test of this folder runs."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if found is None:
        pytest.skip("no chromium here: apt-get install chromium, or say where with CHROMIUM=…")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def served(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """60 frames of the example's face, dubbed and served by `dubflow inspect`."""
    folder = tmp_path_factory.mktemp("inspect")
    video = folder / "talk.mp4"
    make_video(video, frames=FRAMES, size=(400, 300), real_faces=True, audio="aac")
    speech = cut_wav(EXAMPLE.with_name("jfk.wav"), folder, 0.3, 2.7)
    store = folder / "store"
    given = {"video": video, "audio": speech, "output": folder / NAME, "store": str(store)}
    report = dub(read_settings(None, [], given))
    with serving("--store", store) as address:
        yield Served(address, report.run, store)


class serving:
    """`dubflow inspect` as a process of its own, for as long as the block lasts."""

    def __init__(self, *options: object) -> None:
        main = "from flows.cli.app import main; main()"
        words = [sys.executable, "-c", main, "inspect", "--no-browser", *map(str, options)]
        self._process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)

    def __enter__(self) -> str:
        stderr = self._process.stderr
        assert stderr is not None
        for line in stderr:
            if found := re.search(r"http://\S+token=\S+", line):
                return found.group()
        raise AssertionError("the server said no address")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate(timeout=30)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def page(browser: Browser, told: Told) -> Iterator[Page]:
    """A page of 1280 × 720 that must not complain of anything."""
    with browser.new_context(viewport={"width": 1280, "height": 720}) as context:
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", told.console)
        page.on("pageerror", lambda error: told.errors.append(str(error)))
        page.on("dialog", lambda dialog: told.errors.append(f"dialog: {dialog.message}"))
        yield page
        page.goto("about:blank")
    assert not told.errors


@pytest.fixture
def opened(page: Page, served: Served) -> Page:
    """The dub's page, whose first picture is shown."""
    page.goto(f"{served.address}#/run/{served.run}")
    shows(page, 0)
    return page


def shows(page: Page, row: int) -> None:
    """Wait until that row's exact pictures are on the screen."""
    page.wait_for_selector(f"stage-view[data-shown='{row}']")


def row(page: Page) -> int:
    """Where the cursor is."""
    return int(page.get_by_role("slider", name="Time cursor").get_attribute("aria-valuenow") or -1)


def until(page: Page, what: str) -> None:
    """Wait until an expression is true. (The page's policy forbids playwright's own way.)"""
    deadline = time.monotonic() + 30
    while not page.evaluate(what):
        assert time.monotonic() < deadline, f"never came true: {what}"
        page.wait_for_timeout(50)


Press = Callable[[str], None]


@pytest.fixture
def press(opened: Page) -> Press:
    """Press keys, one after the other."""

    def keys(names: str) -> None:
        for name in names.split():
            opened.keyboard.press(name)

    return keys


@pytest.fixture(scope="session")
def index(served: Served) -> Path:
    """24 parts of the clip, whose made-up score rises from 0 to 23."""
    store = Store(str(served.store))
    record = find_run(store, served.run)
    keys = {kind: dict(record.artifacts)[kind] for kind in ("timeline", "landmarks", "waveform")}
    rows = [
        {
            "dataset": "folder",
            "split": "validation" if number % 4 == 0 else "train",
            "person": f"p{number % 5}",
            "clip": f"talk_{number}.mp4",
            "path": record.settings["video"],
            "start": number,
            "stop": number + 24,
            "seconds": 0.96,
            "face_px": float(number),
            **keys,
            "kept": True,
            "dropped_by": [],
        }
        for number in range(24)
    ]
    path = served.store.parent / "index.parquet"
    schema = index_schema({"face_px": ("median height of the face", "px")})
    write_table(path, schema, rows, {"store": store.url})
    return path
