"""A cue sheet: who says what, when. CSV, JSON, or SRT and WebVTT with a folder of numbered takes.

Columns: `start`, `end`, `face`, `speech`, and if wanted `offset`, `gain_db`, `text`, `take`. A
table of faces stands above the columns of a CSV as lines `# anna: track:0`, in JSON as `faces`
beside `cues`. Paths are relative to the sheet. All of it is read and checked before any work.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from flows.csv_rows import csv_rows
from flows.cue_settings import CueSettings, Face
from flows.cues.times import Clock, read_time
from stores.errors import InputError, ManyFaults, MediaError, no_such_file
from stores.media.source import probe

COLUMNS = ("start", "end", "face", "speech", "offset", "gain_db", "text", "take")
_NAMED = re.compile(r"#\s*(.+?)\s*:\s*(\S+)")
_VOICE, _NAME = re.compile(r"<v(?:\.\S+)?\s+([^>]+)>"), re.compile(r"([^:<>]{1,40}):\s")
_TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True)
class Cue:
    """A span of the output in which a face says something.

    Attributes:
        row: From 1, as in the sheet; 0: there is none.
        start: Where speech and span begin [s of the output].
        end: Where they end at the latest; None: with the output.
        face: As `--face` takes it.
        speech: File.
        offset: Where in the file the speech begins [s].
        gain_db: Of the speech in the sound.
        name: What the sheet calls the face.
        text: What is said, for people.
        take: Which one it is, for people.
    """

    row: int
    start: Fraction
    end: Fraction | None
    face: str
    speech: Path
    offset: Fraction = Fraction(0)
    gain_db: float = 0.0
    name: str = ""
    text: str = ""
    take: str = ""


def read_sheet(
    settings: CueSettings, clock: Clock, *, face: str, seconds: float | None
) -> list[Cue]:
    """All cues of a sheet, each checked, in its order.

    Args:
        settings: Name the sheet, and takes and faces beside it.
        clock: What SMPTE labels count by.
        face: Of rows that name none.
        seconds: Length of the output as far as it is known.

    Raises:
        InputError: the sheet can't be read or has no row.
        ManyFaults: columns or rows are wrong; names row and column of each.
    """
    assert settings.sheet is not None
    table, rows = _read(settings.sheet, settings.faces)
    sheet = _Sheet(settings, clock, table | settings.faces, face, seconds)
    sheet.check_columns(rows)
    cues = [cue for number, cells in enumerate(rows, 1) if (cue := sheet.cue(number, cells))]
    sheet.compare()
    if sheet.faults:
        raise ManyFaults([f"{settings.sheet}: {fault}" for fault in sheet.faults])
    return cues


@dataclass(frozen=True)
class _Span:
    """When a row voices a face, whatever else is wrong with it."""

    row: int
    start: Fraction
    end: Fraction
    face: str
    name: str


@dataclass
class _Sheet:
    """What rows are read by, and what was found to be wrong with them."""

    settings: CueSettings
    clock: Clock
    table: dict[str, str]
    face: str
    seconds: float | None
    faults: list[str] = field(default_factory=list)
    _spans: list[_Span] = field(default_factory=list)
    _lengths: dict[Path, float | None] = field(default_factory=dict)

    def check_columns(self, rows: "_Rows") -> None:
        """Note columns that are unknown."""
        names = dict.fromkeys(_column(name) for cells in rows for name in cells if name)
        known = ", ".join(COLUMNS)
        self.faults += [
            f"column {name}: there is no such column; there is {known}"
            for name in names
            if name not in COLUMNS
        ]

    def cue(self, row: int, cells: dict[Any, Any]) -> Cue | None:
        """The cue of a row; None where something is wrong with it."""
        found: dict[str, Any] = {}
        cells = {_column(n) if n else n: _plain(cell) for n, cell in cells.items()}
        if None in cells:
            self.fault(row, "", "it has more cells than the sheet has columns")
        readers: dict[str, Callable[[], Any]] = {
            "start": partial(read_time, cells.get("start"), self.clock),
            "end": partial(read_time, cells.get("end"), self.clock),
            "offset": partial(read_time, cells.get("offset") or 0, self.clock),
            "gain_db": partial(_gain, cells.get("gain_db") or 0),
            "face": partial(self._face, str(cells.get("face") or "")),
            "speech": partial(self._speech, cells),
        }
        for name, read in readers.items():
            try:
                found[name] = read()
            except _Amiss as error:
                self.fault(row, error.column, str(error))
            except ValueError as error:
                self.fault(row, name, str(error))
        name = str(cells.get("face") or "")
        self._check_times(row, name, found)
        if len(found) < len(readers):
            return None
        text, take = (str(cells.get(each) or "") for each in ("text", "take"))
        return Cue(row, **found, name=name, text=text, take=take)

    def _check_times(self, row: int, name: str, found: Mapping[str, Any]) -> None:
        """Note times that can't be, of what could be read of a row."""
        start, end = found.get("start"), found.get("end")
        slack = float(1 / self.clock.rate) if self.clock.rate else 0.04
        if end is not None and self.seconds is not None and end > self.seconds + slack:
            self.fault(row, "end", f"{shown(end)} is beyond the end at {self.seconds:.3f} s")
        if start is not None and end is not None and end <= start:
            self.fault(row, "end", "it is not after the start")
        elif start is not None and end is not None and "face" in found:
            self._spans.append(_Span(row, start, end, found["face"], name))
        if "offset" in found and "speech" in found:
            length = self._length(found["speech"])
            if length is not None and found["offset"] >= length:
                self.fault(row, "offset", f"{found['speech']} lasts {length:.2f} s only")

    def fault(self, row: int, column: str, what: str) -> None:
        """Note what is wrong."""
        self.faults.append(f"row {row}" + f", column {column}" * bool(column) + f": {what}")

    def compare(self) -> None:
        """Note cues of one face at the same time."""
        for face in dict.fromkeys(span.face for span in self._spans):
            of_face = [span for span in self._spans if span.face == face]
            for before, span in pairwise(sorted(of_face, key=lambda s: (s.start, s.row))):
                if span.start < before.end:
                    self.fault(
                        span.row,
                        "start",
                        f"{shown(span.start)} is before {shown(before.end)}, where row "
                        f"{before.row} of the same face ({span.name or face}) ends",
                    )

    def _face(self, name: str) -> str:
        given = self.table.get(name, name) or self.face
        try:
            return TypeAdapter(Face).validate_python(given)
        except ValidationError:
            known = ", ".join(self.table) or "none"
            raise ValueError(
                f"{given!r} names no face: write one of the faces table ({known}), largest, "
                "track:N, or x,y@seconds"
            ) from None

    def _speech(self, cells: dict[Any, Any]) -> Path:
        assert self.settings.sheet is not None
        given, take = cells.get("speech"), str(cells.get("take") or "")
        path = self.settings.takes if given is None else self.settings.sheet.parent / str(given)
        if path is None:
            raise ValueError("no speech: name a file, or a folder of takes with --takes")
        if path.is_dir():
            path = _take(path, take)
        self._length(path)
        return path

    def _length(self, path: Path) -> float | None:
        """Seconds by the header."""
        if path not in self._lengths:
            try:
                facts = probe(path)
            except MediaError as error:
                raise ValueError(str(error)) from None
            if not facts.has_audio:
                raise ValueError(f"{path} holds no sound")
            self._lengths[path] = facts.seconds
        return self._lengths[path]


