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


class Placed(BaseModel):
    """Where a render lies in a part of the output, and how much of it is seen.

    Attributes:
        face: Renders of one part with the same number are of the same face.
        first: Its row that belongs to the part's first row.
        start: Its first row that is seen fully ...
        stop: ... and one past the last; before and after, it fades ...
        fade: ... over so many rows.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    face: int = 0
    first: int = 0
    start: int = 0
    stop: int = 1
    fade: int = 0


class Line(BaseModel):
    """A stretch of a speech file in the sound of the output.

    Attributes:
        source: Which of the speech files it is of.
        track: Of `find_track`.
        start: When it begins in the output [s].
        seconds: How long it is heard there at most [s].
        offset: When it begins in the file [s].
        gain_db: How much louder it is [dB].
        stretch: How much faster than in the file, at the same pitch.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: int = 0
    track: int | None = None
    start: float = 0.0
    seconds: float = 1.0
    offset: float = 0.0
    gain_db: float = 0.0
    stretch: float = 1.0
