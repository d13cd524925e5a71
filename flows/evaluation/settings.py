"""What a user can set of an evaluation."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from flows.names import OneOf, family_names, method_names, protocol_names
from stores.artifacts.settings import default_store
from tasks.engine.device_settings import DeviceSettings, Precision

SOURCE = "source"
"""The system that leaves every video as it is: what perfect and what unsynchronised figures are."""


class EvaluateSettings(BaseModel):
    """One evaluation: which clips, which systems, which metrics."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    protocols: list[Annotated[str, OneOf("protocol", protocol_names, or_file=True)]] = Field(
        min_length=1, description="how it is measured: names of protocols, or YAML files"
    )
    data: Path = Field(description="folder that holds what the protocols say")
    output: Path = Field(description="folder for the report, tables and videos")
    store: str = Field(default_factory=default_store, description="where artifacts are kept")
    methods: list[Annotated[str, OneOf("method", lambda: (*method_names(), SOURCE))]] = Field(
        ["exemplar"], description="our methods; `source` leaves the videos as they are"
    )
    variants: dict[str, Annotated[str, OneOf("method", method_names)]] = Field(
        {}, description="methods with other settings, as an ablation has: name → method"
    )
    external: dict[str, Path] = Field(
        {}, description="other systems: name → folder of their videos, named like the items"
    )
    families: list[Annotated[str, OneOf("family of metrics", family_names, costly=True)]] = Field(
        [], description="only these families of metrics; none: all"
    )
    limit: int | None = Field(None, ge=1, description="only the first so many items")
    method_settings: dict[str, dict[str, Any]] = Field(
        {},
        description="method → its settings, over those of the protocol; variant → what it changes",
    )
    precision: Precision = Field("float32", description="of networks")
    devices: DeviceSettings = Field(default_factory=DeviceSettings)
    cluster: str | None = Field(
        "local",
        description="who computes: local, local:N, tcp://host:port or a YAML file; "
        "none: this process",
    )

    @property
    def dubbed(self) -> dict[str, str]:
        """What we dub ourselves: name of the system → method."""
        return {name: name for name in self.methods if name != SOURCE} | self.variants

    @property
    def systems(self) -> list[str]:
        """All that are measured, in the order of the tables."""
        return [*self.methods, *self.variants, *self.external]
