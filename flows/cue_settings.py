"""What a user can set of a dub by a cue sheet. Imports nothing heavy."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_FACE = r"largest|track:\d+|\d+(\.\d+)?,\d+(\.\d+)?@\d+(\.\d+)?"
_FIT = re.compile(r"cut|stretch:(\d+(\.\d+)?)")
MAX_STRETCH = 2.0


def _names_a_face(value: str) -> str:
    if not re.fullmatch(_FACE, value):
        raise ValueError(
            f"{value!r} names no face: largest, track:N or x,y@seconds, as in 640,300@12.5"
        )
    return value


def _fits(value: str) -> str:
    match = _FIT.fullmatch(value)
    if match is None or not 1 <= float(match[1] or 1) <= MAX_STRETCH:
        raise ValueError(f"{value!r}: write cut, or stretch:N with N from 1 to 2, as stretch:1.15")
    return value


Face = Annotated[str, AfterValidator(_names_a_face)]
"""A face of a video, as `tasks.source.track.follow_person` takes it."""


class CueSettings(BaseModel):
    """Several faces, several voices: which sheet, and what happens between its rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sheet: Path | None = Field(
        default=None, description="cue sheet instead of AUDIO: CSV, JSON, SRT or WebVTT"
    )
    takes: Path | None = Field(
        default=None, description="folder of numbered takes, for subtitles and rows that name none"
    )
    faces: dict[str, Face] = Field(
        default_factory=dict, description="faces by names that the sheet uses, beside its own table"
    )
    gaps: Literal["own", "closed"] = Field(
        default="own", description="mouth of a voiced face between its cues: its own, or closed"
    )
    fit: Annotated[str, AfterValidator(_fits)] = Field(
        default="cut",
        description="speech longer than its cue: cut at its end, or first made faster by up to "
        "that factor with its pitch kept, as stretch:1.15",
    )
    fade_seconds: float = Field(
        default=0.12,
        ge=0,
        le=1,
        description="mouths are cross-faded so long before and after a cue [s]",
    )

    @property
    def fastest(self) -> float:
        """Factor by which speech may be made faster."""
        return 1.0 if self.fit == "cut" else float(self.fit.partition(":")[2])
