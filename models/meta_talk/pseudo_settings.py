"""What a user can set of pseudo labels: expressions of a face that a teacher made speak."""

from typing import Any, Literal

from pydantic import Field

from models.meta_talk.settings import Settings


class PseudoSettings(Settings):
    """Who makes the target speak, and what its mouth is taken for."""

    method: Literal["wav2lip", "ip_lap", "exemplar", "speech_to_lips"] = Field(
        "wav2lip",
        description="the teacher: a method that dubs the target (wav2lip as published; exemplar "
        "needs no weights), or speech_to_lips, which predicts mouths without pictures",
    )
    teacher: dict[str, Any] = Field(
        default_factory=dict, description="changes to the settings of the method that dubs"
    )
    face_px: int = Field(
        96,
        ge=96,
        le=192,
        multiple_of=32,
        description="height of the faces that the teacher's mouths are put into [px]",
    )
    rescale: bool = Field(
        True,
        description="let the teacher's mouths rest and move as the person's own do on its own "
        "speech; only where the target has a sound track",
    )
