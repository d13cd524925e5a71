"""The speech files of a dub, and the sound that they come to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.cues.sheet import Cue
from flows.settings import DubSettings
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.media.audio import audio_facts
from stores.media.facts import AudioFacts
from stores.media.tracks import find_track
from tasks.speech.waveform import waveform


@dataclass(frozen=True)
class Heard:
    """A speech file, decoded.

    Attributes:
        path: The file, as it was given.
        source: The same.
        track: Of `find_track`.
        waveform: All of it.
    """

    path: Path
    source: Source
    track: int | None
    waveform: Artifact

    @property
    def seconds(self) -> float:
        """Its length."""
        return float(self.waveform.attributes["seconds"])


def hear(settings: DubSettings, path: Path) -> Heard:
    """Decode a speech file."""
    track, source = find_track(path, settings.audio_track), Source.of(path)
    return Heard(path, source, track, waveform(source, track=track))


def speech_files(cues: Iterable[Cue]) -> list[Path]:
    """The files that are spoken, each once, in order."""
    return list(dict.fromkeys(cue.speech for cue in cues))


def sound_format(settings: DubSettings, files: Sequence[Path]) -> AudioFacts:
    """Facts of the output's sound: those of the best of the speech files and the bed."""
    facts = [audio_facts(each, track=find_track(each, settings.audio_track)) for each in files]
    facts += [audio_facts(settings.bed)] if settings.bed is not None else []
    return max(facts, key=lambda each: (each.channels, each.rate))
