"""What a user can set of a visible label. Imports nothing heavy."""

from pydantic import BaseModel, ConfigDict, Field

ICON = "AI"
"""On the plate that stands for any text."""


class LabelSettings(BaseModel):
    """A label that everybody sees."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = Field(default=ICON, min_length=1, max_length=80, description="what it says")
    seconds: float | None = Field(default=None, gt=0, description="how long it is shown [s]")
