"""What a user's text names: a run, or source files, among those that a store knows.

A file that is here counts for what it is: a run's output by its place, a source by its bytes. Names
alone count only for what is no longer here.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path, PurePath

from stores.artifacts.source import Source
from stores.errors import InputError
from stores.runs import RunRecord

_SHOWN = 12


def fitting_runs(runs: Sequence[RunRecord], text: str) -> list[RunRecord]:
    """Runs that a text names, newest first, by the first of these ways in which there is one.

    Its id; the file that it wrote, seen from the current folder; unless another file is there, the
    bare name of what it wrote, or the beginning of its id. A file counts as its last writer's.

    Args:
        runs: Oldest first.
        text: Of the user.
    """
    newest = list(reversed(runs))
    if same := [run for run in newest if run.id == text]:
        return same
    place = Path(text).resolve()
    last: dict[Path, RunRecord] = {}
    for run in newest:
        if run.output is not None:
            last.setdefault(Path(run.output).resolve(), run)
    if place in last:
        return [last[place]]
    if place.is_file() or not text:
        return []
    named = [run for run in last.values() if PurePath(str(run.output)).name == text]
    return named or [run for run in newest if run.id.startswith(text)]


def run_named(runs: Sequence[RunRecord], text: str) -> RunRecord:
    """The one run that `fitting_runs` finds.

    Raises:
        InputError: there is none, or several fit; says which.
    """
    if len(found := fitting_runs(runs, text)) == 1:
        return found[0]
    if found:
        raise several_runs(text, found)
    name = PurePath(text).name
    others = [run for run in reversed(runs) if run.output and PurePath(run.output).name == name]
    if Path(text).is_file():
        elsewhere = f"; of that name there is {_told(others)}" if others else ""
        raise InputError(f"{text} was written by no run that the store knows{elsewhere}")
    if others:
        raise InputError(f"there is no run {text!r}; of that name there is {_told(others)}")
    names = {name for run in runs for name in (run.id, PurePath(run.output or run.id).name)}
    raise unknown("run", text, names)


def several_runs(text: str, found: Sequence[RunRecord]) -> InputError:
    """That a text fits all of these."""
    return InputError(f"{text} fits {len(found)} runs: {_told(found)}; give one's path or its id")


def sources_named(places: Mapping[str, Collection[str]], text: str) -> list[str]:
    """Keys of the source files that a text names, by the first of these ways in which there is one.

    The bytes of the file, if it is here; else the path from which a run read one, the name of one,
    or the beginning of a key.

    Args:
        places: Key of each source file that something was made of → paths and names that it had.
        text: Of the user.

    Raises:
        InputError: nothing was made of such a file.
        MediaError: it is here, but can't be read.
    """
    path, name = Path(text), PurePath(text).name
    called = sorted(key for key in places if name in {PurePath(p).name for p in places[key]})
    if path.is_file():
        if (key := Source.known(path).key) in places:
            return [key]
        others = f"; of that name it knows {told_sources(places, called, name)}" if called else ""
        raise InputError(f"the store holds nothing of {text}, which counts by its bytes{others}")
    whole = path.resolve()
    read = sorted(key for key in places if whole in map(_resolved, places[key]))
    begun = sorted(key for key in places if text and key.startswith(text))
    if found := read or called or begun:
        return found
    raise unknown("source", name, {PurePath(p).name for known in places.values() for p in known})


def told_sources(places: Mapping[str, Collection[str]], keys: Iterable[str], name: str) -> str:
    """As in "/a/talk.mp4 (4e3c39aabbcc), /b/talk.mp4 (09ff12ddeeff)", by paths of that name."""

    def last(place: str) -> tuple[bool, bool, str]:
        return PurePath(place).name != name, not PurePath(place).is_absolute(), place

    return ", ".join(f"{min(places[key], key=last, default='a file')} ({key[:12]})" for key in keys)


def known(what: str, name: str, names: Iterable[str]) -> None:
    """Refuse a name that is none of these.

    Raises:
        InputError: with the nearest of them.
    """
    if name not in (every := set(names)):
        raise unknown(what, name, every)


def unknown(what: str, name: str, names: Iterable[str]) -> InputError:
    """That there is nothing of that name, and what is nearest, or what there is."""
    every = sorted(names)
    if near := get_close_matches(name, every, n=3):
        hint = f"did you mean {' or '.join(near)}?"
    else:
        more = f" and {len(every) - _SHOWN:,} more" if len(every) > _SHOWN else ""
        hint = f"there is {', '.join(every[:_SHOWN])}{more}" if every else "the store is empty"
    return InputError(f"there is no {what} {name!r}; {hint}")


def _told(runs: Iterable[RunRecord]) -> str:
    return ", ".join(f"{run.output or run.command} ({run.id})" for run in runs)


def _resolved(place: str) -> Path | None:
    """Where it leads; None for a mere name."""
    return Path(place).resolve() if PurePath(place).is_absolute() else None
