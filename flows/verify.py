"""Verify a file: its manifest, the marks in sound and picture, the run that made it.

Speaks of any media file, whoever made it; changes nothing.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from flows.origin import mark_text
from models.marks.code import Reading
from stores.artifacts.store import Store
from stores.errors import DubflowError, InputError, MediaError, no_such_file
from stores.media.source import probe
from stores.provenance.manifest import Manifest, read_manifest
from stores.runs import RunRecord, recorded_runs
from tasks.result.marks import mark_in_picture, mark_in_sound

Verdict = Literal["whole", "changed", "nothing"]
EXIT_CODES: dict[Verdict, int] = {"whole": 0, "changed": 1, "nothing": 2}

_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".mpg", ".mxf"}
    | {".wav", ".mp3", ".m4a", ".flac", ".ogg", ".aac"}
)
"""Of files that are looked at in a folder."""


class ManifestFound(BaseModel):
    """A signed manifest, in the file or beside it."""

    state: str = Field(description="valid, trusted (by an authority known here) or invalid")
    whole: bool = Field(description="not a bit differs from what was signed")
    signer: str
    generator: str = Field(description="program that wrote it")
    faults: list[str] = Field(description="what is wrong, as C2PA calls it")
    chain: list[str] = Field(description="what the file was made of")
    dub: dict[str, object] | None = Field(description="what Dubflow says of it")


class MarkFound(BaseModel):
    """A mark in the signal."""

    number: str = Field(description="hexadecimal")
    score: float = Field(description="standard deviations")
    chance: float = Field(description="share of unmarked files that score as much, at most")


class Finding(BaseModel):
    """What is known of a file."""

    file: Path
    verdict: Verdict = Field(
        description="whole: marked, and as it was signed; changed: marked, and not as it was "
        "signed, or no longer signed; nothing: neither manifest nor mark was found"
    )
    manifest: ManifestFound | None = None
    sound: MarkFound | None = None
    picture: MarkFound | None = None
    run: str | None = Field(
        default=None, description="id of the run that made it, if this store has it"
    )
    output: str | None = Field(default=None, description="file that this run wrote")
    made: str | None = Field(default=None, description="when, UTC")


def verify(path: Path, store: str) -> list[Finding]:
    """What is known of a file, or of each media file in a folder and below.

    Args:
        path: A file or a folder.
        store: URL of the store whose runs may have made it; it need not exist.

    Raises:
        InputError: there is no such file, or nothing to look at.
    """
    if path.is_dir():
        files = sorted(each for each in path.rglob("*") if each.suffix.lower() in _SUFFIXES)
        if not files:
            raise InputError(f"the folder {path} holds no media file")
    elif path.is_file():
        files = [path]
    else:
        raise InputError(no_such_file(path))
    runs = _runs(store)
    return [_finding(each, runs) for each in files]


def _finding(path: Path, runs: list[RunRecord]) -> Finding:
    manifest = read_manifest(path)
    sound, picture = (_mark(reading) for reading in _readings(path))
    marked = manifest is not None or sound is not None or picture is not None
    whole = manifest is not None and manifest.whole
    finding = Finding(
        file=path,
        verdict="whole" if whole else "changed" if marked else "nothing",
        manifest=None if manifest is None else _found(manifest),
        sound=sound,
        picture=picture,
    )
    if (run := _run_of(finding, runs)) is not None:
        finding.run, finding.output, finding.made = run.id, run.output, run.created
    return finding


def _readings(path: Path) -> Iterator[Reading | None]:
    try:
        found = probe(path)
    except MediaError:  # no media, or too damaged: a manifest may still be there
        yield from (None, None)
        return
    yield mark_in_sound(path) if found.has_audio else None
    yield mark_in_picture(path) if found.kind == "video" else None


def _mark(reading: Reading | None) -> MarkFound | None:
    if reading is None or not reading.found:
        return None
    score = round(reading.score, 2)
    return MarkFound(number=mark_text(reading.payload), score=score, chance=reading.chance)


def _found(manifest: Manifest) -> ManifestFound:
    return ManifestFound(
        state=manifest.state,
        whole=manifest.whole,
        signer=manifest.signer,
        generator=manifest.generator,
        faults=manifest.faults + ([] if manifest.whole or manifest.faults else ["seal.mismatch"]),
        chain=manifest.chain,
        dub=manifest.dub,
    )


def _runs(store: str) -> list[RunRecord]:
    """Records of the store, newest first; none of one that can't be read."""
    try:
        return recorded_runs(Store(store))[::-1]
    except DubflowError:
        return []


def _run_of(finding: Finding, runs: list[RunRecord]) -> RunRecord | None:
    """By the manifest's word; by the marks where there is none that holds."""
    if finding.manifest and finding.manifest.whole and finding.manifest.dub:
        named = [run for run in runs if run.id == finding.manifest.dub.get("run")]
        if named:
            return named[0]
    numbers = {mark.number for mark in (finding.sound, finding.picture) if mark is not None}
    return next((run for run in runs if run.mark in numbers), None)
