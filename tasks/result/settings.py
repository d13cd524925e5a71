"""What a user can set of length and timing of a result. Imports nothing heavy."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class SyncSettings(BaseModel):
    """Which part of the source is dubbed, and what happens if speech and video differ in length."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["silence", "cut_off", "loop", "bounce"] = Field(
        default="silence",
        description="if lengths differ; silence: as long as the video, the sound padded with "
        "silence or cut; cut_off: as long as the shorter of the two; loop, bounce: as long "
        "as the speech, the video repeated from its start, or played forwards and backwards",
    )
    start_seconds: float | None = Field(
        default=None, ge=0, description="dub the source from here [s]; the output begins here"
    )
    end_seconds: float | None = Field(
        default=None, gt=0, description="dub the source up to here [s]"
    )
    read: Literal["part", "whole"] | tuple[float, float] = Field(
        default="part",
        description="what is read of a source of which a part is dubbed; part: that part, with its "
        "surroundings if it is short; whole: all of it, once for all its parts, so that mouths are "
        "borrowed from anywhere in it; or from when on, and up to when [s]",
    )
