"""How long a cold dub takes, and how much memory: `make bench`.

    python -m benchmarks.dub [--long] [--folder DIR]

Prints one table. Every run is a process of its own on an empty store, start-up included. The
floor is the plain decoding and encoding of the same file, with the same encoder settings.
`--long` adds 10 s and 10 min at 1080p, which shows that memory does not grow.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.command import command_parser, table
from benchmarks.sources import RATE, speech, talking_video

FLOOR = """
import sys
from stores.media.encode import encode_segment
from stores.media.settings import EncodeSettings
from stores.media.read import read_frames
from stores.media.scanning import scan
clip = scan(sys.argv[1])
for start in range(0, len(clip), 256):
    stop = min(start + 256, len(clip))
    encode_segment(read_frames(sys.argv[1], clip, start, stop), clip.video, EncodeSettings())
"""


@dataclass(frozen=True)
class Cost:
    """Wall time [s], processor time [s] and peak memory [MiB] of a child process and its own."""

    wall: float
    cpu: float
    peak: float


def measured(command: list[str]) -> tuple[Cost, str]:
    """Run a command; its cost and standard output."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    peak, ended = [0.0], threading.Event()
    watcher = threading.Thread(target=_watch, args=(process.pid, peak, ended))
    watcher.start()
    output = process.stdout.read() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    ended.set()
    watcher.join()
    if status:
        raise SystemExit(f"{' '.join(command)} failed with status {status}")
    unit = 1 if sys.platform == "darwin" else 1024
    largest = usage.ru_maxrss * unit / 2**20
    return Cost(wall, usage.ru_utime + usage.ru_stime, peak[0] or largest), output


def _watch(pid: int, peak: list[float], ended: threading.Event) -> None:
    """Note the most memory that a process and its children hold; what they share counts once."""
    while not ended.wait(0.1):
        peak[0] = max(peak[0], sum(_own_memory(each) for each in _family(pid)))


def _family(pid: int) -> list[int]:
    found, waiting = [pid], [pid]
    while waiting:
        with suppress(OSError):  # one that has ended meanwhile
            for children in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
                new = [int(child) for child in children.read_text().split()]
                found += new
                waiting += new
    return found


def _own_memory(pid: int) -> float:
    """Proportional set size [MiB]; 0 where the system does not tell."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def bench(folder: Path, *, seconds: int, width: int, height: int) -> dict[str, str]:
    """Floor, cold and warm run of one source: what is measured → figure."""
    video = talking_video(
        folder / f"{height}p{seconds}.mp4", seconds=seconds, width=width, height=height
    )
    sound = speech(folder / f"{seconds}.wav", seconds=seconds)
    floor, _ = measured([sys.executable, "-c", FLOOR, str(video)])
    with tempfile.TemporaryDirectory(dir=folder) as store:
        dubflow = str(Path(sys.executable).with_name("dubflow"))
        command = [dubflow, "dub", str(video), str(sound), "-o", str(folder / "out.mp4")]
        command += ["--store", store, "--direct", "--json"]
        cold, output = measured(command)
        warm, _ = measured(command)
        size = sum(f.stat().st_size for f in Path(store).rglob("*") if f.is_file())
    report = json.loads(output)
    frames, stages = report["frames"], {s["name"]: s["seconds"] for s in report["stages"]}
    return {
        "": f"{seconds} s {width}x{height}",
        "frames": f"{frames}",
        "cold run, wall [s]": f"{cold.wall:.1f}",
        "cold run, processor [s]": f"{cold.cpu:.1f}",
        "times real time": f"{frames / RATE / cold.wall:.2f}",
        "peak memory [MiB]": f"{cold.peak:.0f}",
        "second run, wall [s]": f"{warm.wall:.1f}",
        "floor: scan, decode, encode [s]": f"{floor.wall:.1f}",
        "cold run / floor": f"{cold.wall / floor.wall:.2f}",
        "store [MB]": f"{size / 1e6:.0f}",
        **{f"stage {name} [s]": f"{s:.1f} ({s / cold.wall:.0%})" for name, s in stages.items()},
        "start-up and rest [s]": f"{cold.wall - sum(stages.values()):.1f}",
    }


def main() -> None:
    parser = command_parser(__doc__)
    parser.add_argument("--long", action="store_true", help="add 10 s and 10 min at 1080p")
    parser.add_argument("--folder", type=Path, help="keep sources here, to use them again")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="dubflow-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    rows = [bench(folder, seconds=60, width=1280, height=720)]
    if arguments.long:
        rows.append(bench(folder, seconds=10, width=1920, height=1080))
        rows.append(bench(folder, seconds=600, width=1920, height=1080))
    names, *lines = ([name, *(row[name] for row in rows)] for name in rows[0])
    table(names, lines)
    if arguments.folder is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
