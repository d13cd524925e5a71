"""Settings of IP-LAP: the sizes of its networks, its crops and its reference images."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.ip_lap.boxes import PAD

IMAGES = 25
"""Reference images in the published inference; 3 in training."""

MOST_IMAGES = 64


class Settings(BaseModel):
    """What no key may be added to, and nothing changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LandmarkSize(Settings):
    """Layout of the landmark generator; the defaults are the published one."""

    width: int = Field(default=512, ge=32, multiple_of=16, description="channels of a token")
    layers: int = Field(default=4, ge=1, le=24, description="layers that mix tokens")
    heads: int = Field(default=4, ge=1, description="of the attention; they divide the width")
    feedforward: int = Field(
        default=1024, ge=1, description="channels within a transformer's layer"
    )
    dropout: float = Field(
        default=0.1, ge=0, lt=1, description="share of values left out in training"
    )
    mixer: Literal["transformer", "lstm"] = Field(
        default="transformer", description="what mixes tokens; lstm: the paper's ablation"
    )

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "LandmarkSize":
        if self.width % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a width of {self.width}")
        return self


class RendererSize(Settings):
    """Layout of the renderer; the defaults are the published one."""

    fine: int = Field(default=32, ge=4, multiple_of=4, description="channels at full resolution")
    coarse: int = Field(
        default=256, ge=32, multiple_of=16, description="channels at half resolution"
    )
    warping: bool = Field(
        default=True,
        description="align references before they are averaged; false: the paper's ablation",
    )
    audio: bool = Field(
        default=True, description="let speech modulate the face; false: the paper's ablation"
    )


class IpLapCropSettings(Settings):
    """How faces are cut out."""

    pad: float = Field(
        default=PAD,
        ge=0,
        le=0.5,
        description="room around the landmarks, as a share of the box's side",
    )


References = Literal["fifth"] | Annotated[int, Field(ge=1, le=MOST_IMAGES)]
"""How many reference images: a number, or a fifth of the clip's frames (the paper), at most
MOST_IMAGES."""
