"""Numbers along the rows: one float each, NaN where nothing is known."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.speech_to_lips.neutral import opening
from stores.artifacts.artifact import Artifact
from stores.errors import InputError
from viewer.web.frames import give_way
from viewer.web.related import Related
from viewer.web.run import RunView, has

_BLOCK_ROWS = 2048

Values = NDArray[np.float32]


@dataclass(frozen=True)
class Track:
    """A track that a run has.

    Attributes:
        read: (first, past the last row) → values.
    """

    name: str
    title: str
    unit: str
    kind: Literal["line", "mask", "marks"]
    group: str
    read: Callable[[int, int], Values]


class Tracks:
    """Tracks of a run, each read once."""

    def __init__(self, run: RunView, related: Related) -> None:
        self._run = run
        self._read: dict[str, Values] = {}
        self._one_at_a_time = Lock()
        self._known = {track.name: track for track in _tracks(run, related)}

    def described(self) -> list[dict[str, Any]]:
        """All, as the page draws them."""
        shown = ("name", "title", "unit", "kind", "group")
        return [{key: getattr(track, key) for key in shown} for track in self._known.values()]

    def values(self, name: str, first: int, stop: int) -> Values:
        """Rows [first, stop) of a track.

        Raises:
            InputError: there is none of that name.
        """
        track = self._known.get(name)
        if track is None:
            raise InputError(f"there is no track {name!r}; there is {', '.join(self._known)}")
        if name in self._read:
            return self._read[name][first:stop]
        blocks = []
        with self._one_at_a_time:
            for at in range(first, stop, _BLOCK_ROWS):
                give_way()
                blocks.append(track.read(at, min(stop, at + _BLOCK_ROWS)))
        values = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
        if (first, stop) == (0, self._run.rows):
            self._read[name] = values
        return values


def _tracks(run: RunView, related: Related) -> list[Track]:
    found = []
    motion, face, shown = run.one("motion"), run.one("landmarks"), run.one("render")
    height = "face heights"
    if motion is not None and has(motion, "mouth"):
        read = _of_rows(motion, "mouth", opening)
        found.append(Track("opening_wanted", "Opening wanted", height, "line", "opening", read))
    if face is not None:
        read = _of_source(run, face, _seen_opening)
        found.append(
            Track("opening_seen", "Opening in the source", height, "line", "opening", read)
        )
    if (seen := _dub_opening(run, related)) is not None:
        found.append(Track("opening_dub", "Opening in the dub", height, "line", "opening", seen))
    if shown is not None and has(shown, "valid"):
        read = _of_rows(shown, "valid", _plain)
        found.append(Track("valid", "Mouth made anew", "", "mask", "validity", read))
    elif face is not None:
        read = _of_source(run, face, lambda of, a, b: _plain(of.read("valid", a, b)))
        found.append(Track("valid", "Face seen", "", "mask", "validity", read))
    for face in dict.fromkeys(cue["face"] for cue in run.record.cues):
        read = partial(_cues, run, face)
        found.append(Track(f"cues:{face}", f"Cues of {face}", "", "mask", "cues", read))
    if run.clip.scene_start[1:].any() or len(run.source_frame) > len(run.clip):
        found.append(Track("cut", "Cuts", "", "marks", "cuts", lambda a, b: _cuts(run)[a:b]))
    lenders = run.one("lenders")
    if lenders is not None and has(lenders, "opacity"):
        read = _of_rows(lenders, "opacity", _plain)
        found.append(Track("opacity", "Opacity of the new mouth", "", "line", "validity", read))
    return [*found, *_scores(run, related)]


def _cues(run: RunView, face: str, first: int, stop: int) -> Values:
    """1 where a face has its voice from a cue sheet."""
    values = np.zeros(run.rows, np.float32)
    for cue in run.record.cues:
        if cue["face"] == face:
            values[slice(*cue["rows"])] = 1
    return values[first:stop]


def _scores(run: RunView, related: Related) -> list[Track]:
    """What evaluations measured on every frame of the dub's file."""
    found: dict[str, Track] = {}
    for artifact in _of_file(run, related, "metric"):
        if artifact.sizes.get("frame") != run.rows:
            continue
        for name in artifact.attributes.get("values", {}):
            if not has(artifact, name):
                continue
            array = artifact.group[name]
            unit, doc = (str(array.attrs.get(key, "")) for key in ("units", "doc"))
            title = doc.partition(";")[0] or name.replace("_", " ")
            read = _of_rows(artifact, name, _plain)
            found[name] = Track(f"score:{name}", title, unit, "line", "scores", read)
    return list(found.values())


def _of_file(run: RunView, related: Related, kinds: str) -> list[Artifact]:
    """Artifacts that were made of the dubbed file, as of any other video."""
    return [each for item in run.dubbed_sources() for each in related.made_of(item, kinds)]


def _dub_opening(run: RunView, related: Related) -> Callable[[int, int], Values] | None:
    """The dub's own mouth, if somebody looked at it."""
    for found in _of_file(run, related, "landmarks"):
        if found.kind == "landmarks" and found.sizes["frame"] == run.rows:
            return partial(_seen_opening, found)
    return None


def _plain(values: NDArray[Any]) -> Values:
    return values.astype(np.float32)


def _of_rows(
    artifact: Artifact, name: str, made: Callable[[NDArray[Any]], Values]
) -> Callable[[int, int], Values]:
    """Of an artifact whose rows are the run's."""
    return lambda first, stop: made(artifact.read(name, first, stop))


def _of_source(
    run: RunView, artifact: Artifact, made: Callable[[Artifact, int, int], Values]
) -> Callable[[int, int], Values]:
    """Of an artifact whose rows are the source's frames."""

    def read(first: int, stop: int) -> Values:
        rows = run.source_frame[first:stop]
        low = int(rows.min())
        values: Values = made(artifact, low, int(rows.max()) + 1)[rows - low]
        return values

    return read


def _seen_opening(face: Artifact, first: int, stop: int) -> Values:
    gap: Values = opening(face.read("mouth", first, stop))
    gap[~face.read("valid", first, stop)] = np.nan
    return gap


def _cuts(run: RunView) -> Values:
    """1 where a scene begins: at a cut of the source, and where the source's frames jump."""
    before, after = run.source_frame[:-1], run.source_frame[1:]
    starts = run.clip.scene_start[np.maximum(before, after)] & (after != before)
    starts |= np.abs(after - before) > 1
    return np.asarray(np.append(False, starts), np.float32)
