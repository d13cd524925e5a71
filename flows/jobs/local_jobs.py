"""Jobs in a folder of this machine: a YAML file each, in the subfolder of its state.

<folder>/STATE/ID.yaml       moved from one state to the next by a rename
<folder>/queue.lock          held while files are moved
<folder>/running/ID.lock     held by the process that runs the job
<folder>/running/ID.cancel   it is to be cancelled

Whoever waits runs what is queued, one job after the other; several may wait at once. A job whose
process died is queued again by the next one that waits: nobody holds its lock.
"""

import os
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import yaml

from flows.faults import reason_of
from flows.jobs.job import ID_DIGITS, Job, Perform, State
from flows.settings import DubSettings
from stores.artifacts.keys import content_key
from stores.backends.locks import exclusive, exclusive_or_refuse
from stores.errors import InputError, StoreError
from stores.whole_files import replacing
from tasks.engine.run import Progress

POLL_SECONDS = 0.5


def default_queue() -> Path:
    """DUBFLOW_JOBS, else `dubflow/jobs` in the user's folder for state."""
    if named := os.environ.get("DUBFLOW_JOBS"):
        return Path(named)
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "dubflow" / "jobs"


class LocalJobs:
    """The jobs of a folder, which is made when the first one is submitted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()

    def submit(self, key: str, settings: DubSettings) -> tuple[Job, bool]:
        """As `Jobs`."""
        id = content_key({"job": key})[:ID_DIGITS]
        with self._moving():
            if (known := self._find(id)) is not None:
                return known, False
            job = Job(
                id=id,
                key=key,
                settings=settings.model_dump(mode="json"),
                submitted=datetime.now(UTC).isoformat(timespec="microseconds"),
            )
            self._write(job)
            return job, True

    def all(self) -> list[Job]:
        """As `Jobs`."""
        if not self.folder.is_dir():
            return []
        with self._moving():
            found = [job for state in State for job in self._in(state)]
        return sorted(found, key=lambda job: job.submitted)

    def retry(self, job: Job) -> Job:
        """As `Jobs`.

        Raises:
            InputError: it has not ended.
        """
        with self._moving():
            now = self._now(job)
            if not now.state.ended:
                raise InputError(f"job {now.id} is {now.state}; only one that has ended is retried")
            return self._move(now, State.QUEUED, error="", notes=[])

    def cancel(self, job: Job) -> Job:
        """As `Jobs`.

        Raises:
            InputError: it has ended, or runs on another machine.
        """
        with self._moving():
            now = self._now(job)
            if now.state is State.QUEUED:
                return self._move(now, State.CANCELLED, error="before it ran")
            if now.state.ended:
                raise InputError(f"job {now.id} is {now.state}: there is nothing to cancel")
            if now.host != socket.gethostname():
                raise InputError(f"job {now.id} runs on {now.host}: cancel it there")
            self._mark(now).touch()
            with exclusive_or_refuse(self._lock(now)) as died:
                if died:  # nobody is there to hear it
                    return self._ended(now, State.CANCELLED, "its process had died")
            os.kill(now.process, signal.SIGINT)
            return now

    def wait(self, ids: Sequence[str], perform: Perform, progress: Progress) -> None:
        """As `Jobs`.

        Raises:
            KeyboardInterrupt: the job under way is queued again.
        """
        while any(job.id in ids and not job.state.ended for job in self.all()):
            with self._claimed(ids) as job:
                if job is None:
                    time.sleep(POLL_SECONDS)
                else:
                    self._run(job, perform, progress)

    def _run(self, job: Job, perform: Perform, progress: Progress) -> None:
        try:
            report = perform(DubSettings.model_validate(job.settings), progress)
        except KeyboardInterrupt:
            if self._mark(job).exists():
                self._end(job, State.CANCELLED, "while it ran")
                return
            self._end(job, State.QUEUED, "")
            raise
        except Exception as error:
            self._end(job, State.FAILED, reason_of(error))
        else:
            made = job.model_copy(update={"run": report.run, "notes": report.notes})
            state = State.FILTERED if report.filtered else State.DONE
            self._end(made, state, report.filtered)

    @contextmanager
    def _claimed(self, ids: Sequence[str]) -> Iterator[Job | None]:
        """The oldest queued job of these, which is ours meanwhile; None if there is none."""
        with self._moving():
            for job in self._in(State.RUNNING):
                with exclusive_or_refuse(self._lock(job)) as died:
                    if died:
                        self._ended(job, State.QUEUED, "")
            queued = [job for job in self._in(State.QUEUED) if job.id in ids]
        if not queued:
            yield None
            return
        oldest = min(queued, key=lambda job: job.submitted)
        with exclusive_or_refuse(self._lock(oldest)) as ours:
            claimed = None
            if ours:
                with self._moving():
                    now = self._find(oldest.id)
                    if now is not None and now.state is State.QUEUED:
                        us = {"host": socket.gethostname(), "process": os.getpid()}
                        attempts = now.attempts + 1
                        claimed = self._move(now, State.RUNNING, attempts=attempts, **us)
            yield claimed

    def _end(self, job: Job, state: State, error: str) -> None:
        with self._moving():
            self._ended(job, state, error)

    def _ended(self, job: Job, state: State, error: str) -> Job:
        self._mark(job).unlink(missing_ok=True)
        return self._move(job, state, error=error, host="", process=0)

    @contextmanager
    def _moving(self) -> Iterator[None]:
        """Nobody else moves files meanwhile.

        Raises:
            StoreError: the folder can't be used.
        """
        try:
            for state in State:
                (self.folder / state).mkdir(parents=True, exist_ok=True)
            with exclusive(self.folder / "queue.lock"):
                yield
        except OSError as error:
            raise StoreError(
                f"the queue {self.folder} can't be used: {error.strerror}; name another folder "
                "with --queue or DUBFLOW_JOBS"
            ) from error

    def _move(self, job: Job, state: State, **changes: object) -> Job:
        """The job in another state; its file is in one folder or the other, and whole."""
        moved = job.model_copy(update={"state": state, **changes})
        self._write(moved, beside=job.state)
        if state is not job.state:
            self._path(job).rename(self._path(moved))
        return moved

    def _write(self, job: Job, beside: State | None = None) -> None:
        path = self.folder / (beside or job.state) / f"{job.id}.yaml"
        with replacing(path) as new:
            new.write_text(yaml.safe_dump(job.model_dump(mode="json"), sort_keys=False))

    def _in(self, state: State) -> list[Job]:
        """Jobs of a state: that of the folder, whatever the file says."""
        found = []
        for path in (self.folder / state).glob("*.yaml"):
            try:
                job = Job.model_validate(yaml.safe_load(path.read_text()))
            except (ValueError, yaml.YAMLError) as error:
                reason = " ".join(str(error).split())
                raise StoreError(f"{path} is no job ({reason}); remove it") from None
            found.append(job.model_copy(update={"state": state}))
        return found

    def _find(self, id: str) -> Job | None:
        every = (job for state in State for job in self._in(state))
        return next((job for job in every if job.id == id), None)

    def _now(self, job: Job) -> Job:
        found = self._find(job.id)
        if found is None:
            raise InputError(f"there is no job {job.id} any more")
        return found

    def _path(self, job: Job) -> Path:
        return self.folder / job.state / f"{job.id}.yaml"

    def _lock(self, job: Job) -> Path:
        return self.folder / State.RUNNING / f"{job.id}.lock"

    def _mark(self, job: Job) -> Path:
        return self.folder / State.RUNNING / f"{job.id}.cancel"
