"""The face model fitted to a video: to the person, and to every frame."""

from dataclasses import dataclass

from stores.artifacts.artifact import Artifact
from tasks.engine.arguments import Bundle


@dataclass(frozen=True)
class Fitted(Bundle):
    """A video's fit of the face model.

    Attributes:
        person: What does not change, of `tasks.source.face_fit_person`.
        fit: What changes from frame to frame, of `tasks.source.face_fit`.
    """

    person: Artifact
    fit: Artifact
