"""What a part of a long video costs, beside a file of that length; and reading backwards.

    python -m benchmarks.part [--folder DIR] [--pairs 3]

Two tables. The first: dubbing 30 s of ten minutes and dubbing a file of 30 s, in turn, each a
process of its own on an empty store. The second: a 4K video read backwards in ranges of 64 frames,
as `--sync-mode bounce` does, and forwards: frames that were decoded for each one that was given.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.command import command_parser, table
from benchmarks.dub import Cost, measured
from benchmarks.sources import speech, talking_video
from stores.media import read
from stores.media.read import FrameReader
from stores.media.scanning import scan

LONG, PART, FROM = 600, 30, 300
"""Seconds of the long file, of the part, and where it begins."""

RANGE = 64


def dubbed(video: Path, sound: Path, options: list[str]) -> Cost:
    """The cost of a dub on an empty store."""
    with tempfile.TemporaryDirectory(dir=video.parent) as store:
        dubflow = str(Path(sys.executable).with_name("dubflow"))
        output = str(video.parent / "out.mp4")
        command = [dubflow, "dub", str(video), str(sound), "-o", output, "--overwrite"]
        return measured([*command, "--store", store, "--direct", "--json", *options])[0]


def parts(folder: Path, pairs: int) -> Iterator[tuple[object, ...]]:
    """Wall and processor time of both, and their ratios."""
    size = {"width": 1280, "height": 720}
    whole = talking_video(folder / f"720p{LONG}.mp4", seconds=LONG, **size)
    short = talking_video(folder / f"720p{PART}.mp4", seconds=PART, **size)
    sound = speech(folder / f"{PART}.wav", seconds=PART)
    span = ["--start", str(FROM), "--end", str(FROM + PART)]
    both = [(dubbed(whole, sound, span), dubbed(short, sound, [])) for _ in range(pairs)]
    for name in ("wall", "cpu", "peak"):
        ours, theirs = ([getattr(pair[n], name) for pair in both] for n in (0, 1))
        ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
        yield (
            name,
            f"{statistics.median(ours):.1f}",
            f"{statistics.median(theirs):.1f}",
            f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})",
        )


def backwards(folder: Path) -> Iterator[tuple[object, ...]]:
    """Frames decoded for each one given, and seconds, both ways."""
    path = talking_video(folder / "2160p10.mp4", seconds=10, width=3840, height=2160)
    clip = scan(path)
    counted = [0]

    def counting(*given: Any) -> Any:
        for frame in made(*given):
            counted[0] += 1
            yield frame

    made, read._from_keyframe = read._from_keyframe, counting
    for way in ("forwards", "backwards"):
        counted[0], start = 0, time.perf_counter()
        reader = FrameReader(path, clip)
        ranges = [(at, min(at + RANGE, len(clip))) for at in range(0, len(clip), RANGE)]
        for first, last in ranges if way == "forwards" else reversed(ranges):
            for _ in (reader.read if way == "forwards" else reader.read_back)(first, last):
                pass
        seconds = time.perf_counter() - start
        yield way, len(clip), f"{counted[0] / len(clip):.2f}", f"{seconds:.1f}"
    read._from_keyframe = made


def main() -> None:
    """Print both tables."""
    parser = command_parser(__doc__)
    parser.add_argument("--folder", type=Path, help="keep sources here, to use them again")
    parser.add_argument("--pairs", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dubflow-bench-") as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        columns = ["", f"{PART} s of {LONG} s", f"a file of {PART} s", "ratio"]
        table(columns, parts(folder, given.pairs))
        print()
        table(["4K", "frames", "decoded for each", "seconds"], backwards(folder))


if __name__ == "__main__":
    main()
