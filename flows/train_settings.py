"""What a training takes when it is started by a deployment. Imports nothing heavy."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class TrainSettings(BaseModel):
    """One training of the speech-to-lips model; `python -m flows.train --help` says more."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    clips: Path = Field(description="folder of talking-face clips with a manifest.csv")
    out: Path = Field(description="weights file to write (.safetensors)")
    landmarks: Path = Field(
        Path(".dubflow/landmarks"), description="folder that keeps landmarks between runs"
    )
    steps: int | None = Field(None, ge=1, description="training steps; none: as shipped")
    seed: int | None = Field(None, description="of everything left to chance; none: as shipped")
    workers: int = Field(2, ge=1, description="processes that find landmarks")
