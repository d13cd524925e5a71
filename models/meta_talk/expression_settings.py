"""Settings of Meta Talk's network from speech to expression."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Features = Literal["mfcc80", "logmel80", "atnet"]
"""What a network hears: see `models.meta_talk.features`; atnet is AudioDVP's."""


class Settings(BaseModel):
    """What no key may be added to, and nothing changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ExpressionSize(Settings):
    """Layout of the network; the defaults are Meta Talk's."""

    features: Features = Field(
        default="mfcc80",
        description="what it hears: 80 cepstra or 80 log bands, which an encoder learns to read, "
        "or the features of AT-net, which AudioDVP takes as they are",
    )
    width: int = Field(default=64, ge=4, description="channels of the encoder's first convolution")
    window: Literal[1, 3, 5, 7] = Field(default=7, description="ticks seen, half of them ahead")


class ExpressionLosses(Settings):
    """How predicted expressions are compared; as published."""

    velocity: float = Field(default=0.0, ge=0, description="weight of the difference of motions")
    vertices: bool = Field(
        default=False, description="compare points of mouth and jaw [mm], not coefficients"
    )
