"""What a user can set of the faces that are kept. Imports nothing heavy."""

from pydantic import BaseModel, ConfigDict, Field


class FaceCropSettings(BaseModel):
    """Size of the faces that are kept for training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_size: int = Field(
        256,
        ge=96,
        le=1024,
        multiple_of=32,
        description="largest side of a face crop [px]; smaller faces are kept as large as they are",
    )