class _Amiss(ValueError):
    """Something is wrong with another column than the one that was read."""

    def __init__(self, column: str, what: str) -> None:
        super().__init__(what)
        self.column = column


def _take(folder: Path, take: str) -> Path:
    """The file of that name or number in a folder of takes."""
    if not take:
        raise _Amiss("take", f"no take: {folder} is a folder, so that a row names its file in it")
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    found = [p for p in files if take in (p.stem, p.name)]
    if not found and take.isdecimal():
        numbers = {p: re.search(r"\d+", p.stem) for p in files}
        found = [p for p, number in numbers.items() if number and int(number[0]) == int(take)]
    if len(found) != 1:
        names = ", ".join(p.name for p in found)
        what = (
            f"{names} in {folder} are all take {take}" if found else f"no take {take} in {folder}"
        )
        raise _Amiss("take", what)
    return found[0]


def shown(seconds: Fraction) -> str:
    """As in "12.5 s"."""
    return f"{round(float(seconds), 3):g} s"


def _column(name: object) -> str:
    return str(name).strip().lower()


def _plain(cell: Any) -> Any:
    cell = cell.strip() if isinstance(cell, str) else cell
    return None if cell == "" else cell


def _gain(given: object) -> float:
    gain = float(str(given).replace(",", "."))
    if isinstance(given, bool) or not (math.isfinite(gain) and -60 <= gain <= 20):
        raise ValueError(f"{given} is no gain from -60 to 20 dB")
    return gain


