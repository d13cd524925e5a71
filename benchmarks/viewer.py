"""How quickly `dubflow inspect` shows a dub, and how much memory its server takes.

    python -m benchmarks.viewer FOLDER [--minutes 60] [--requests 10000]

Measured in Chromium where it and playwright are installed, as a user sees it: from the key, or the
opening of the page, until the exact pictures of source and dub are on the screen. Without them,
from the request to the answer.

An hour is not dubbed for this: its video is half a minute repeated packet by packet. Timeline,
waveform, output frames, composite and file are made by their stages; landmarks, motion and lenders
are the rows of a real dub of ten seconds, repeated, in files as the stages write them. There is no
render and there are no crops of that hour.
"""

import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.command import command_parser, table
from benchmarks.sources import speech, talking_video
from flows.dub import Tracks, dub, with_sound
from flows.settings import DubSettings, read_settings
from stores.artifacts.artifact import Artifact
from stores.artifacts.builder import Derivation
from stores.artifacts.schema import Schema
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.runs import RunRecord, find_run, record_run, recorded_runs
from tasks.engine.open_run import open_run
from tasks.methods.exemplar import LENDERS
from tasks.result.composite import composite
from tasks.result.output_frames import lay_out, output_frames
from tasks.source.landmarks import LANDMARKS
from tasks.source.seen import Seen
from tasks.source.timeline import timeline
from tasks.speech.mel import mel
from tasks.speech.motion import MOTION
from tasks.speech.waveform import waveform

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SHORT_SECONDS = 10
SMALL, LARGE = (160, 120), (1280, 720)
OPENINGS, STEPS, SEEKS = 5, 60, 40
_STEP_PAUSE, _SEEK_PAUSE = 0.04, 0.4
_FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
_NOTES_SHOWN = """
new MutationObserver(() => {
  const view = document.querySelector("stage-view[data-shown]");
  if (view && window.firstShown === undefined) window.firstShown = performance.now();
}).observe(document, {subtree: true, childList: true, attributes: true});
"""
_GO = """
row => new Promise(resolve => {
  const view = document.querySelector("stage-view"), began = performance.now();
  const look = () => view.dataset.shown === String(row)
    ? resolve(performance.now() - began) : requestAnimationFrame(look);
  document.querySelector("run-view").model.cursor.go(row);
  look();
})
"""

_PLAY = """
seconds => new Promise(resolve => {
  const { cursor, player } = document.querySelector("run-view").model, apart = [];
  player.toggle();
  const began = performance.now();
  const look = () => {
    if (player.video.currentTime > 0 && !player.video.paused)
      apart.push(cursor.row - cursor.at(player.video.currentTime));
    if (performance.now() - began < 1000 * seconds) return requestAnimationFrame(look);
    player.toggle();
    resolve(apart);
  };
  look();
})
"""
"""How many frames the cursor is from the one that belongs to the sound, at each refresh."""

Times = list[float]
"""In ms."""


@dataclass(frozen=True)
class Served:
    """A server and one run that it shows."""

    address: str
    process: psutil.Process
    run: str
    rows: int

    @property
    def memory_mib(self) -> int:
        """Resident memory now."""
        return int(self.process.memory_info().rss >> 20)


