"""What a user can set of a preparation."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from flows.names import OneOf, dataset_names
from stores.artifacts.settings import default_store
from tasks.engine.device_settings import DeviceSettings
from tasks.source.settings import FaceCropSettings


class Filters(BaseModel):
    """Which rows training gets: thresholds on stored scores; None switches one off.

    What can't be measured (a lag in a part that is too short) drops nothing. None of them is part
    of any key: another threshold computes nothing anew.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_seconds: float | None = Field(1.0, ge=0, description="length of a part [s]")
    min_fps: float | None = Field(20.0, ge=0, description="frames a second [1/s]")
    min_face_px: float | None = Field(
        64.0, ge=0, description="median height of the face, forehead to chin [px]"
    )
    min_sharpness: float | None = Field(
        0.1, ge=0, description="median detail of the mouth region, 0 flat to about 1"
    )
    max_turned_share: float | None = Field(
        0.3, ge=0, le=1, description="frames whose head is turned by more than 45 degrees"
    )
    min_visible_share: float | None = Field(
        None, ge=0, le=1, description="frames that show a free mouth"
    )
    min_speech_share: float | None = Field(
        0.2, ge=0, le=1, description="time in which there is sound loud enough to be speech"
    )
    min_level_db: float | None = Field(
        -50.0, le=0, description="loudness of the loud parts [dB of full scale]"
    )
    max_clipped_share: float | None = Field(
        0.01, ge=0, le=1, description="samples at the end of their scale"
    )
    min_agreement: float | None = Field(
        0.2, ge=-1, le=1, description="correlation of seen and expected motion of the mouth"
    )
    max_lag_seconds: float | None = Field(
        0.3, ge=0, description="sound before or behind the picture, where the lag is sure [s]"
    )
    min_sync_confidence: float | None = Field(
        None, description="SyncNet's confidence (LSE-C); needs its weights"
    )


class PrepareSettings(BaseModel):
    """One preparation: which data, what is kept of it, and how it is run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: Annotated[str, OneOf("data set", dataset_names, or_file=True)] = Field(
        description="name of a data set, or a YAML file that describes one"
    )
    data: Path = Field(description="folder that holds it")
    output: Path = Field(description="index to write: .parquet")
    store: str = Field(default_factory=default_store, description="where artifacts are kept")
    filters: Filters = Filters.model_validate({})
    person: str | None = Field(
        None,
        description="regular expression; its first group, found in a clip's name, is the person "
        "(for folders without a manifest)",
    )
    tracks: int = Field(
        1, ge=1, le=4, description="faces of a clip that are prepared, largest first"
    )
    crops: FaceCropSettings = FaceCropSettings.model_validate({})
    seed: int = Field(0, description="decides who is held out where nobody has published it")
    limit: int | None = Field(None, ge=1, description="only the first so many clips")
    devices: DeviceSettings = Field(default_factory=DeviceSettings)
    workers: int = Field(
        0,
        ge=0,
        description="clips at once; 0: one per processor, 8 at most; two per cluster worker",
    )
    cluster: str | None = Field(
        None,
        description="who computes: local, local:N, tcp://host:port or a YAML file; "
        "none: this process",
    )

    @property
    def failures_path(self) -> Path:
        """Where the clips are listed that could not be prepared."""
        return self.output.with_name(f"{self.output.stem}.failures.parquet")