_Rows = list[dict[Any, Any]]


def _read(path: Path, named: Mapping[str, str]) -> tuple[dict[str, str], _Rows]:
    """Table of faces, and rows. `named` are faces that are named elsewhere."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: a cue sheet is {', '.join(_READERS)}")
    try:
        table, rows = reader(path, named)
    except FileNotFoundError:
        raise InputError(no_such_file(path, "cue sheet")) from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text in UTF-8; save it as such") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} can't be read: {' '.join(str(error).split())}") from None
    if not rows:
        raise InputError(f"{path}: no row; a cue sheet has one for each cue, below {COLUMNS[0]}, …")
    return table, rows


def _csv(path: Path, named: Mapping[str, str]) -> tuple[dict[str, str], _Rows]:
    table: dict[str, str] = {}
    head = 0
    with path.open(encoding="utf-8-sig") as file:
        for line in file:
            text = line.strip().strip(",;\t").strip('"').strip()
            if text and not text.startswith("#"):
                break
            head += 1
            if match := _NAMED.fullmatch(text):
                table[match[1]] = match[2]
    rows: Any = [row for row in csv_rows(path, skip=head) if any(row.values())]
    return table, rows


def _json(path: Path, named: Mapping[str, str]) -> tuple[dict[str, str], _Rows]:
    found = json.loads(path.read_text(encoding="utf-8-sig"))
    table, rows = ({}, found) if isinstance(found, list) else ({}, None)
    if isinstance(found, dict):
        table, rows = found.get("faces", {}), found.get("cues")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError('write {"faces": {name: face}, "cues": [{"start": …}, …]}')
    if not isinstance(table, dict) or not all(isinstance(each, str) for each in table.values()):
        raise ValueError('"faces" is a face, as track:0, by each name')
    return table, rows


def _subtitles(path: Path, named: Mapping[str, str]) -> tuple[dict[str, str], _Rows]:
    return {}, list(_blocks(path.read_text(encoding="utf-8-sig"), named))


def _blocks(text: str, named: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Cues of subtitles; who speaks stands before the text as `<v Anna>`, or a name and a colon."""
    count = 0
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n")):
        lines = block.strip().splitlines()
        at = next((n for n, line in enumerate(lines[:2]) if "-->" in line), None)
        if at is None:
            continue
        count += 1
        start, _, end = lines[at].partition("-->")
        said = " ".join(lines[at + 1 :])
        voice, name = _VOICE.match(said), _NAME.match(said)
        yield {
            "start": start,
            "end": (end.split() or [""])[0],
            "take": lines[0].strip() if at else str(count),
            "face": voice[1] if voice else name[1] if name and name[1] in named else None,
            "text": _TAG.sub("", said),
        }


_READERS: dict[str, Callable[[Path, Mapping[str, str]], tuple[dict[str, str], _Rows]]] = {
    ".csv": _csv,
    ".json": _json,
    ".srt": _subtitles,
    ".vtt": _subtitles,
}
