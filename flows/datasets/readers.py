"""Published folders and lists → clips. Each reader knows one layout, described in its YAML."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from flows.csv_rows import csv_rows
from flows.datasets.description import SPLITS, Clip, Description, Split
from stores.errors import InputError, no_folder

Reader = Callable[[Description, Path], Iterator[Clip]]

MANIFEST = "manifest.csv"


def find_clips(description: Description, data: Path) -> list[Clip]:
    """A data set's clips, in the order of their names.

    Raises:
        InputError: the folder does not look as the description says.
    """
    if not data.is_dir():
        raise InputError(f"--data {no_folder(data)}; it must hold: {_one_line(description.data)}")
    clips = sorted(READERS[description.reader](description, data), key=lambda clip: clip.name)
    if not clips:
        raise InputError(f"there is no clip in {data}; it must hold: {_one_line(description.data)}")
    return clips


def lrs2(description: Description, data: Path) -> Iterator[Clip]:
    """Lists of `BROADCAST/NUMBER`, further words of a line being notes."""
    root = next((f for f in (data, data / "mvlrs_v1") if (f / "main").is_dir()), data)
    lists: list[tuple[str, str, Split]] = [
        ("train", "main", "train"),
        ("val", "main", "validation"),
        ("test", "main", "test"),
        ("pretrain", "pretrain", "train"),
    ]
    for name, folder, split in lists:
        path = next((f for f in (data / f"{name}.txt", root / f"{name}.txt") if f.is_file()), None)
        if path is None:
            continue
        for line in path.read_text().splitlines():
            if not line.strip():
                continue
            video = root / folder / f"{line.split()[0]}.mp4"
            yield _spoken(description, data, video, video.parent.name, split)


def lrs3(description: Description, data: Path) -> Iterator[Clip]:
    """`pretrain`, `trainval` and `test`, each of VIDEO/NUMBER.mp4; VIDEO is YouTube's name."""
    for folder in ("pretrain", "trainval", "test"):
        split: Split | None = "test" if folder == "test" else "train"
        for video in (data / folder).glob("*/*.mp4"):
            yield _spoken(description, data, video, video.parent.name, split)


def lrw(description: Description, data: Path) -> Iterator[Clip]:
    """WORD/SPLIT/WORD_NUMBER.mp4; the text beside it names the broadcast, not the speaker."""
    root = data / "lipread_mp4" if (data / "lipread_mp4").is_dir() else data
    folders: list[tuple[str, Split]] = [("train", "train"), ("val", "validation"), ("test", "test")]
    for folder, split in folders:
        for video in root.glob(f"*/{folder}/*.mp4"):
            broadcast = _facts(video.with_suffix(".txt")).get("disk reference")
            yield Clip(
                name=_name(data, video),
                path=video,
                person=broadcast or video.stem,
                split=split,
                language=description.language,
                transcript=video.parents[1].name.lower(),
            )


def voxceleb2(description: Description, data: Path) -> Iterator[Clip]:
    """SET/mp4/PERSON/VIDEO/NUMBER.mp4, or mp4/PERSON/... and a table of persons."""
    sets: dict[str, Split] = {"dev": "train", "test": "test"}
    for folder, split in sets.items():
        for video in (data / folder / "mp4").glob("*/*/*.mp4"):
            person = video.parents[1].name
            yield Clip(_name(data, video), video, person, split, description.language)
    if (data / "mp4").is_dir():
        table = _table(data / "vox2_meta.csv", "VoxCeleb2 ID", description)
        splits = {row["VoxCeleb2 ID"]: sets[row.get("Set") or "dev"] for row in table}
        for video in (data / "mp4").glob("*/*/*.mp4"):
            person = video.parents[1].name
            yield Clip(_name(data, video), video, person, splits.get(person), description.language)


def named(description: Description, data: Path) -> Iterator[Clip]:
    """Files by pattern; their names tell the rest."""
    found = {path for glob in description.glob for path in data.glob(glob) if path.is_file()}
    for path in found:
        name = _name(data, path)
        key = re.search(description.transcript, name) if description.transcript else None
        said = description.transcripts.get(key.group(1)) if key else None
        person = _person(description, name)
        yield Clip(name, path, person, None, description.language, said)


def folder(description: Description, data: Path) -> Iterator[Clip]:
    """As a manifest says, else `named`."""
    manifest = data / MANIFEST
    if not manifest.is_file():
        yield from named(description, data)
        return
    splits: dict[str, Split] = {name: name for name in SPLITS}
    for number, row in enumerate(_table(manifest, "file", description), 2):
        given = row.get("split") or None
        if given is not None and given not in splits:
            raise InputError(
                f"{manifest}, line {number}: split is {given!r}; it may be {', '.join(SPLITS)}"
            )
        path = data / row["file"]
        # By its name, not by where links lead: data sets are often folders of links.
        if not Path(os.path.normpath(path)).is_relative_to(os.path.normpath(data)):
            raise InputError(f"{manifest}, line {number}: {row['file']} is not below {data}")
        yield Clip(
            name=_name(data, path),
            path=path,
            person=row.get("person") or _person(description, row["file"]),
            split=splits[given] if given else None,
            language=row.get("language") or description.language,
            transcript=row.get("transcript") or None,
        )


READERS: dict[str, Reader] = {
    "lrs2": lrs2,
    "lrs3": lrs3,
    "lrw": lrw,
    "voxceleb2": voxceleb2,
    "named": named,
    "folder": folder,
}


def _spoken(
    description: Description, data: Path, video: Path, person: str, split: Split | None
) -> Clip:
    """A clip of LRS2 or LRS3, whose text beside it begins with `Text: WHAT IS SAID`."""
    said = _facts(video.with_suffix(".txt")).get("text")
    return Clip(_name(data, video), video, person, split, description.language, said)


def _facts(path: Path) -> dict[str, str]:
    """Lines `Name: value` of a text file, names in lower case; nothing if there is no such file."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, colon, value in pairs if colon}


def _table(path: Path, needed: str, description: Description) -> list[dict[str, str]]:
    """Rows of a CSV file; names and values without blanks around them."""
    try:
        rows = [
            {k: v.strip() for k, v in row.items() if isinstance(k, str) and isinstance(v, str)}
            for row in csv_rows(path)
        ]
    except OSError as error:
        raise InputError(
            f"{path} can't be read ({error.strerror}); --data must hold: "
            f"{_one_line(description.data)}"
        ) from None
    if rows and needed not in rows[0]:
        raise InputError(f"{path} has no column {needed!r}; it has {', '.join(rows[0])}")
    return rows


def _person(description: Description, name: str) -> str:
    found = re.search(description.person, name) if description.person else None
    return found.group(1) if found else name


def _name(data: Path, path: Path) -> str:
    return path.relative_to(data).as_posix()


def _one_line(text: str) -> str:
    return " ".join(text.split())
