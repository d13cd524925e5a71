"""What a large batch would take: a discrete-event model of the parts that every clip passes.

    server ─ command ─ scheduler ─ object store ─ workers ─┐ ─ contact sheet
                └──── for each range of each stage ────────┘

Stages of a clip follow one another, ranges of a stage go side by side. There are many workers, and
one of everything else, which serves in the order of arrival. Costs are processor seconds, so that
each of those parts has one processor; waiting that disturbs nobody else is left out.
"""

import heapq
import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

COMMAND, SCHEDULER, SERVER, GETS, PUTS = "command", "scheduler", "server", "GET", "PUT"
SHEETS = "contact sheets"
PARTS = (COMMAND, SCHEDULER, SERVER, GETS, PUTS, SHEETS)
WORKERS = "workers"


@dataclass(frozen=True)
class Clip:
    """What one clip asks of everybody.

    Attributes:
        stages: (ranges, seconds of a worker for each of them), in order.
        per_range: Part → seconds for each range: COMMAND, SCHEDULER, GETS, PUTS.
        per_clip: Part → further seconds for each clip: COMMAND, SERVER, SHEETS.
    """

    stages: tuple[tuple[int, float], ...]
    per_range: Mapping[str, float]
    per_clip: Mapping[str, float]

    @property
    def ranges(self) -> int:
        """Of all stages."""
        return sum(ranges for ranges, _ in self.stages)

    @property
    def worker_seconds(self) -> float:
        """Of all ranges."""
        return sum(ranges * seconds for ranges, seconds in self.stages)

    def demand(self, part: str) -> float:
        """Seconds of a part for the whole clip."""
        each = self.per_range.get(part, 0.0)
        return self.ranges * each + self.per_clip.get(part, 0.0)

    def full_at(self, part: str) -> float:
        """How many workers keep this part busy all the time; more are of no use."""
        demand = self.demand(part)
        return self.worker_seconds / demand if demand else float("inf")


@dataclass(frozen=True)
class Outcome:
    """How a batch went.

    Attributes:
        clips: Done.
        seconds: From the first to the last.
        busy: Part, or WORKERS → share of the time; of all commands or workers, on average.
    """

    clips: int
    seconds: float
    busy: Mapping[str, float]

    @property
    def rate(self) -> float:
        """Clips a second."""
        return self.clips / self.seconds

    @property
    def fullest(self) -> str:
        """What is busiest."""
        return max(self.busy, key=lambda part: self.busy[part])


def simulate(
    clip: Clip, *, clips: int, workers: int, commands: int = 1, spread: float = 0.0
) -> Outcome:
    """Many clips, twice as many at a time as there are workers.

    Args:
        clip: What each asks for.
        clips: How many.
        workers: That compute.
        commands: Among which the clips are shared out.
        spread: Clips take workers up to this share longer or shorter, at random. Without it all
            march in step, as no real ones do.
    """
    return _Simulation(clip, clips, workers, commands, spread).outcome()


class _Simulation:
    """Four events a clip, and two a range: it reaches its command, and it reaches the scheduler.

    What follows the scheduler keeps the order of arrival, so that the rest is known at once.
    """

    def __init__(self, clip: Clip, clips: int, workers: int, commands: int, spread: float) -> None:
        self._clip = clip
        self._clips = clips
        self._workers = [0.0] * workers
        self._commands = [0.0] * commands
        self._free = dict.fromkeys(PARTS, 0.0)
        """When each has served all that has reached it so far."""
        self._used: defaultdict[str, float] = defaultdict(float)
        self._events: list[tuple[float, int, Callable[[float, int, int], None], int, int]] = []
        """Time, order of ties, what happens, to which clip, in which stage."""
        self._pushed = self._begun = 0
        chance = random.Random(0)
        self._length = [1 + chance.uniform(-spread, spread) for _ in range(clips)]
        self._left = [0] * clips
        self._latest = [0.0] * clips

    def outcome(self) -> Outcome:
        """Run to the end."""
        for _ in range(2 * len(self._workers)):
            self._begin(0.0)
        now = 0.0
        while self._events:
            now, _, happen, clip, stage = heapq.heappop(self._events)
            happen(now, clip, stage)
        several = {WORKERS: len(self._workers), COMMAND: len(self._commands)}
        busy = {part: used / several.get(part, 1) / now for part, used in self._used.items()}
        return Outcome(self._clips, now, busy)

    def _begin(self, now: float) -> None:
        """The server hears of the next clip, if there is one."""
        if self._begun < self._clips:
            self._push(self._serve(SERVER, now, self._per_clip(SERVER)), self._look, self._begun)
            self._begun += 1

    def _look(self, now: float, clip: int, stage: int) -> None:
        """Its command looks at it, and does what it does once for each clip."""
        self._stage(self._command(now, clip, self._per_clip(COMMAND)), clip, 0)

    def _stage(self, now: float, clip: int, stage: int) -> None:
        self._latest[clip] = now
        if stage == len(self._clip.stages):
            self._push(now, self._show, clip)
            return
        self._left[clip] = self._clip.stages[stage][0]
        for _ in range(self._left[clip]):
            self._push(now, self._send, clip, stage)

    def _send(self, now: float, clip: int, stage: int) -> None:
        self._push(self._command(now, clip, self._per_range(COMMAND)), self._compute, clip, stage)

    def _compute(self, now: float, clip: int, stage: int) -> None:
        for part in (SCHEDULER, GETS, PUTS):
            now = self._serve(part, now, self._per_range(part))
        seconds = self._clip.stages[stage][1] * self._length[clip]
        self._used[WORKERS] += seconds
        end = max(now, self._workers[0]) + seconds
        heapq.heapreplace(self._workers, end)
        self._latest[clip] = max(self._latest[clip], end)
        self._left[clip] -= 1
        if not self._left[clip]:
            self._stage(self._latest[clip], clip, stage + 1)

    def _show(self, now: float, clip: int, stage: int) -> None:
        self._push(self._serve(SHEETS, now, self._per_clip(SHEETS)), self._end, clip)

    def _end(self, now: float, clip: int, stage: int) -> None:
        self._begin(now)

    def _per_range(self, part: str) -> float:
        return self._clip.per_range.get(part, 0.0)

    def _per_clip(self, part: str) -> float:
        return self._clip.per_clip.get(part, 0.0)

    def _serve(self, part: str, now: float, seconds: float) -> float:
        """When a part has done what reaches it now."""
        if seconds:
            self._used[part] += seconds
            self._free[part] = now = max(now, self._free[part]) + seconds
        return now

    def _command(self, now: float, clip: int, seconds: float) -> float:
        """When the clip's command has done what reaches it now."""
        mine = clip % len(self._commands)
        self._used[COMMAND] += seconds
        self._commands[mine] = now = max(now, self._commands[mine]) + seconds
        return now

    def _push(
        self,
        now: float,
        happen: Callable[[float, int, int], None],
        clip: int,
        stage: int = 0,
    ) -> None:
        self._pushed += 1
        heapq.heappush(self._events, (now, self._pushed, happen, clip, stage))
