"""Evaluation protocols: which clips, which speech, under which conditions; the same everywhere.

A protocol is a YAML file in configs/protocols/, or a user's own of the same layout. Names of clips
are paths below the data folder, with slashes; they and the seed alone decide samples and pairs, so
that two machines score the same pairs.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from flows.presets import checked, config_file, read_yaml
from stores.errors import DubflowError, InputError, no_folder
from stores.media.source import probe


class Listing(BaseModel):
    """A text file below the data folder, one clip or pair a line."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str = Field(description="path below the data folder")
    columns: list[Literal["video", "audio", "ignore"]] = Field(
        ["video"], description="what stands between the spaces of a line"
    )
    below: str = Field("", description="folder below the data folder that its paths start from")
    suffix: str = Field("", description="what its paths lack: .mp4")


class Protocol(BaseModel):
    """One way to evaluate."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    about: str = Field(description="what is measured, and how near it is to the paper's own")
    source: str = Field(description="paper or code that it follows")
    data: str = Field(description="what the folder given with --data must look like")
    glob: list[str] = Field([], description="patterns below the data folder; instead of a listing")
    listing: Listing | None = None
    min_seconds: float = Field(0, ge=0, description="shorter clips are left out [s]")
    count: int | None = Field(None, ge=1, description="so many of them, drawn by the seed")
    seconds: float | None = Field(
        None, gt=0, description="the first seconds of each video only [s]"
    )
    last_share: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="the last share of each video's time only: what learns a person must not have "
        "learned from it",
    )
    speech: Literal["own", "other", "listed"] = Field(
        description="own: its own sound, so that the result has a truth; other: that of another "
        "clip, drawn by the seed; listed: as the listing says"
    )
    person: str | None = Field(
        None,
        description="regular expression; what its first group finds in a clip's name is the "
        "person. With speech=other, the other clip is then of another person",
    )
    seed: int = 0
    methods: dict[str, dict[str, Any]] = Field(
        {}, description="settings of a method under this protocol"
    )

    @model_validator(mode="after")
    def _one_source(self) -> "Protocol":
        if bool(self.glob) == bool(self.listing):
            raise ValueError("clips come either from glob or from listing")
        listed = self.listing is not None and "audio" in self.listing.columns
        if (self.speech == "listed") != listed:
            raise ValueError("speech is `listed` exactly if the listing has a column audio")
        if self.last_share is not None and (self.speech != "own" or self.seconds is not None):
            raise ValueError("last_share goes with speech own, and without seconds")
        return self

    @property
    def paired(self) -> bool:
        """Results have a truth to be compared with."""
        return self.speech == "own"


@dataclass(frozen=True)
class Item:
    """One video and the speech that it is to say.

    Attributes:
        name: Of its results: the video's name, and the speech's where it is another's.
        video: File.
        speech: File.
    """

    name: str
    video: Path
    speech: Path


def read_protocol(name: str) -> Protocol:
    """A shipped protocol by name, or a user's by the path of its file.

    Raises:
        SettingsError: there is none, or it is not as it must be.
    """
    path = config_file(name, folder="protocols", what="protocol")
    return checked(Protocol, read_yaml(path), where=f"{path}: ")


def find_items(protocol: Protocol, data: Path) -> list[Item]:
    """The protocol's items in the data folder, in the order of their names.

    Raises:
        InputError: the folder does not look as the protocol says, or all clips are too short.
    """
    if not data.is_dir():
        raise InputError(f"--data {no_folder(data)}; it must hold: {protocol.data}")
    pairs = _listed(protocol, data) if protocol.listing else _found(protocol, data)
    if pairs and protocol.min_seconds:
        pairs = [pair for pair in pairs if _seconds(data / pair[0]) >= protocol.min_seconds]
        if not pairs:
            least = f"{protocol.min_seconds:g} s"
            raise InputError(f"each clip of the protocol in {data} is shorter than {least}")
    pairs.sort()
    if protocol.count is not None and protocol.count < len(pairs):
        drawn = sorted(pairs, key=lambda pair: _draw(protocol.seed, *pair))[: protocol.count]
        pairs = sorted(drawn)
    if not pairs:
        raise InputError(f"no clip of the protocol in {data}; it must hold: {protocol.data}")
    if protocol.speech == "other":
        pairs = _mixed(pairs, protocol)
    return [Item(_item_name(*pair), data / pair[0], data / pair[1]) for pair in pairs]


def too_short(protocol: Protocol, data: Path) -> list[str]:
    """Names of the clips that `find_items` leaves out for their length."""
    if not protocol.min_seconds:
        return []
    pairs = _listed(protocol, data) if protocol.listing else _found(protocol, data)
    return sorted(v for v, _ in pairs if _seconds(data / v) < protocol.min_seconds)


def _found(protocol: Protocol, data: Path) -> list[tuple[str, str]]:
    found = {path for pattern in protocol.glob for path in data.glob(pattern) if path.is_file()}
    names = (path.relative_to(data).as_posix() for path in found)
    return [(name, name) for name in names]


def _listed(protocol: Protocol, data: Path) -> list[tuple[str, str]]:
    listing = protocol.listing
    assert listing is not None
    path = data / listing.file
    try:
        lines = [line.split() for line in path.read_text().splitlines() if line.strip()]
    except OSError:
        raise InputError(f"there is no {path}; --data must hold: {protocol.data}") from None
    pairs = []
    for number, words in enumerate(lines, 1):
        if len(words) < len(listing.columns):
            wanted = " ".join(listing.columns)
            raise InputError(f"{path}, line {number}: expected `{wanted}`, found {' '.join(words)}")
        named = dict(zip(listing.columns, words, strict=False))
        full = {
            column: (Path(listing.below) / f"{word}{listing.suffix}").as_posix()
            for column, word in named.items()
        }
        pairs.append((full["video"], full.get("audio", full["video"])))
    return pairs


def _mixed(pairs: list[tuple[str, str]], protocol: Protocol) -> list[tuple[str, str]]:
    """Each video with the speech of another clip: of another person, where persons are known.

    Raises:
        InputError: all clips are of one person.
    """
    videos = [video for video, _ in pairs]
    persons = {video: _person(protocol, video) for video in videos}
    mixed = []
    for video in videos:
        others = [other for other in videos if persons[other] != persons[video]]
        if not others:
            raise InputError("unpaired speech needs clips of at least two persons")
        mixed.append((video, min(others, key=lambda other: _draw(protocol.seed, video, other))))
    return mixed


def _person(protocol: Protocol, name: str) -> str:
    found = re.search(protocol.person, name) if protocol.person else None
    return found.group(1) if found else name


def _draw(seed: int, *names: str) -> bytes:
    """A number that looks random and depends on nothing else."""
    return hashlib.blake2b("\0".join([str(seed), *names]).encode(), digest_size=8).digest()


def _seconds(path: Path) -> float:
    try:
        return probe(path).seconds or 0.0
    except DubflowError:
        return float("inf")  # a damaged clip is an item that fails, not one that never was


def _item_name(video: str, speech: str) -> str:
    name = Path(video).with_suffix("").as_posix()
    said = Path(speech).with_suffix("").as_posix().replace("/", "-")
    return name if speech == video else f"{name}+{said}"
