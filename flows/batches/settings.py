"""What a user can set of a batch."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from stores.artifacts.settings import default_store


class BatchSettings(BaseModel):
    """One batch: which rows, and how they are run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    manifest: Path = Field(description="CSV, Parquet, JSON lines or YAML; one row per dub")
    store: str = Field(default_factory=default_store, description="where artifacts are kept")
    report: Path | None = Field(None, description="Parquet file of how each row ended")
    defaults: dict[str, Any] = Field(
        {}, description="settings of every dub that a row does not set itself"
    )
    rows: int = Field(
        0, ge=0, description="rows side by side; 0: one per processor, or two per cluster worker"
    )
    cluster: str | None = Field(
        None,
        description="who computes: local, local:N, tcp://host:port or a YAML file; "
        "none: this process",
    )
    overwrite: bool = Field(
        False, description="replace outputs that are there and that no run of this store wrote"
    )
    again: bool = Field(False, description="also rows that are done")

    @property
    def report_path(self) -> Path:
        """Where the report goes."""
        return self.report or self.manifest.with_name(f"{self.manifest.stem}.report.parquet")
