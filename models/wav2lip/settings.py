"""Settings of Wav2Lip: its face crops, and the sizes of its networks."""

from pydantic import BaseModel, ConfigDict, Field

PADS = (0, 10, 0, 0)
"""Pixels that a face's box grows by: top, bottom (to include the chin), left, right."""

SMOOTHING = 5
"""Frames whose boxes are averaged."""


class Wav2LipCropSettings(BaseModel):
    """How the face is cut out, in the published procedure's terms."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pads: tuple[int, int, int, int] = Field(
        default=PADS, description="px added to the face's box: top, bottom, left, right"
    )
    smoothing: int = Field(
        default=SMOOTHING, ge=1, description="frames over which boxes are averaged; 1: none"
    )


class Wav2LipSize(BaseModel):
    """Layout of the generator or of the expert; the default is the published one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(
        default=512,
        ge=32,
        multiple_of=32,
        description="channels at the innermost level; all others are in proportion",
    )
