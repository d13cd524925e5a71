"""What can be chosen of the talking face's networks. Imports nothing heavy."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Align = Literal["rigid", "davs"]
"""How faces are laid into their squares: by points that speech does not move; or, as DAVS has it,
by the eyes and the mouth as they are, so that the square follows the speech."""
Cepstra = Literal["psf", "davs"]
"""26 filters to 8 kHz, no window; or, as DAVS has it, 13 filters from 300 to 3,700 Hz, Hamming."""
Noise = Literal["none", "fixed", "random"]
Decoding = Literal["stylegan2", "davs"]
FaceGroups = Literal["eyes", "eyes_contour"]
Side = Literal[128, 256]
Drive = Literal["audio", "video"]
FaceFrom = Literal["auto", "still", "source", "driver"]
"""Whose eyes, contour and pose are shown; auto: the source's, or the driver's whose lips are."""
IdentityFrom = Literal["own", "still"]
Paste = Literal["lower", "face", "crop"]


class Settings(BaseModel):
    """What no key may be added to, and nothing changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SquareSettings(Settings):
    """How faces are cut out."""

    align: Align = Field(
        default="rigid",
        description="rigid: eyes and mouth of the mean face under the head's pose, so that speech "
        "does not move the square; davs: eyes and mouth as they are, as published",
    )
    side: Side = Field(default=256, description="of the squares [px]")


class EmbeddingSize(SquareSettings):
    """Layout of the encoders of speech and of video; the defaults are the published one."""

    mfcc: Cepstra = Field(
        default="psf",
        description="what is heard: psf, cepstra up to 8 kHz; davs, up to 3.7 kHz as published",
    )
    fan_width: int = Field(
        default=256,
        ge=16,
        multiple_of=16,
        description="channels of the video encoder's hourglass",
    )
    audio_width: int = Field(
        default=64,
        ge=4,
        description="channels of the audio encoder's first layers; up to 8 times as many",
    )
    features: int = Field(
        default=256,
        ge=8,
        multiple_of=2,
        description="numbers of a lip, audio or face feature",
    )
    face_groups: FaceGroups = Field(
        default="eyes_contour",
        description="what else is seen of a face beside lips: eyes and brows; also contour and "
        "nose, which move with the jaw",
    )

    @property
    def rest_features(self) -> int:
        """Numbers of what else is seen of a face."""
        return (2 if self.face_groups == "eyes_contour" else 1) * (self.features // 2)


class IdentitySize(SquareSettings):
    """Layout of the identity encoder; the default is the published one."""

    identity_width: int = Field(
        default=32,
        ge=2,
        description="channels of its first layer; 8 times as many numbers in the end",
    )


class FaceSize(EmbeddingSize, IdentitySize):
    """Layout of the whole; the defaults are the published one."""

    decoder: Decoding = Field(
        default="stylegan2",
        description="stylegan2; or davs, the enlarging convolutions that the paper began with",
    )
    narrow: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="share of the decoder's channels, at all sizes",
    )
    style: int = Field(default=512, ge=8, description="numbers of a level's style")
    style_maps: bool = Field(
        default=True,
        description="the identity's maps, pooled, are part of the styles of their levels",
    )
    skips: bool = Field(
        default=True,
        description="the identity's maps are joined to the decoder's of the same size",
    )
    noise: Noise = Field(
        default="none",
        description="in the decoder: none; fixed, part of the weights; random, which flickers",
    )
    regions: bool = Field(
        default=False,
        description="lips and eyes are told to stylegan2's decoder where they are to be drawn, and "
        "not by styles, which change all of a face (ours)",
    )

    @model_validator(mode="after")
    def _regions_of_stylegan2(self) -> "FaceSize":
        if self.regions and self.decoder != "stylegan2":
            raise ValueError("regions are of decoder=stylegan2; set regions=false")
        return self

    @property
    def eye_features(self) -> int:
        """Numbers that tell eyes and brows, the first ones of the rest of a face."""
        return self.features // 2
