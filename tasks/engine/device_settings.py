"""What a user can say about running networks. Imports nothing heavy."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Precision = Literal["float32", "bfloat16", "float16"]


class DeviceSettings(BaseModel):
    """Where and how networks run; none of it changes what they compute."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto",
        description="where networks run; auto: a CUDA GPU if there is one, else Apple's, else the "
        "CPU",
    )
    batch: int = Field(
        default=0, ge=0, description="samples at once; 0: as many as the free memory allows"
    )
    compile: bool = Field(
        default=False, description="torch.compile: minutes at the start, faster on long work"
    )
