"""The steps of a personalisation as they pass: what each takes, and the time left of the whole."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tasks.training.run_folder import write_text


class Steps:
    """Times steps, over all parts of a run that was interrupted, and tells how it goes.

    Args:
        expected: Step → seconds that it takes where presets are meant for; None: nobody knows.
        file: JSON of what they have taken so far.
        say: Is told a line at the beginning and the end of each.
    """

    def __init__(
        self, expected: Mapping[str, float | None], file: Path, say: Callable[[str], None]
    ) -> None:
        self._expected, self._file, self._say = dict(expected), file, say
        self._names = list(expected)
        self._measured: list[tuple[float, float]] = []
        """(expected, taken) of the steps that were computed in this part of the run [s]."""
        self.seconds: dict[str, float] = json.loads(file.read_text()) if file.exists() else {}

    @contextmanager
    def step(self, name: str, what: str) -> Iterator["Step"]:
        """One of them.

        Args:
            what: Is done, and how much of it.
        """
        number = self._names.index(name) + 1
        place = f"{number} of {len(self._names)}, {name}"
        self._say(f"{place}: {what}{self._told(self.left(name))}")
        begun, step = time.perf_counter(), Step()
        yield step
        taken = time.perf_counter() - begun
        expected = self._expected[name]
        if step.computed and expected:
            self._measured.append((expected, taken))
        self.seconds[name] = round(self.seconds.get(name, 0.0) + taken, 1)
        write_text(self._file, json.dumps(self.seconds) + "\n")
        rate = f", {step.count / taken:.3g} {step.unit}/s" if step.computed and step.count else ""
        done = f"{taken:.0f} s{rate}" if step.computed else "from the store"
        self._say(f"{place}: {done}{self._told(self.left(name, done=True))}")

    def left(self, name: str, *, done: bool = False) -> float | None:
        """Seconds left of the run when this step begins, or is done; None: it can't be told.

        What was measured of this machine so far counts for the steps to come.
        """
        rest = [self._expected[each] for each in self._names[self._names.index(name) + done :]]
        if any(each is None for each in rest):
            return None
        expected = sum(each for each, _ in self._measured)
        slower = sum(taken for _, taken in self._measured) / expected if expected else 1.0
        return slower * sum(each for each in rest if each is not None)

    @staticmethod
    def _told(left: float | None) -> str:
        if not left:
            return ""
        return f"; about {left / 60:.0f} min left" if left > 90 else f"; about {left:.0f} s left"


class Step:
    """What a step says of itself while it runs.

    Attributes:
        computed: Not all of it came from the store.
        count: Of what it worked on.
        unit: What that is.
    """

    computed = False
    count = 0
    unit = ""
