"""What can be set of GANimation. Imports nothing heavy."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class GANimationSize(BaseModel):
    """Layout of the generator and of its critic; the defaults are the published one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    side: Literal[32, 64, 128] = Field(default=128, description="of the faces that it sees [px]")
    width: int = Field(
        default=64,
        ge=1,
        description="channels of the first layers; 4 times as many in the generator's middle, and "
        "a quarter of `side` times as many at the critic's end",
    )
    residuals: int = Field(default=6, ge=0, description="residual blocks of the generator")
    colours: Literal["bgr", "rgb"] = Field(
        default="bgr", description="order of the colours that it sees: published bgr"
    )
