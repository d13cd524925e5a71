"""What one process asks another to compute: a stage, its arguments, and which of its shards."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from tasks.engine.device_settings import DeviceSettings


class Call(BaseModel):
    """Part of a stage's work. It is JSON, so any process that reaches the store can do it.

    Attributes:
        stage: Address of the stage, `module:name`.
        kind: Of the artifact that it makes.
        key: Of the artifact.
        store: URL of the store.
        arguments: Of the stage, as `tasks.engine.arguments.encode` gives them.
        devices: Where its networks run.
        network: Whether it runs one.
        shards: Indices of the shards to compute; None for a stage without ranges.
        rows: How many rows these shards have.
        role: What the artifact is for, where a run has several of its kind.
    """

    model_config = ConfigDict(frozen=True)

    stage: str
    kind: str
    key: str
    store: str
    arguments: Mapping[str, Any]
    devices: DeviceSettings
    network: bool
    shards: tuple[int, ...] | None = None
    rows: int | None = None
    role: str = ""

    @property
    def title(self) -> str:
        """How progress is shown: "waveform (speech)"."""
        return titled(self.kind, self.role)

    @property
    def wants_gpu(self) -> bool:
        """Whether workers with a GPU shall do it, if there are any."""
        return self.network and self.devices.device != "cpu"

    def __str__(self) -> str:
        part = f" shards {self.shards[0]}-{self.shards[-1]}" if self.shards else ""
        return f"{self.title} {self.key[:8]}{part}"


def titled(kind: str, role: str) -> str:
    """A kind, and what the artifact is for."""
    return f"{kind} ({role})" if role else kind
