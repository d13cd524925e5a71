"""Sound tracks of a file, and which of them is meant."""

from dataclasses import dataclass
from pathlib import Path

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition

from stores.errors import MediaError
from stores.media.settings import DEFAULT_TRACK
from stores.media.source import open_source, sound_streams


@dataclass(frozen=True)
class SoundTrack:
    """A sound track that can be decoded.

    Attributes:
        number: From 1, in the order of the file.
        language: ISO 639 code, or empty.
        title: What the file calls it, or empty.
        default: Whether it is heard where none is chosen.
    """

    number: int
    language: str
    title: str
    default: bool

    def __str__(self) -> str:
        told = [self.language, self.title, "default" if self.default else ""]
        return f"{self.number} ({', '.join(filter(None, told))})" if any(told) else f"{self.number}"


def sound_tracks(path: Path) -> list[SoundTrack]:
    """All sound tracks of a file that can be decoded, in its order."""
    with open_source(path) as container:
        heard = sound_streams(container)
        return [
            SoundTrack(
                number,
                stream.metadata.get("language", "")[:16].replace("und", ""),
                stream.metadata.get("title", "")[:40],
                stream is heard[0] and bool(stream.disposition & Disposition.default),
            )
            for number, stream in enumerate(container.streams.audio, 1)
            if stream in heard
        ]


def find_track(path: Path, wanted: str) -> int | None:
    """Number of the track that is meant.

    Args:
        path: A file with sound.
        wanted: `default`, a number from 1, or a language as in `de` or `deu`.

    Returns:
        None for the one that is heard by default: whoever names it gets what all others have.

    Raises:
        MediaError: there is none; says which there are.
    """
    if wanted == DEFAULT_TRACK:
        return None
    tracks = sound_tracks(path)
    for track in sorted(tracks, key=lambda each: not each.default):
        of_language = track.language and track.language.lower().startswith(wanted.lower())
        if of_language or str(track.number) == wanted:
            return None if track == default_track(tracks) else track.number
    raise MediaError(
        f"{path}: no sound track {wanted}; it has {listed(tracks) or 'none that can be decoded'}"
    )


def default_track(tracks: list[SoundTrack]) -> SoundTrack:
    """The track, of one at least, that is heard where none is chosen."""
    return next((each for each in tracks if each.default), tracks[0])


def listed(tracks: list[SoundTrack]) -> str:
    """The tracks in words."""
    return ", ".join(map(str, tracks))


def sound_stream(container: InputContainer, path: Path, track: int | None) -> AudioStream:
    """The stream of a track of `find_track`.

    Raises:
        MediaError: it is not there, or can't be decoded.
    """
    streams = sound_streams(container)
    if track is not None:
        chosen = container.streams.audio[track - 1 : track]
        streams = [stream for stream in chosen if stream in streams]
    if not streams:
        raise MediaError(f"{path}: no sound in it that can be decoded; give a file with speech")
    return streams[0]