def main() -> None:
    """Print the tables."""
    parser = command_parser(__doc__)
    parser.add_argument("folder", type=Path, help="for videos and the store; kept, and used again")
    parser.add_argument("--minutes", type=int, default=60, help="of the long clip")
    parser.add_argument("--requests", type=int, default=10_000)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    store = Store(given.folder / "store")
    real = {size: _dubbed(store, given.folder, size) for size in (SMALL, LARGE)}
    long = _repeated(store, given.folder, real[SMALL], 60 * given.minutes)
    with ExitStack() as held:
        browser = held.enter_context(_browser())
        where = "Chromium" if browser else "HTTP, without a browser"
        print(f"measured: {where}; {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
        columns = ("what", "n", "p50 [ms]", "p95 [ms]")
        opened = {}
        rows = []
        for name, run in (("10 s", real[SMALL]), (f"{given.minutes} min", long)):
            opened[name] = _openings(store, run, browser)
            rows.append(_line(f"first picture, {name}", opened[name]))
        for name, run in (("10 s, 720p", real[LARGE]), (f"{given.minutes} min", long)):
            with _serving(store, run) as served, _looking(served, browser) as go:
                rows += [_line(f"{what}, {name}", took) for what, took in _moves(served, go)]
        table(columns, rows)
        if browser:
            print(f"\nplaying: {_played(store, real[LARGE], browser)}")
        short, slow = (float(np.median(times)) for times in opened.values())
        print(f"\nopening {given.minutes} min against 10 s: ratio {slow / short:.2f}")
        with _serving(store, long) as served:
            table(("requests", "server's memory [MiB]"), _flood(served, given.requests))


def _line(what: str, times: Times) -> tuple[object, ...]:
    return what, len(times), *(f"{np.percentile(times, q):.0f}" for q in (50, 95))


def _openings(store: Store, run: RunRecord, browser: "Browser | None") -> Times:
    """First pictures, each from a server that has just begun, in a browser that knows nothing."""
    times = []
    for _ in range(OPENINGS):
        with _serving(store, run) as served:
            if browser is None:
                ask = _asker(served)
                began = time.perf_counter()
                for part in ("", "/times", "/frames/source/0", "/frames/dub/0"):
                    ask(f"/api/runs/{run.id}{part}")
                times.append(1000 * (time.perf_counter() - began))
                continue
            with browser.new_context(viewport={"width": 1280, "height": 720}) as context:
                page = context.new_page()
                page.add_init_script(_NOTES_SHOWN)
                page.goto(f"{served.address}#/run/{run.id}")
                page.wait_for_selector("stage-view[data-shown='0']")
                times.append(float(page.evaluate("window.firstShown")))
    return times


@contextmanager
def _looking(served: Served, browser: "Browser | None") -> Iterator[Callable[[int], float]]:
    """Goes to a row, and says how long that took [ms]."""
    if browser is None:
        ask = _asker(served)

        def asked(row: int) -> float:
            began = time.perf_counter()
            for which in ("source", "dub"):
                ask(f"/api/runs/{served.run}/frames/{which}/{row}?width=768")
            return 1000 * (time.perf_counter() - began)

        yield asked
        return
    with browser.new_context(viewport={"width": 1280, "height": 720}) as context:
        page = context.new_page()
        page.goto(f"{served.address}#/run/{served.run}")
        page.wait_for_selector("stage-view[data-shown='0']")
        page.wait_for_timeout(3000)
        yield lambda row: float(page.evaluate(_GO, row))


def _played(store: Store, run: RunRecord, browser: "Browser") -> str:
    """How the pictures keep to the sound of the player."""
    with _serving(store, run) as served, browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{served.address}#/run/{served.run}")
        page.wait_for_selector("stage-view[data-shown='0']")
        page.wait_for_timeout(3000)
        apart = np.abs(page.evaluate(_PLAY, 5))
    share = (apart <= 1).mean() if len(apart) else 0
    return (
        f"{len(apart)} refreshes in 5 s, {share:.0%} within one frame of the sound, "
        f"at most {max(apart, default=0)} frames"
    )


def _moves(served: Served, go: Callable[[int], float]) -> Iterator[tuple[str, Times]]:
    middle = served.rows // 2
    for name, step in (("step on", 1), ("step back", -1)):
        go(middle)
        time.sleep(1)
        took = []
        for number in range(1, STEPS + 1):
            took.append(go(middle + step * number))
            time.sleep(_STEP_PAUSE)
        yield name, took
    seeks = []
    for row in random.Random(1).choices(range(served.rows), k=SEEKS):
        seeks.append(go(row))
        time.sleep(_SEEK_PAUSE)
    yield "random seek", seeks


def _flood(served: Served, requests: int) -> Iterator[tuple[int, int]]:
    """Memory after more and more requests of all kinds."""
    ask, draw = _asker(served), random.Random(2)
    base = f"/api/runs/{served.run}"
    for number in range(1, requests + 1):
        row = draw.randrange(served.rows)
        address = draw.choice(
            [
                f"{base}/frames/dub/{row}?width={draw.randrange(64, 320)}",
                f"{base}/frames/source/{row}",
                f"{base}/overlays/landmarks/{row}",
                f"{base}/thumb/composite/{row}",
                f"{base}/sound/speech?from={row / 30:.2f}&to={row / 30 + 5:.2f}",
                f"{base}/waveform/speech?points=2000",
                f"{base}/tracks/opening_seen",
                base,
            ]
        )
        ask(address)
        if number in (1, requests // 10, requests // 2, requests):
            yield number, served.memory_mib


def _asker(served: Served) -> Callable[[str], bytes]:
    place = urlsplit(served.address)
    client = HTTPConnection(place.netloc, timeout=60)
    headers = {"Authorization": f"Bearer {parse_qs(place.query)['token'][0]}"}

    def ask(address: str) -> bytes:
        client.request("GET", address, headers=headers)
        answer = client.getresponse()
        body = answer.read()
        if answer.status >= 400:
            raise SystemExit(f"{address}: {body.decode()}")
        return body

    return ask


@contextmanager
def _serving(store: Store, run: RunRecord) -> Iterator[Served]:
    """The command as a user runs it."""
    command = [sys.executable, "-c", "from flows.cli.app import main; main()", "inspect", run.id]
    command += ["--store", store.url, "--no-browser"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = re.search(r"http://\S+token=\S+", process.stderr.readline())
        if found is None:
            raise SystemExit("the server said no address")
        rows = store.get(*_item(run, "output_frames")).sizes["frame"]
        try:
            yield Served(found.group(), psutil.Process(process.pid), run.id, rows)
        finally:
            process.terminate()


@contextmanager
def _browser() -> Iterator["Browser | None"]:
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if path is None or find_spec("playwright") is None:
        yield None
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield browser
        browser.close()


def _settings(store: Store, folder: Path, size: tuple[int, int], seconds: int) -> DubSettings:
    name = f"{seconds}s-{size[0]}x{size[1]}"
    given = {
        "video": talking_video(
            folder / f"{name}.mp4", seconds=seconds, width=size[0], height=size[1]
        ),
        "audio": speech(folder / f"{seconds}s.wav", seconds=seconds),
        "output": folder / f"{name}.dub.mp4",
        "store": store.url,
    }
    return read_settings(None, [], given)


def _known(store: Store, settings: DubSettings) -> RunRecord | None:
    runs = (run for run in recorded_runs(store) if run.output == str(settings.output.absolute()))
    return next(runs, None)


def _dubbed(store: Store, folder: Path, size: tuple[int, int]) -> RunRecord:
    """A real dub of ten seconds."""
    settings = _settings(store, folder, size, SHORT_SECONDS)
    return _known(store, settings) or find_run(store, dub(settings, catalog=False).run)


def _repeated(store: Store, folder: Path, real: RunRecord, seconds: int) -> RunRecord:
    """A long dub, see the module."""
    settings = _settings(store, folder, SMALL, seconds)
    if (known := _known(store, settings)) is not None:
        return known
    with open_run(store, workers=os.cpu_count() or 1) as run:
        video, sound = Source.of(settings.video), Source.of(settings.speech)
        clip, said = timeline(video), waveform(sound)
        mel(said)
        waveform(video)
        showing, length = lay_out(clip, float(said.attributes["seconds"]), settings.sync)
        frames = output_frames(clip, showing=showing)
        face = _longer(store, real, LANDMARKS, {"timeline": clip}, clip.sizes["frame"])
        seen = Seen(video, clip, face, None)
        rows = frames.sizes["frame"]
        made = {"timeline": clip, "output_frames": frames, "landmarks": face}
        motion = _longer(store, real, MOTION, made, rows)
        lenders = _longer(store, real, LENDERS, made | {"motion": motion}, rows)
        picture = composite(
            seen,
            output_frames=frames,
            render=None,
            blend=settings.blend,
            encode=settings.encode,
            mark=None,
            label=None,
        )
        result = with_sound(settings, seen, picture, sound, frames, length, Tracks(None, None))
    result.copy_file(result.attributes["file"], settings.output)
    items = [*run.touched, *((each.kind, each.key) for each in (face, motion, lenders))]
    record = RunRecord(
        "dub", settings.model_dump(mode="json"), items, str(settings.output.absolute())
    )
    record_run(store, record)
    return record


def _longer(
    store: Store, real: RunRecord, schema: Schema, made_of: Mapping[str, Artifact], rows: int
) -> Artifact:
    """An artifact whose rows are those of the real dub's, again and again."""
    given = store.get(*_item(real, schema.kind))
    inputs = {name: (each.kind, each.key) for name, each in made_of.items()}
    derivation = Derivation.of(schema, 1, inputs, {"repeated": rows})
    if (found := store.find(schema.kind, derivation.key)) is not None:
        return found
    arrays = {name: given.read(name) for name in schema.arrays}
    shards = {spec.shard if spec.dims[0] == "frame" else 0 for spec in schema.arrays.values()}
    builder = store.builder(derivation, given.sizes | {"frame": rows})
    builder.prepare()

    def block(first: int, last: int) -> dict[str, NDArray[Any]]:
        at = np.arange(first, min(rows, last)) % given.sizes["frame"]
        by_row = {
            n: array[at] for n, array in arrays.items() if schema.arrays[n].dims[0] == "frame"
        }
        return arrays | by_row

    if len(shards) > 1:
        builder.write_whole(block(0, rows))
    else:
        (step,) = shards
        for shard in range(-(-rows // step)):
            builder.write(shard, block(shard * step, (shard + 1) * step), seconds=0)
    return builder.commit(given.attributes, seconds=0)


def _item(run: RunRecord, kind: str) -> tuple[str, str]:
    return next(item for item in run.artifacts if item[0] == kind)


if __name__ == "__main__":
    main()
