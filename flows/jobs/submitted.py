"""What is submitted: files of one dub and manifests of many, with all that is wrong with them."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from flows.batches.manifest import NOT_GIVEN, examine_manifest
from flows.dub_inputs import input_faults
from flows.examine import examine_settings
from flows.faults import faults_of
from flows.jobs.job import absolute
from flows.presets import merge, nested
from flows.settings import DubSettings, given_settings
from stores.artifacts.settings import default_store
from stores.errors import InputError, ManyFaults, no_such_file


def read_jobs(files: Sequence[Path], changes: list[str], store: str | None) -> list[DubSettings]:
    """Settings of all jobs of these files, their paths absolute.

    Args:
        files: YAML files of a dub, whose paths are relative to the current folder; or manifests.
        changes: NAME=VALUE texts; a row of a manifest comes before them.
        store: Where artifacts are kept, whatever a file says.

    Raises:
        ManyFaults: settings, or files that they name, can't be used; all of them.
    """
    found: list[DubSettings] = []
    given = {} if store is None else {"store": store}
    if faults := faults_of(partial(_read, file, changes, given, found) for file in files):
        raise ManyFaults(faults)
    return found


def _read(
    file: Path, changes: list[str], given: Mapping[str, Any], found: list[DubSettings]
) -> None:
    """Add the jobs of a file to those that were found."""
    if not file.exists():
        raise InputError(no_such_file(file))
    is_job = file.suffix.lower() in (".yaml", ".yml") and not _is_list(file)
    read = _of_job if is_job else _of_manifest
    if faults := list(read(file, changes, given, found)):
        raise ManyFaults([f"{file}: {fault}" for fault in faults])


def _of_job(
    file: Path, changes: list[str], given: Mapping[str, Any], found: list[DubSettings]
) -> Iterator[str]:
    settings, faults = examine_settings(given_settings(file, changes, given))
    yield from faults
    if settings is not None:
        found.append(absolute(settings))
        yield from input_faults(found[-1])
        if any(not each.is_absolute() and not each.exists() for each in _named(settings)):
            yield f"its paths are relative to the current folder, {Path.cwd()}"


def _named(settings: DubSettings) -> list[Path]:
    """Files and folders that must be there."""
    cues = settings.cues
    files = (settings.video, settings.audio, settings.bed, cues.sheet, cues.takes)
    return [settings.output.parent, *(each for each in files if each is not None)]


def _of_manifest(
    file: Path, changes: list[str], given: Mapping[str, Any], found: list[DubSettings]
) -> Iterator[str]:
    defaults = {"store": default_store(), **given}
    defaults = merge(defaults, nested(changes, example="sync.mode=cut_off"))
    examined = examine_manifest(file, defaults)
    yield from examined.problems
    for row in examined.all_rows:
        found.append(absolute(row.settings))
        for fault in input_faults(found[-1]):
            if NOT_GIVEN not in fault:
                yield f"row {row.name}: {fault}"


def _is_list(file: Path) -> bool:
    with file.open() as text:
        return any(line.startswith("-") for line in text if line.strip() and line[0] not in "#%")
