"""A manifest: which videos are dubbed with which speech, one row each.

CSV, Parquet, JSON lines or YAML (a list). Columns: `video`, `audio`, `output`, and any setting of
a dub, dotted where it is nested (`method`, `face`, `sync.mode`, `restore.model`). Paths are
relative to the manifest. An empty cell leaves a setting at its default.
"""

import csv
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from flows.methods import method_settings
from flows.presets import at_path, checked, merge
from flows.settings import DubSettings
from stores.errors import InputError, SettingsError

REQUIRED = ("video", "audio", "output")
_PATHS = frozenset(REQUIRED)
_SHOWN_PROBLEMS = 8


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
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: a manifest is .csv, .parquet, .jsonl, .yaml or .yml")
    try:
        found = reader(path)
    except FileNotFoundError:
        raise InputError(f"there is no manifest {path}") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"the manifest {path} can't be read: {reason}") from None
    if not isinstance(found, list) or not all(isinstance(cells, dict) for cells in found):
        raise InputError(f"the manifest {path} must be a list of rows with named cells")
    if not found:
        raise InputError(f"the manifest {path} has no row")
    rows: list[Row] = []
    problems: list[str] = []
    for number, cells in enumerate(found, 1):
        try:
            rows.append(Row(number, _settings(cells, path.parent, defaults)))
        except SettingsError as error:
            problems.append(f"row {number}: {error}")
    outputs = Counter(row.settings.output.absolute() for row in rows)
    problems += [
        f"{count} rows write {output}; give each its own output"
        for output, count in outputs.items()
        if count > 1
    ]
    if problems:
        shown = "; ".join(problems[:_SHOWN_PROBLEMS])
        more = f"; and {len(problems) - _SHOWN_PROBLEMS} more" * (len(problems) > _SHOWN_PROBLEMS)
        raise SettingsError(f"{path}: {shown}{more}")
    return rows


def _settings(cells: dict[str, Any], folder: Path, defaults: dict[str, Any]) -> DubSettings:
    """Settings of one row.

    Raises:
        SettingsError: one is missing, unknown or wrong.
    """
    given = {name: value for name, value in cells.items() if value not in (None, "")}
    if None in cells:
        raise SettingsError("it has more cells than the manifest has columns")
    if missing := [name for name in REQUIRED if name not in given]:
        raise SettingsError(f"no {' and no '.join(missing)} given")
    nested: dict[str, Any] = {}
    for name, value in given.items():
        nested = merge(nested, at_path(name, folder / str(value) if name in _PATHS else value))
    settings = checked(DubSettings, merge(defaults, nested))
    method_settings(settings.method, settings.method_settings)
    return settings


def _read_csv(path: Path) -> Any:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return [
            {name: _plain(cell) for name, cell in row.items()}
            for row in csv.DictReader(file)
            if any(row.values())
        ]


def _plain(cell: Any) -> Any:
    """Numbers, truth values and lists in a CSV cell as such; paths and names stay text."""
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
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def _read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


_READERS: dict[str, Callable[[Path], Any]] = {
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".jsonl": _read_json_lines,
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
}
