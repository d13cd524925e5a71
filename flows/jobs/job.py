"""A job: one dub, all settings in one YAML file, and how it stands."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import yaml
from pydantic import BaseModel, ConfigDict, Field

from flows.dub_report import DubReport
from flows.settings import DubSettings
from stores.artifacts.keys import content_key
from stores.artifacts.source import Source
from stores.errors import InputError
from tasks.engine.run import Progress

Perform = Callable[[DubSettings, Progress], DubReport]
ID_DIGITS = 12


class State(StrEnum):
    """How a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FILTERED = "filtered"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Nothing more happens to it unless it is retried."""
        return self.written or self in (State.FAILED, State.CANCELLED)

    @property
    def written(self) -> bool:
        """Its output was written; filtered: without a new mouth, as there was nothing to dub."""
        return self in (State.DONE, State.FILTERED)


class Job(BaseModel):
    """A dub that was submitted, and what has become of it."""

    model_config = ConfigDict(frozen=True)

    id: str
    key: str = Field(description="two submissions with the same key are one job")
    settings: dict[str, Any] = Field(description="of `DubSettings`, paths absolute")
    state: State = State.QUEUED
    submitted: str = Field(default="", description="UTC, ISO 8601")
    attempts: int = 0
    error: str = Field(default="", description="why it is filtered, failed, or was cancelled")
    notes: list[str] = Field(default=[], description="what a user should know about the result")
    run: str = Field(default="", description="id of its record in the store")
    host: str = ""
    process: int = Field(default=0, description="that runs it")

    @property
    def output(self) -> Path:
        """The file that it writes."""
        return Path(str(self.settings["output"]))

    def to_yaml(self) -> str:
        """Its settings, as `dubflow dub --config` takes them; the rest as comments."""
        told = {"job": self.id, "state": self.state.value, "key": self.key, "run": self.run}
        told |= {"attempts": str(self.attempts), "submitted": self.submitted, "error": self.error}
        head = "".join(f"# {name}: {value}\n" for name, value in told.items() if value)
        head += "".join(f"# note: {note}\n" for note in self.notes)
        return head + yaml.safe_dump(self.settings, sort_keys=False)


class Jobs(Protocol):
    """Where jobs are kept, and who runs them."""

    def submit(self, key: str, settings: DubSettings) -> tuple[Job, bool]:
        """The job of that key, and whether it is a new one."""

    def all(self) -> list[Job]:
        """Every job, oldest first."""

    def retry(self, job: Job) -> Job:
        """Queue a job that has ended once more."""

    def cancel(self, job: Job) -> Job:
        """Run it no more, or no further."""

    def wait(self, ids: Sequence[str], perform: Perform, progress: Progress) -> None:
        """Return when these have ended; run them here if nobody else does."""


def absolute(settings: DubSettings) -> DubSettings:
    """The same, wherever it is run."""
    store = settings.store if "://" in settings.store else str(Path(settings.store).absolute())
    return settings.absolute().model_copy(update={"store": store})


def job_key(settings: DubSettings, files: Sequence[Path]) -> str:
    """Hash of the settings and of the bytes of the files that they name."""
    given = settings.model_dump(mode="json", exclude={"workers"})
    return content_key({"settings": given, "inputs": [Source.known(path).key for path in files]})


def find_job(jobs: Sequence[Job], text: str) -> Job:
    """The job of that id, or whose id begins so, or the newest that writes a file of that name.

    Raises:
        InputError: there is none.
    """
    for job in reversed(jobs):
        if job.id.startswith(text) or text in (str(job.output), job.output.name):
            return job
    raise InputError(f"there is no job {text!r}; `dubflow jobs list` shows all")
