"""Whole dubs by this build and by an earlier one in turn: time, processor time, peak memory.

    python -m benchmarks.against 7c73cee [--case 60s --case 8s] [--pairs 5] [--folder DIR]

Checks the earlier commit out into a temporary worktree, builds its environment there, and runs both
A B A B on the same files, each run a process of its own on an empty store, start-up included. The
floor (scanning, decoding and encoding the same file by this build) is measured in every round too.
Prints medians, and how far the rounds' ratios spread. Leave the machine alone meanwhile.
"""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.command import command_parser, table
from benchmarks.dub import FLOOR, Cost, measured
from benchmarks.sources import ROOT, speech, talking_video


@dataclass(frozen=True)
class Case:
    """One source, and what is asked for.

    Attributes:
        seconds: Length of the source.
        width: px.
        height: px.
        options: Of `dubflow dub`.
        speech_seconds: Length of the speech.
    """

    seconds: int
    width: int
    height: int
    options: tuple[str, ...] = ()
    speech_seconds: int | None = None

    def files(self, folder: Path) -> tuple[Path, Path]:
        """The source and the speech, made where they lack."""
        name = f"{self.seconds}s-{self.width}x{self.height}"
        length = self.speech_seconds or self.seconds
        return (
            talking_video(
                folder / f"{name}.mp4", seconds=self.seconds, width=self.width, height=self.height
            ),
            speech(folder / f"{length}s.wav", seconds=length),
        )


CASES = {
    "60s": Case(60, 1280, 720),
    "8s": Case(8, 512, 512),
    "1080p": Case(10, 1920, 1080),
    "portrait": Case(20, 1080, 1920, ("--start", "0", "--end", "8")),
    "10min": Case(600, 1280, 720),
}


def main() -> None:
    parser = command_parser(__doc__)
    parser.add_argument("base", help="the commit to compare with")
    parser.add_argument("--case", action="append", choices=CASES, help="only these")
    parser.add_argument("--pairs", type=int, default=5, help="rounds")
    parser.add_argument("--folder", type=Path, help="keep sources here, to use them again")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dubflow-against-") as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        with built(arguments.base, Path(temporary) / "base") as base:
            builds = (base, Path(sys.executable))
            names = arguments.case or ["60s", "8s"]
            table(
                ["", "wall [s]", "processor [s]", "peak [MiB]", "wall / floor"],
                (row for name in names for row in compared(name, builds, arguments.pairs, folder)),
            )


@contextmanager
def built(commit: str, tree: Path) -> Iterator[Path]:
    """The interpreter of a commit's own environment, in a worktree that goes away again."""
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(tree), commit], check=True)
    try:
        subprocess.run(["make", "--quiet", "-C", str(tree), ".venv/.ready"], check=True)
        yield tree / ".venv" / "bin" / "python"
    finally:
        subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def compared(
    name: str, builds: Sequence[Path], pairs: int, folder: Path
) -> Iterator[tuple[str, ...]]:
    """Rows of the table: the earlier build, this one, and the ratios."""
    video, sound = CASES[name].files(folder)
    rounds: list[tuple[Cost, Cost, Cost]] = []
    for build in builds:  # whatever is only done once
        dubbed(build, video, sound, CASES[name].options)
    for _ in range(pairs):
        floor, _ = measured([sys.executable, "-c", FLOOR, str(video)])
        old, new = (dubbed(build, video, sound, CASES[name].options) for build in builds)
        rounds.append((old, new, floor))
        print(f"  {name}: {old} {new} floor {floor.wall:.1f} s", file=sys.stderr, flush=True)
    for title, which in (("base", 0), ("this", 1)):
        costs = [each[which] for each in rounds]
        over = statistics.median(each[which].wall / each[2].wall for each in rounds)
        yield (
            f"{name} {title}",
            *(f"{statistics.median(getattr(cost, of) for cost in costs):.1f}" for of in _FIGURES),
            f"{over:.2f}",
        )
    ratios = [[getattr(new, of) / getattr(old, of) for old, new, _ in rounds] for of in _FIGURES]
    spread = [f"{statistics.median(r):.2f} ({min(r):.2f} to {max(r):.2f})" for r in ratios]
    yield (f"{name} ratio", *spread, "")


_FIGURES = ("wall", "cpu", "peak")


def dubbed(python: Path, video: Path, sound: Path, options: Sequence[str]) -> Cost:
    """One cold dub."""
    with tempfile.TemporaryDirectory(dir=video.parent) as folder:
        command = [str(python.with_name("dubflow")), "dub", str(video), str(sound)]
        command += ["-o", f"{folder}/out.mp4", "--store", f"{folder}/store", "--direct", *options]
        return measured(command)[0]


if __name__ == "__main__":
    main()
