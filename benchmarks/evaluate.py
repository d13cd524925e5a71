"""How fast an evaluation is, and how much memory its processes hold.

    python -m benchmarks.evaluate --data CLIPS [--count 100] [--workers 2] [--method exemplar]

Evaluates the first clips of a folder, each with another's speech, on an empty store, by the command
itself; every process is watched five times a second. Prints one table.
"""

import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import psutil

from benchmarks.command import command_parser, table

_LOOK_SECONDS = 0.2
_MIB = 2**20


def watched(command: list[str]) -> tuple[float, float, list[float]]:
    """Wall time [s], peak memory of the command, and of each of its children [MiB]."""
    start = time.perf_counter()
    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    peaks: defaultdict[int, float] = defaultdict(float)
    while process.poll() is None:
        try:
            for one in (process, *process.children(recursive=True)):
                peaks[one.pid] = max(peaks[one.pid], one.memory_info().rss / _MIB)
        except psutil.NoSuchProcess:
            pass
        time.sleep(_LOOK_SECONDS)
    if process.returncode not in (0, 2):  # 2: some clips failed
        raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}")
    own = peaks.pop(process.pid)
    return time.perf_counter() - start, own, sorted(peaks.values(), reverse=True)


def main() -> None:
    parser = command_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--method", default="exemplar")
    arguments = parser.parse_args()
    dubflow = str(Path(sys.executable).with_name("dubflow"))
    with tempfile.TemporaryDirectory(prefix="dubflow-bench-") as folder:
        command = [
            *(dubflow, "evaluate", "folder_unpaired", "--data", str(arguments.data)),
            *("-o", f"{folder}/report", "--store", f"{folder}/store"),
            *("--limit", str(arguments.count), "--cluster", f"local:{arguments.workers}"),
            *("--method", arguments.method),
        ]
        first, driver, workers = watched(command)
        second, _, _ = watched(command)
    rows = [
        ["first run, wall [s]", f"{first:.0f}"],
        ["clips a minute", f"{60 * arguments.count / first:.1f}"],
        ["second run, from the store, wall [s]", f"{second:.0f}"],
        ["peak memory of the command [MiB]", f"{driver:.0f}"],
    ]
    for number, peak in enumerate(workers[: arguments.workers], 1):
        rows.append([f"peak memory of worker {number} [MiB]", f"{peak:.0f}"])
    table([f"{arguments.count} clips, {arguments.workers} workers, {arguments.method}", ""], rows)


if __name__ == "__main__":
    main()
