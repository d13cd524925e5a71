"""What a user can set of blending. Imports nothing heavy."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class BlendSettings(BaseModel):
    """How a rendered mouth is put into its frame."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["feather", "multiband"] = Field(
        default="feather", description="feather: one soft edge; multiband: softer for coarse detail"
    )
    colour_match: bool = Field(
        default=True, description="take out slow colour differences at the edge"
    )
    strength: float = Field(default=1.0, ge=0, le=1, description="opacity of the rendered mouth")
