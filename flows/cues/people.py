"""The faces that a sheet names, found in the video."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from flows.cues.sheet import Cue, shown
from flows.settings import DubSettings
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.errors import InputError, SettingsError
from tasks.engine.run import told_as
from tasks.source.landmarks import landmarks
from tasks.source.seen import Seen
from tasks.source.span import Span
from tasks.source.timeline import load_timeline
from tasks.source.track import follow_person
from tasks.speech.waveform import waveform


@dataclass(frozen=True)
class Person:
    """A face that is dubbed.

    Attributes:
        track: Of `tasks.source.track`.
        seen: The video with this face's landmarks.
    """

    track: Artifact
    seen: Seen


def find_people(
    settings: DubSettings,
    video: Source,
    clip: Artifact,
    faces: Artifact,
    cues: Sequence[Cue],
    own_track: int | None,
) -> dict[str, Person]:
    """The person of each face that cues name; one who is named in two ways is one.

    Args:
        clip: The video's timeline.
        faces: Of `tasks.source.faces`.
        own_track: Which of the video's sound tracks holds its own speech.

    Raises:
        InputError: there is no such face, or two cues are of one person at the same time; names
            row and column.
    """
    tracks: dict[str, Artifact] = {}
    for cue in cues:
        if cue.face not in tracks:
            try:
                tracks[cue.face] = follow_person(video, clip, faces, face=cue.face)
            except SettingsError as error:
                if not cue.row:
                    raise
                raise InputError(f"{_at(settings, cue, 'face')}: {error}") from None
    first = dict(zip(tracks, tracks, strict=True))
    if len(tracks) > 1:
        chosen = {face: track.attributes.get("chosen") for face, track in tracks.items()}
        first = {face: next(f for f in chosen if chosen[f] == chosen[face]) for face in chosen}
        _refuse_two_at_once(settings, cues, first)
    found = {face: landmarks(faces, tracks[face], timeline=clip) for face in set(first.values())}
    with told_as("source"):
        own = own_waveform(video, clip, own_track)
    people = {f: Person(tracks[f], Seen(video, clip, each, own)) for f, each in found.items()}
    return {face: people[first[face]] for face in tracks}


def own_waveform(video: Source, clip: Artifact, track: int | None) -> Artifact | None:
    """The sound of a video, or of the part of it that `clip` has; None if it has none."""
    if not clip.attributes["audio"]:
        return None
    shown = load_timeline(clip)
    if shown.part is None:
        return waveform(video, track=track)
    begin = shown.begin_seconds
    return waveform(video, track=track, part=Span(start=begin, stop=begin + shown.duration_seconds))


def _refuse_two_at_once(settings: DubSettings, cues: Sequence[Cue], first: dict[str, str]) -> None:
    for person in set(first.values()):
        theirs = sorted((c for c in cues if first[c.face] == person), key=lambda c: c.start)
        for before, cue in pairwise(theirs):
            if before.end is not None and cue.start < before.end:
                raise InputError(
                    f"{_at(settings, cue, 'face')}: {cue.face} is the same person as {before.face} "
                    f"of row {before.row}, who speaks until {shown(before.end)}"
                )


def _at(settings: DubSettings, cue: Cue, column: str) -> str:
    return f"{settings.cues.sheet}: row {cue.row}, column {column}"
