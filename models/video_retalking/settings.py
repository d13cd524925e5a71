"""What a user can choose of VideoReTalking. Imports nothing heavy."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from models.wav2lip.settings import Wav2LipCropSettings

CropSettings = Wav2LipCropSettings
"""Its boxes are Wav2Lip's with other pads."""

PUBLISHED_CROPS = CropSettings(pads=(0, 20, 0, 0))

Smoothing = Literal["savgol", "none"]
Template = Literal["neutral", "smile", "person", "picture"]
UpperFace = Literal["original", "sad", "angry", "surprise"]
Noise = Literal["fixed", "random", "none"]
Paste = Literal["soft", "published"]
Enhancer = Literal["none", "gpen", "gfpgan"]
Teeth = Literal["none", "gfpgan"]
Driver = Literal["network", "mesh"]
"""What coefficients a D-Net knows: those of Deep3D's network, or of the fit of our own basis."""


class DNetSize(BaseModel):
    """Layout of D-Net; the defaults are the published one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(
        default=32, ge=1, description="channels at full resolution; up to 8 times as many below"
    )
    side: int = Field(
        default=256, ge=64, le=256, multiple_of=32, description="of the faces that it sees [px]"
    )
