"""Which ranges were begun by whom, and which are finished: what a kill may cost, and no more."""

import os
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

NOTING = Path(__file__).with_name("noted_ranges")

Range = tuple[str, str, str]
"""Kind, key, and the shard's index or "whole"."""


@dataclass(frozen=True)
class Note:
    """The computation of a range has begun."""

    host: str
    process: int
    range: Range


def noting(log: Path, *, host: str = "-") -> dict[str, str]:
    """Environment of processes whose ranges, and those of their children, go to the log."""
    paths = [str(NOTING), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths), "NOTED_RANGES": str(log), "NOTED_HOST": host}


def notes(log: Path) -> list[Note]:
    """In the order in which they were begun."""
    lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    return [Note(host, int(pid), (kind, key, part)) for host, pid, kind, key, part in lines]


def is_finished(store: Path, found: Range) -> bool:
    """Whether a range of a store in a folder is kept, whatever happens."""
    kind, key, part = found
    if (store / kind / key[:2] / key / "manifest.json").exists():
        return True
    return (
        part != "whole"
        and (
            (store / "staging" / f"{kind}-{key}.done" / f"{int(part):06d}.json").exists()
            # Committed since the look above.
            or (store / kind / key[:2] / key / "manifest.json").exists()
        )
    )


def lost(log: Path, store: Path, dead: Collection[int]) -> Counter[Range]:
    """Ranges that processes, which are dead by now, had begun and not finished."""
    found = Counter(note.range for note in notes(log) if note.process in dead)
    return Counter({each: n for each, n in found.items() if not is_finished(store, each)})


def check_costs(log: Path, undisturbed: Collection[Range], lost: Counter[Range]) -> None:
    """Every range was begun once, and once more each time that it was lost."""
    begun = Counter(note.range for note in notes(log))
    assert set(begun) == set(undisturbed)
    twice = Counter({each: count - 1 for each, count in begun.items() if count > 1})
    assert twice <= lost, f"computed again though finished: {twice - lost}"
    assert begun.total() <= len(undisturbed) + lost.total()
