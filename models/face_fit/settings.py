"""What a user can set of the fit of a face model. Imports nothing heavy."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class FitSettings(BaseModel):
    """How the coefficients of a face are found."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["mesh", "photometric"] = Field(
        "photometric", description="mesh: from the landmarks alone; photometric: from pictures too"
    )
    crop: Literal["track", "fixed"] = Field(
        "track", description="the square follows the head, or (static camera) stays for a scene"
    )
    person_frames: int = Field(
        48, ge=1, le=200, description="frames that the person's shape and albedo are learnt from"
    )
    person_iterations: int = Field(
        80, ge=1, le=1000, description="steps of that, where pictures are looked at"
    )
    iterations: int = Field(
        12, ge=1, le=1000, description="steps for each frame, where pictures are looked at"
    )
    temporal: float = Field(
        1.0, ge=0, description="how much coefficients are drawn to those of the frame before"
    )
