"""One run of a flow: where its artifacts go, who computes them, and what happened."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

from stores.artifacts.artifact import Artifact
from stores.artifacts.builder import Derivation
from stores.artifacts.store import Store
from stores.errors import DamagedArtifact
from tasks.engine.call import Call
from tasks.engine.device_settings import DeviceSettings

PROCESSORS = "DUBFLOW_PROCESSORS"
"""Environment variable: this process's share of the machine, where several work side by side."""


class Progress(Protocol):
    """Whoever shows progress. Rows are frames in most stages."""

    def begin(self, stage: str, rows: int | None, done: int) -> None:
        """A stage starts; `rows` is None where its length is not known."""

    def advance(self, stage: str, rows: int) -> None:
        """Some rows are finished. Called from any thread."""

    def end(self, stage: str, *, cached: bool) -> None:
        """The stage is in the store."""

    def note(self, text: str) -> None:
        """Something that a user should know."""


class NoProgress:
    """Shows nothing."""

    def begin(self, stage: str, rows: int | None, done: int) -> None:
        return

    def advance(self, stage: str, rows: int) -> None:
        return

    def end(self, stage: str, *, cached: bool) -> None:
        return

    def note(self, text: str) -> None:
        return


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


class Pool(Protocol):
    """Worker processes of this machine."""

    def get_ready(self) -> None:
        """The run computes something: calls may come."""

    def takes(self, call: Call) -> bool:
        """Whether a call is for them."""

    def perform(self, run: "Run", call: Call) -> None:
        """Return when the call is done, by the next of them that is free."""


@dataclass(frozen=True)
class StageRecord:
    """What one stage did in this run.

    Attributes:
        name: Kind of the artifact.
        key: Its content key.
        seconds: Wall time in this run.
        hits: Ranges that were in the store already (1 for a stage without ranges).
        computed: Ranges that were computed now.
        role: What it is for, where a run has several of its kind: `told_as`.
    """

    name: str
    key: str
    seconds: float
    hits: int
    computed: int
    role: str = ""


@dataclass
class Run:
    """Context that every stage of a run shares; `tasks.engine.open_run` opens one.

    Attributes:
        store: Where artifacts go.
        executor: Who performs calls; None in a process that only performs those of another.
        workers: Ranges of a stage that are computed at the same time, on this machine.
        devices: Where and how networks run.
        progress: Who shows it.
        records: One per stage call, in order.
        notes: What a user should know of it.
        stop: Set to end the run soon; finished shards are kept.
        kept: What was looked up once and does not change while the run lasts.
        pool: Worker processes of this machine; None where all is done in this one.
        plan: Asked at each call of a stage instead of computing; None in a run that computes.
    """

    store: Store
    executor: Executor | None = None
    workers: int = 1
    devices: DeviceSettings = field(default_factory=DeviceSettings)
    progress: Progress = field(default_factory=NoProgress)
    records: list[StageRecord] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    kept: dict[str, Artifact] = field(default_factory=dict)
    pool: "Pool | None" = None
    plan: "Planner | None" = None

    @property
    def is_worker(self) -> bool:
        """Whether this process performs calls for a run that another process drives."""
        return self.executor is None

    @contextmanager
    def current(self) -> Iterator["Run"]:
        """Make this the run that stages report to."""
        token = _current.set(self)
        try:
            yield self
        finally:
            _current.reset(token)

    def record(
        self, artifact: Artifact, *, seconds: float, hits: int, computed: int, role: str = ""
    ) -> None:
        """Note what a stage did."""
        self.records.append(
            StageRecord(artifact.kind, artifact.key, round(seconds, 3), hits, computed, role)
        )

    def role_of(self, made_of: Derivation) -> str:
        """As `told_as` says here; else that of all artifacts that it is made of, if they agree."""
        roles = self.roles
        of_inputs = {roles.get(key, "") for _, key in made_of.inputs.values()}
        return _role.get() or (of_inputs.pop() if len(of_inputs) == 1 else "")

    def note_damage(self, damage: DamagedArtifact) -> None:
        """Note that an artifact was damaged, and is made again."""
        text = f"{damage.kind} {damage.key[:12]} was damaged ({damage.what}) and is made again"
        self.notes.append(text)
        self.progress.note(text)

    @property
    def touched(self) -> list[tuple[str, str]]:
        """(kind, key) of every artifact used or made, without repeats."""
        return list(dict.fromkeys((record.name, record.key) for record in self.records))

    @property
    def roles(self) -> dict[str, str]:
        """Key of each artifact that has one → its role."""
        return {record.key: record.role for record in self.records if record.role}


Planner = Callable[[Any, Mapping[str, Any], Derivation, Artifact | None], Artifact]
"""(stage, its arguments, what it would make, that if the store has it) → what stands for it."""

_role: ContextVar[str] = ContextVar("dubflow_role", default="")


@contextmanager
def told_as(role: str) -> Iterator[None]:
    """Show the stages that are called inside with what they are for: "waveform (speech)"."""
    token = _role.set(role)
    try:
        yield
    finally:
        _role.reset(token)


_current: ContextVar[Run | None] = ContextVar("dubflow_run", default=None)


def current_run() -> Run:
    """The run that is active here.

    Raises:
        RuntimeError: a stage was called outside `open_run`.
    """
    run = _current.get()
    if run is None:
        raise RuntimeError("stages run inside `with open_run(store):`")
    return run


def current_run_or_none() -> Run | None:
    """As `current_run`; None where no run is active."""
    return _current.get()


def current_devices() -> DeviceSettings:
    """Where the networks of the run that is active here run; without one, the best there is."""
    run = current_run_or_none()
    return run.devices if run is not None else DeviceSettings()


Settle = Callable[[str, Callable[[], str]], str]
"""A question, and who answers it if nobody did yet → the answer."""


@contextmanager
def settling(settle: Settle) -> Iterator[None]:
    """Questions that are `settled_once` inside go to `settle`."""
    token = _settle.set(settle)
    try:
        yield
    finally:
        _settle.reset(token)


def settled_once(question: str, answer: Callable[[], str]) -> str:
    """What holds for all ranges of the artifact that is computed here, in whatever process.

    Args:
        question: A name.
        answer: Is asked if no process answered yet, and where no artifact is computed. It must not
            depend on the range in hand.
    """
    settle = _settle.get()
    return answer() if settle is None else settle(question, answer)


_settle: ContextVar[Settle | None] = ContextVar("dubflow_settle", default=None)


def usable_processors() -> int:
    """Processors that this process may use."""
    if share := os.environ.get(PROCESSORS):
        return int(share)
    available = getattr(os, "sched_getaffinity", None)
    return len(available(0)) if available else os.cpu_count() or 1
