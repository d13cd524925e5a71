"""What is found in a video before anything is done with it."""

from stores.artifacts.source import Source
from tasks.source.faces import faces
from tasks.source.landmarks import landmarks
from tasks.source.seen import Seen
from tasks.source.timeline import timeline
from tasks.source.track import follow_person
from tasks.speech.waveform import waveform


def see(video: Source, *, face: str = "largest") -> Seen:
    """The shared stages up to the landmarks, as `flows.dub` goes through them.

    Args:
        face: As of `follow_person`.
    """
    clip = timeline(video)
    found = faces(video, clip)
    shown = landmarks(found, follow_person(video, clip, found, face=face), timeline=clip)
    return Seen(video, clip, shown, waveform(video) if clip.attributes["audio"] else None)
