"""Foreign speech for pseudo labels: whose there is, and how much of each is learned from."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flows.datasets.description import Clip, read_description
from flows.datasets.readers import find_clips
from flows.datasets.splits import draw
from stores.dataset_index import read_paths
from stores.errors import InputError, MediaError, no_folder
from stores.media.source import probe

LEAST_SECONDS = 1.0
"""Less of a file holds no sample that a network is judged by."""
_LEAST_OF_SPEAKER_SECONDS = 10.0
"""Where there are more speakers than parts of this length, some are left out."""
_ENOUGH = 0.9
"""Share of what is wanted with which nothing is said."""
_SOUNDS = ("wav", "flac", "mp3", "m4a", "aac", "ogg", "opus")
_SUBFOLDER = "^(.+)/[^/]+$"


@dataclass(frozen=True)
class Part:
    """The beginning of a file that somebody speaks in.

    Attributes:
        path: The file, a sound or a video.
        speaker: Who speaks.
        seconds: Of it that are taken.
        whole: That is all of it.
    """

    path: Path
    speaker: str
    seconds: float
    whole: bool


@dataclass(frozen=True)
class Speech:
    """What is learned from.

    Attributes:
        parts: In order of speakers and files.
        notes: What a user should know of it.
    """

    parts: Sequence[Part] = ()
    notes: Sequence[str] = ()

    @property
    def speakers(self) -> list[str]:
        """Whose speech it is, in order."""
        return sorted({part.speaker for part in self.parts})

    @property
    def seconds(self) -> float:
        """Of all parts."""
        return sum(part.seconds for part in self.parts)


def find_speech(data: Path, *, person: str | None, minutes: float, apart: Path) -> Speech:
    """Speech in a folder or index: as much of each speaker, as far as there is.

    Args:
        data: A folder of sounds and videos, or an index of `dubflow prepare`.
        person: Regular expression whose first group in a file's path is the speaker; None: the
            file's subfolder, or the name of a file in none.
        minutes: Of all parts together, if there is so much.
        apart: A video that is not among them: the person who learns to speak.

    Raises:
        InputError: there is none.
        SettingsError: `person` is no such expression.
    """
    clips = [clip for clip in _clips(data, person) if not _same(clip.path, apart)]
    lengths = _Lengths()
    parts = list(_drawn(clips, 60 * minutes, lengths))
    if not parts:
        why = f" ({next(iter(lengths.faults))})" if lengths.faults else ""
        raise InputError(
            f"{data} holds no sound of {LEAST_SECONDS:g} s or more{why}; it must hold sounds or "
            "videos of several speakers, a subfolder for each"
        )
    parts.sort(key=lambda part: (part.speaker, str(part.path)))
    notes = [f"{count} files left out: {fault}" for fault, count in lengths.faults.items()]
    there = sum(part.seconds for part in parts) / 60
    if there < _ENOUGH * minutes:
        notes.append(f"{data} holds {there:.1f} min of speech, not {minutes:g}")
    return Speech(parts, notes)


def _clips(data: Path, person: str | None) -> list[Clip]:
    if data.suffix == ".parquet":
        rows = read_paths(data, splits=("train", "validation"))
        return [Clip(str(path), path, speaker) for path, speaker in rows]
    if not data.is_dir():
        raise InputError(no_folder(data, "folder of speech"))
    videos = read_description("folder").glob
    described = read_description(
        "folder",
        title="speech",
        data="sounds or videos of several speakers, a subfolder for each",
        glob=[*(f"**/*.{suffix}" for suffix in _SOUNDS), *videos],
        person=person or _SUBFOLDER,
    )
    return find_clips(described, data)


def _same(path: Path, other: Path) -> bool:
    return path.exists() and other.exists() and path.samefile(other)


@dataclass
class _Lengths:
    """Of files, looked up when they are drawn.

    Attributes:
        faults: Why files can't be used, and how many each.
    """

    faults: Counter[str] = field(default_factory=Counter)

    def of(self, path: Path) -> float:
        """[s]; 0 where there is no sound."""
        try:
            found = probe(path)
        except MediaError as error:
            self.faults[str(error)] += 1
            return 0.0
        if not found.has_audio:
            self.faults["no sound in them"] += 1
            return 0.0
        return found.seconds or 0.0


def _drawn(clips: Iterable[Clip], wanted: float, lengths: _Lengths) -> Iterator[Part]:
    """Parts of so many seconds in all: rounds in which each speaker gives the same, while there is.

    Who comes first does not follow from names, so that other files added later move little.
    """
    own: dict[str, list[Clip]] = {}
    for clip in sorted(clips, key=lambda clip: draw(0, clip.name)):
        own.setdefault(clip.person, []).append(clip)
    waiting = {name: _Waiting(own[name], lengths) for name in sorted(own, key=lambda n: draw(0, n))}
    speakers, left, least = list(waiting), wanted, _LEAST_OF_SPEAKER_SECONDS
    while speakers and left >= LEAST_SECONDS:
        share = max(left / len(speakers), least)
        for name in speakers:
            left -= waiting[name].take(min(share, left))
        speakers = [name for name in speakers if not waiting[name].empty]
        least = LEAST_SECONDS
    for each in waiting.values():
        yield from each.taken()


class _Waiting:
    """A speaker's files, of which ever more is taken."""

    def __init__(self, clips: Sequence[Clip], lengths: _Lengths) -> None:
        self._clips, self._lengths = clips, lengths
        self._seconds: list[float] = []
        """Taken of each file so far; the last may have more."""
        self._rest = 0.0

    @property
    def empty(self) -> bool:
        return len(self._seconds) == len(self._clips) and self._rest < LEAST_SECONDS

    def take(self, seconds: float) -> float:
        """Take so much more, if there is; gives how much."""
        taken = 0.0
        while seconds - taken >= LEAST_SECONDS and not self.empty:
            if self._rest < LEAST_SECONDS:
                self._rest = self._lengths.of(self._clips[len(self._seconds)].path)
                self._seconds.append(0.0)
                continue
            more = min(self._rest, seconds - taken)
            if self._rest - more < LEAST_SECONDS:
                more = self._rest
            self._seconds[-1] += more
            self._rest -= more
            taken += more
        return taken

    def taken(self) -> Iterator[Part]:
        for clip, seconds in zip(self._clips, self._seconds, strict=False):
            if seconds >= LEAST_SECONDS:
                last = clip is self._clips[len(self._seconds) - 1]
                yield Part(clip.path, clip.person, seconds, whole=not (last and self._rest > 0))
