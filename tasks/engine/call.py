"""What one process asks another to compute: a stage, its arguments, and which of its shards."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel, ConfigDict

from stores.artifacts.artifact import Artifact
from tasks.engine.device_settings import DeviceSettings

if TYPE_CHECKING:
    from tasks.engine.run import Run


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

    @property
    def wants_gpu(self) -> bool:
        """Whether workers with a GPU shall do it, if there are any."""
        return self.network and self.devices.device != "cpu"

    def __str__(self) -> str:
        part = f" shards {self.shards[0]}-{self.shards[-1]}" if self.shards else ""
        return f"{self.kind} {self.key[:8]}{part}"


class Executor(Protocol):
    """Whoever performs the calls of a run: this process, Prefect's task runner, or a cluster."""

    @property
    def settle_seconds(self) -> float:
        """How long what was computed may take to be seen in the store."""

    def ranges(self, run: "Run", *, network: bool) -> int:
        """Ranges of a stage that shall be computed at the same time."""

    def perform(self, run: "Run", calls: Sequence[Call]) -> None:
        """Return when all calls of one stage are done.

        Raises:
            Exception: the first error of a call, after the others have stopped.
        """

    def note_hit(self, artifact: Artifact) -> None:
        """A result was found in the store."""

    def stop(self) -> None:
        """Give up waiting, from another thread."""
