"""What another take of one row of a cue sheet costs, beside the first dub of the sheet.

    python -m benchmarks.cues [--folder DIR] [--rounds 3] [--rows 20]

A minute of 720p with rows of three seconds. Each round dubs it on an empty store, gives the middle
row another take and dubs it again, each a process of its own, start-up included. Prints wall and
processor time of both and their ratios, and the video packets that the second file does not share
with the first, beside the frames that its report says changed.
"""

import csv
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av

from benchmarks.command import command_parser, table
from benchmarks.dub import Cost, measured
from benchmarks.sources import speech, talking_video

SECONDS, SPOKEN = 60, 2.4
"""Of the video, and of each row's speech."""


def written(sheet: Path, sound: Path, rows: int, *, retake: bool) -> Path:
    """A sheet whose rows say pieces of one sound file; with another take in the middle one."""
    long = SECONDS / rows
    with sheet.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["start", "end", "face", "speech", "offset"])
        for row in range(rows):
            offset = row * long + (1.3 if retake and row == rows // 2 else 0.0)
            start = row * long + 0.2
            writer.writerow([start, start + min(SPOKEN, long - 0.4), "largest", sound, offset])
    return sheet


def dubbed(video: Path, sheet: Path, output: Path, store: str) -> tuple[Cost, Any]:
    """Cost and report of a dub by a sheet."""
    dubflow = str(Path(sys.executable).with_name("dubflow"))
    command = [dubflow, "dub", str(video), "--cues", str(sheet), "-o", str(output)]
    cost, report = measured([*command, "--overwrite", "--store", store, "--direct", "--json"])
    return cost, json.loads(report)


def packets(path: Path) -> list[bytes]:
    """Of the picture."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def rounds(folder: Path, count: int, rows: int) -> Iterator[tuple[Cost, Cost, int, Any]]:
    """Costs of first and second dub, packets that differ, frames said to have changed."""
    video = talking_video(folder / f"720p{SECONDS}.mp4", seconds=SECONDS, width=1280, height=720)
    sound = speech(folder / f"{SECONDS + 5}.wav", seconds=SECONDS + 5)
    for _ in range(count):
        with tempfile.TemporaryDirectory(dir=folder) as store:
            sheet, output = folder / "sheet.csv", folder / "out.mp4"
            first, _ = dubbed(video, written(sheet, sound, rows, retake=False), output, store)
            before = packets(output)
            second, report = dubbed(video, written(sheet, sound, rows, retake=True), output, store)
        differ = sum(a != b for a, b in zip(before, packets(output), strict=True))
        yield first, second, differ, report["changed_ranges"]


def main() -> None:
    """Print the table."""
    parser = command_parser(__doc__)
    parser.add_argument("--folder", type=Path, help="keep sources here, to use them again")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dubflow-bench-") as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        found = list(rounds(folder, given.rounds, given.rows))
    lines = []
    for name in ("wall", "cpu"):
        costs = [(getattr(first, name), getattr(second, name)) for first, second, *_ in found]
        ratios = sorted(second / first for first, second in costs)
        first, second = (statistics.median(each) for each in zip(*costs, strict=True))
        spread = f"{statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"
        lines.append((f"{name} [s]", f"{first:.1f}", f"{second:.1f}", spread))
    table(["", "first", "another take", "ratio"], lines)
    print()
    for _, _, differ, changed in found:
        print(f"packets that differ: {differ}; frames said to have changed: {changed}")


if __name__ == "__main__":
    main()
