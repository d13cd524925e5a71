"""Settings of the exemplar method, with units."""

from pydantic import BaseModel, ConfigDict, Field


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CropSettings(_Settings):
    """The aligned lower-face crop and the bank made of it."""

    max_size: int = Field(
        default=1024, ge=96, le=1024, multiple_of=32, description="largest side of a crop [px]"
    )
    bank_limit: int = Field(
        default=3000, ge=0, le=20000, description="most frames kept to borrow mouths from"
    )


class LenderSettings(_Settings):
    """Which of the speaker's frames is borrowed for each output frame."""

    candidates: int = Field(
        default=24, ge=4, le=128, description="nearest bank frames tried per frame"
    )
    pose_weight: float = Field(
        default=0.035,
        ge=0,
        description="cost of 1 rad of head turn, in face heights of lip distance",
    )
    quality_weight: float = Field(
        default=0.05, ge=0, description="cost of a doubtful bank frame (quality 0), in face heights"
    )
    jump_cost: float = Field(
        default=0.003, ge=0, description="cost of leaving the source's order, in face heights"
    )
    jump_shape_weight: float = Field(
        default=0.3, ge=0, description="cost of the shape change seen at a jump, per face height"
    )
    jump_interior_weight: float = Field(
        default=0.08,
        ge=0,
        description="cost of teeth turning into darkness (0..1) at a jump, in face heights",
    )
    hold_cost: float = Field(
        default=0.002,
        ge=0,
        description="cost of showing a bank frame twice running, in face heights",
    )


class RenderSettings(_Settings):
    """The warp of a borrowed mouth to the predicted one."""

    correction: float = Field(
        default=0.8,
        ge=0,
        le=1,
        description="share of the remaining lip difference that the warp takes out",
    )
    max_correction: float = Field(
        default=0.035, ge=0, description="largest correction of a lip point [face heights]"
    )
    fade_frames: int = Field(
        default=3, ge=0, le=6, description="frames over which two borrowed runs are cross-faded"
    )
    occlusion_fade_frames: int = Field(
        default=4,
        ge=0,
        le=25,
        description="frames over which the own mouth fades in before an occlusion",
    )
    polish: bool = Field(
        default=False,
        description="let a small network put slow colours of the mouth right: light, teeth, tongue",
    )


class PolishSize(_Settings):
    """Channels of the polishing network."""

    fine: int = Field(default=16, ge=1, description="at 64 x 64 px")
    middle: int = Field(default=32, ge=1, description="at 32 x 32 px")
    coarse: int = Field(default=64, ge=1, description="at 16 x 16 px")
    coarse_layers: int = Field(default=3, ge=1, description="convolutions at 16 x 16 px")
