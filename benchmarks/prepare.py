"""How fast a data set is prepared, and how well a second worker helps.

    python -m benchmarks.prepare [--clips N] [--seconds S] [--repeat R] [--data DIR]

Prints one table. Every run is a process of its own on an empty store; n workers have n processors
to themselves, so that decoders and networks of one worker can't use the other's. Start-up and the
loading of libraries are left out: they cost the same for ten clips and for a million. The last run
prepares the same again: nothing is computed, which is what a night without new files costs.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.command import command_parser, table
from benchmarks.sources import talking_video


@dataclass(frozen=True)
class Pace:
    """One run.

    Attributes:
        wall: Seconds, without start-up.
        video: Seconds of video.
        stages: Stage → seconds, summed over clips.
        computed: Ranges computed.
    """

    wall: float
    video: float
    stages: dict[str, float]
    computed: int

    @property
    def rate(self) -> float:
        """Seconds of video a second."""
        return self.video / self.wall


CHILD = """
import json, sys
from flows.runtime.environment import quiet_and_private
from tasks.engine.memory import give_memory_back
quiet_and_private()
give_memory_back()
from flows.runtime.clusters import open_cluster
from flows.prepare import PrepareSettings, prepare
if __name__ == "__main__":
    first, then = (PrepareSettings.model_validate(given) for given in json.loads(sys.argv[1]))
    with open_cluster(then.cluster) as cluster:
        prepare(first, cluster=cluster)
        print(prepare(then, cluster=cluster).model_dump_json())
"""


def run(data: Path, folder: Path, *, workers: int, cluster: bool) -> Pace:
    """Prepare everything with so many processors, after a few clips that load the libraries."""
    folder.mkdir(exist_ok=True)
    given: dict[str, Any] = {"dataset": "folder", "store": str(folder / "store")}
    if cluster:
        # More clips than processes, so that none waits for the clip of another.
        given |= {"cluster": f"local:{workers}", "workers": 2 * workers}
    else:
        given |= {"workers": workers}
    both = [
        given | {"data": str(data.with_name("warm")), "output": str(folder / "warm.parquet")},
        given | {"data": str(data), "output": str(folder / "index.parquet")},
    ]
    usable = sorted(os.sched_getaffinity(0))[:workers]
    script = folder / "child.py"
    script.write_text(CHILD)
    done = subprocess.run(
        [sys.executable, str(script), json.dumps(both)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, usable),
    )
    if done.returncode:
        raise SystemExit(f"preparing {data} failed:\n{done.stderr}")
    report: dict[str, Any] = json.loads(done.stdout)
    stages = {stage["name"]: stage["seconds"] for stage in report["stages"]}
    computed = sum(stage["computed"] for stage in report["stages"])
    return Pace(report["wall_seconds"], report["seconds"], stages, computed)


def make_clips(folder: Path, *, count: int, seconds: int, narrowest: int) -> Path:
    """A folder of clips, no two of which are the same file."""
    folder.mkdir()
    for number in range(count):
        path = folder / f"p{number:02}.mp4"
        talking_video(path, seconds=seconds, width=narrowest + 16 * number, height=360)
    return folder


def main() -> None:
    parser = command_parser(__doc__)
    parser.add_argument("--clips", type=int, default=8, help="clips to make")
    parser.add_argument("--seconds", type=int, default=10, help="length of each [s]")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each; the best counts")
    parser.add_argument("--data", type=Path, help="a folder of clips instead")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dubflow-bench-") as name:
        folder = Path(name)
        make_clips(folder / "warm", count=4, seconds=2, narrowest=480)
        data = folder / "data"
        if arguments.data is not None:
            data.symlink_to(arguments.data.absolute())
        else:
            make_clips(data, count=arguments.clips, seconds=arguments.seconds, narrowest=640)
        kinds = [(workers, cluster) for cluster in (False, True) for workers in (1, 2)]
        best: dict[tuple[int, bool], Pace] = {}
        for turn in range(arguments.repeat):
            for workers, cluster in kinds:
                place = folder / f"{turn}-{workers}-{cluster}"
                found = run(data, place, workers=workers, cluster=cluster)
                best[workers, cluster] = min(
                    (found, best.get((workers, cluster), found)), key=lambda pace: pace.wall
                )
        rows = []
        for (workers, cluster), pace in best.items():
            kind = f"{workers} {'cluster processes' if cluster else 'threads'}"
            efficiency = pace.rate / workers / best[1, cluster].rate
            rows.append([kind, f"{pace.rate:.2f}", f"{pace.wall:.1f}", f"{efficiency:.2f}"])
        again = run(data, folder / "0-2-False", workers=2, cluster=False)
        assert again.computed == 0
        rows.append(["again, 2 threads", f"{again.rate:.0f}", f"{again.wall:.1f}", ""])
        table(["", "s of video a second", "wall [s]", "efficiency"], rows)
        stages = best[1, False].stages
        whole = sum(stages.values())
        table(["stage", "share"], [[stage, f"{s / whole:.0%}"] for stage, s in stages.items()])


if __name__ == "__main__":
    main()
