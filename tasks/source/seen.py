"""What is known of a video once its face was found; nearly every later stage takes parts of it."""

from dataclasses import dataclass

from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from tasks.engine.arguments import Bundle


@dataclass(frozen=True)
class Seen(Bundle):
    """A video with what was found in it.

    Attributes:
        video: The file.
        timeline: Its frames, of `tasks.source.timeline`.
        landmarks: The chosen face, of `tasks.source.landmarks`.
        waveform: Of its own sound, of `tasks.speech.waveform`; None if it has none.
    """

    video: Source
    timeline: Artifact
    landmarks: Artifact
    waveform: Artifact | None
