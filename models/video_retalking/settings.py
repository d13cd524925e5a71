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
    scaled: bool = Field(
        default=False,
        description="bring coefficients to one size first; published: as they are, so that the "
        "face's place in its cut [px] is a hundred times as large as all that moves",
    )


class LNetSize(BaseModel):
    """Layout of L-Net; the defaults are the published one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(
        default=64,
        ge=4,
        multiple_of=4,
        description="channels at full resolution; twice, 4 and 8 times as many at the others, and "
        "8 times as many numbers for what is heard",
    )
    residuals: int = Field(
        default=9, ge=1, description="Fourier residual blocks at a level of the decoder"
    )
    attention: int = Field(
        default=2,
        ge=0,
        description="layers that fetch from the reference; 0: the paper's ablation, both side by "
        "side",
    )


class ENetSize(BaseModel):
    """Layout of E-Net with its L-Net; the defaults are the published one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    side: Literal[192, 384] = Field(default=384, description="of the output [px]")
    width: int = Field(
        default=256,
        ge=2,
        multiple_of=2,
        description="channels of the first layer of the style's encoder and of the first stage of "
        "the enlargement; the style has twice as many numbers",
    )
    lnet: LNetSize = Field(default=LNetSize.model_validate({}), description="of the L-Net inside")
