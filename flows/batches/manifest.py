"""A manifest: which videos are dubbed with which speech, one row each.

CSV, Parquet, JSON lines or YAML (a list). Columns: `video`, `audio` or `cues.sheet`, `output`, and
any setting of a dub, dotted where it is nested (`method`, `face`, `sync.mode`, `restore.model`).
Paths are relative to the manifest. An empty cell leaves a setting at its default.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from flows.csv_rows import csv_rows
from flows.examine import examine_settings
from flows.presets import at_path, merge
from flows.settings import DubSettings
from stores.errors import InputError, SettingsError, no_such_file

REQUIRED = ("video", "audio", "output")
_PATHS = frozenset({*REQUIRED, "bed", "cues.sheet", "cues.takes", "origin.consent"})
_TEXTS = frozenset(
    {n for n, f in DubSettings.model_fields.items() if f.annotation in (Path, str, Path | None)}
    | {"cues.sheet", "cues.takes", "origin.consent", "origin.label"}
)
"""Columns whose cells are text, whatever they look like: a file may be called 007."""
_SHOWN_PROBLEMS = 8
NOT_GIVEN = "(not given)"
"""Stands for a file that a row does not name."""


@dataclass(frozen=True)
class Row:
    """One dub of a batch.

    Attributes:
        number: From 1, as in the manifest.
        settings: All that is set for it.
    """

    number: int
    settings: DubSettings

    @property
    def name(self) -> str:
        """For people: short, and unlike that of other rows."""
        return f"{self.number} {self.settings.output.name}"


def read_manifest(path: Path, defaults: dict[str, Any]) -> list[Row]:
    """All rows, every setting checked.

    Args:
        defaults: Settings of all rows; a row's own come before them.

    Raises:
        InputError: the file can't be read, or names no video.
        SettingsError: settings are unknown or wrong, or two rows write the same file; says which
            rows, and what is wrong with each.
    """
    found = examine_manifest(path, defaults)
    if problems := found.problems:
        shown = "; ".join(problems[:_SHOWN_PROBLEMS])
        more = f"; and {len(problems) - _SHOWN_PROBLEMS} more" * (len(problems) > _SHOWN_PROBLEMS)
        raise SettingsError(f"{path}: {shown}{more}; `dubflow batch {path} --check` lists all")
    return found.rows


@dataclass(frozen=True)
class Examined:
    """What a manifest comes to.

    Attributes:
        rows: Whose settings are right.
        mended: What is left of the others without what is wrong; `NOT_GIVEN` for files not named.
        problems: What is wrong, each with its row.
    """

    rows: list[Row]
    mended: list[Row]
    problems: list[str]

    @property
    def all_rows(self) -> list[Row]:
        """As in the manifest."""
        return sorted((*self.rows, *self.mended), key=lambda row: row.number)


def examine_manifest(path: Path, defaults: dict[str, Any]) -> Examined:
    """All rows, and all that is wrong with their settings.

    Args:
        defaults: As for `read_manifest`.

    Raises:
        InputError: the file can't be read, or has no rows.
    """
    found = Examined([], [], [])
    faulty: dict[str, list[int]] = {}
    for number, cells in enumerate(_read(path), 1):
        settings, faults = _settings(cells, path.parent, defaults)
        for fault in dict.fromkeys(faults):
            faulty.setdefault(fault, []).append(number)
        if settings is not None:
            (found.mended if faults else found.rows).append(Row(number, settings))
    found.problems.extend(f"{_named(rows)}: {fault}" for fault, rows in faulty.items())
    outputs = Counter(row.settings.output.absolute() for row in found.rows)
    found.problems.extend(
        f"{count} rows write {output}; give each its own output"
        for output, count in outputs.items()
        if count > 1
    )
    return found


def _named(rows: list[int]) -> str:
    """As in "row 3" and "rows 1, 2, 5 to 7"."""
    runs: list[list[int]] = []
    for row in rows:
        if runs and row == runs[-1][-1] + 1:
            runs[-1].append(row)
        else:
            runs.append([row])
    parts = (f"{r[0]} to {r[-1]}" if len(r) > 2 else ", ".join(map(str, r)) for r in runs)
    return f"row{'s' * (len(rows) > 1)} {', '.join(parts)}"


def _read(path: Path) -> list[dict[Any, Any]]:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: a manifest is .csv, .parquet, .jsonl, .yaml or .yml")
    try:
        found = reader(path)
    except FileNotFoundError:
        raise InputError(no_such_file(path)) from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"the manifest {path} can't be read: {reason}") from None
    if not isinstance(found, list) or not all(isinstance(cells, dict) for cells in found):
        raise InputError(f"the manifest {path} must be a list of rows with named cells")
    if not found:
        raise InputError(f"the manifest {path} has no row")
    return found


def _settings(
    cells: dict[Any, Any], folder: Path, defaults: dict[str, Any]
) -> tuple[DubSettings | None, list[str]]:
    """Settings of one row without what is wrong with it, and that; None if nothing is left."""
    given = {name: value for name, value in cells.items() if value not in (None, "")}
    faults = ["it has more cells than the manifest has columns"] if None in cells else []
    faults += [f"{n}: names of settings are text" for n in cells if not isinstance(n, str | None)]
    by_sheet = {"audio"} if "cues.sheet" in given else set()
    if missing := [name for name in REQUIRED if name not in given.keys() | by_sheet]:
        faults.append(f"no {' and no '.join(missing)} given")
    own: dict[str, Any] = {name: Path(NOT_GIVEN) for name in missing}
    for name, value in given.items():
        if isinstance(name, str):
            own = merge(own, at_path(name, folder / str(value) if name in _PATHS else value))
    settings, wrong = examine_settings(merge(defaults, own))
    return settings, faults + wrong


def _read_csv(path: Path) -> Any:
    return [
        {name: cell or None if name in _TEXTS else _plain(cell) for name, cell in row.items()}
        for row in csv_rows(path)
        if any(row.values())
    ]


def _plain(cell: Any) -> Any:
    """Numbers, truth values and lists in a CSV cell as such."""
    if not isinstance(cell, str) or not cell.strip():
        return None
    try:
        found = yaml.safe_load(cell)
    except yaml.YAMLError:
        return cell
    return found if isinstance(found, (bool, int, float, list)) else cell


def _read_parquet(path: Path) -> Any:
    import pyarrow.parquet as pq

    return pq.read_table(path).to_pylist()


def _read_json_lines(path: Path) -> Any:
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    return [json.loads(line) for line in lines if line.strip()]


def _read_yaml(path: Path) -> Any:
    loader = yaml.SafeLoader(path.read_text(encoding="utf-8-sig"))
    try:
        rows = loader.get_single_node()
        for row in rows.value if isinstance(rows, yaml.SequenceNode) else ():
            for name, value in row.value if isinstance(row, yaml.MappingNode) else ():
                if name.value in _TEXTS and isinstance(value, yaml.ScalarNode) and value.value:
                    value.tag = "tag:yaml.org,2002:str"
        return None if rows is None else loader.construct_document(rows)
    finally:
        loader.dispose()


_READERS: dict[str, Callable[[Path], Any]] = {
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".jsonl": _read_json_lines,
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
}
