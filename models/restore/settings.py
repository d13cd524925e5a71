"""What a user can set of face restoration."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class RestoreSettings(BaseModel):
    """Make the rendered face sharper with a face restoration network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Literal["none", "gfpgan"] = Field(
        default="none",
        description="sharpen the rendered mouth with a face restoration network; gfpgan: GFPGAN "
        "(Wang et al. 2021), needs its weights",
    )
    weights: Literal["gfpgan_v1.4", "gfpgan_v1.3"] = Field(
        default="gfpgan_v1.4", description="which published weights"
    )
    area: Literal["mouth", "face"] = Field(
        default="mouth",
        description="mouth: only what the method made anew; face: the whole face, as GFPGAN is "
        "mostly used",
    )
    strength: float = Field(
        default=1.0, ge=0, le=1, description="share of the restored face in what is shown"
    )
