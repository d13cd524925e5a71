"""How long a cold dub takes, and how much memory: `make bench`.

    python -m benchmarks.dub [--long] [--folder DIR]

Prints one table. Every run is a process of its own on an empty store, start-up included. The
floor is the plain decoding and encoding of the same file, with the same encoder settings.
`--long` adds 10 s and 10 min at 1080p, which shows that memory does not grow.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.sources import RATE, speech, talking_video

FLOOR = """
import sys
from stores.media.encode import encode_segment
from stores.media.settings import EncodeSettings
from stores.media.read import read_frames
from stores.media.timeline import scan
clip = scan(sys.argv[1])
for start in range(0, len(clip), 256):
    stop = min(start + 256, len(clip))
    encode_segment(read_frames(sys.argv[1], clip, start, stop), clip.video, EncodeSettings())
"""


@dataclass(frozen=True)
class Cost:
    """Wall time [s], processor time [s] and peak memory [MiB] of a child process."""

    wall: float
    cpu: float
    peak: float


def measured(command: list[str]) -> tuple[Cost, str]:
    """Run a command; its cost and standard output."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    output = process.stdout.read() if process.stdout else ""
    _, status, usage = _wait(process.pid)
    if status:
        raise SystemExit(f"{' '.join(command)} failed with status {status}")
    wall = time.perf_counter() - start
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 2**20), output


def _wait(pid: int) -> tuple[int, int, resource.struct_rusage]:
    import os

    return os.wait4(pid, 0)


def dub_command(video: Path, sound: Path, folder: Path, store: Path) -> list[str]:
    dubflow = str(Path(sys.executable).with_name("dubflow"))
    out = folder / "out.mp4"
    return [
        *(dubflow, "dub", str(video), str(sound), "-o", str(out)),
        *("--store", str(store), "--direct", "--json"),
    ]


def bench(folder: Path, *, seconds: int, width: int, height: int) -> dict[str, Any]:
    """Floor, cold and warm run of one source."""
    video = talking_video(
        folder / f"{height}p{seconds}.mp4", seconds=seconds, width=width, height=height
    )
    sound = speech(folder / f"{seconds}.wav", seconds=seconds)
    floor, _ = measured([sys.executable, "-c", FLOOR, str(video)])
    with tempfile.TemporaryDirectory(dir=folder) as store:
        command = dub_command(video, sound, folder, Path(store))
        cold, output = measured(command)
        warm, _ = measured(command)
        size = sum(f.stat().st_size for f in Path(store).rglob("*") if f.is_file())
    report = json.loads(output)
    stages = {s["name"]: s["seconds"] for s in report["stages"]}
    return {
        "source": f"{seconds} s {width}x{height}",
        "frames": report["frames"],
        "fps": report["frames"] / cold.wall,
        "realtime": report["frames"] / RATE / cold.wall,
        "cold": cold,
        "warm": warm,
        "floor": floor,
        "stages": stages,
        "store_mb": size / 1e6,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown, one column per source."""
    lines = [
        "| | " + " | ".join(row["source"] for row in rows) + " |",
        "|---|" + "---:|" * len(rows),
    ]

    def line(name: str, values: list[str]) -> None:
        lines.append(f"| {name} | " + " | ".join(values) + " |")

    line("frames", [str(row["frames"]) for row in rows])
    line("cold run, wall [s]", [f"{row['cold'].wall:.1f}" for row in rows])
    line("cold run, processor [s]", [f"{row['cold'].cpu:.1f}" for row in rows])
    line("times real time", [f"{row['realtime']:.2f}" for row in rows])
    line("peak memory [MiB]", [f"{row['cold'].peak:.0f}" for row in rows])
    line("second run, wall [s]", [f"{row['warm'].wall:.1f}" for row in rows])
    line("floor: scan, decode, encode [s]", [f"{row['floor'].wall:.1f}" for row in rows])
    line("cold run / floor", [f"{row['cold'].wall / row['floor'].wall:.2f}" for row in rows])
    line("store [MB]", [f"{row['store_mb']:.0f}" for row in rows])
    for name in rows[0]["stages"]:
        seconds = [row["stages"].get(name, 0.0) for row in rows]
        shares = [s / row["cold"].wall for s, row in zip(seconds, rows, strict=True)]
        cells = [f"{s:.1f} ({share:.0%})" for s, share in zip(seconds, shares, strict=True)]
        line(f"stage {name} [s]", cells)
    line(
        "start-up and rest [s]",
        [f"{row['cold'].wall - sum(row['stages'].values()):.1f}" for row in rows],
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--long", action="store_true", help="add 10 s and 10 min at 1080p")
    parser.add_argument("--folder", type=Path, help="keep sources here, to use them again")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="dubflow-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    rows = [bench(folder, seconds=60, width=1280, height=720)]
    if arguments.long:
        rows.append(bench(folder, seconds=10, width=1920, height=1080))
        rows.append(bench(folder, seconds=600, width=1920, height=1080))
    print(table(rows))
    if arguments.folder is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
