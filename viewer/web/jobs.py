"""Work in processes of their own: networks, dubs, drawings, proxies.

A process is given one JSON object on its standard input and tells JSON lines on its standard
output: `progress` (`name`, `done`, `total`), and at the end `result` or `error`. SIGTERM stops it.
"""

import contextlib
import json
import secrets
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from stores.errors import InputError

State = Literal["running", "done", "failed", "cancelled"]

_MOST_RUNNING, _MOST_KEPT = 4, 64
_GRACE_SECONDS = 10
_LINE_CHARACTERS = 1 << 24


@dataclass
class Job:
    """A process, and what it told.

    Attributes:
        id: Names it.
        progress: By the name of what is done, in the order of beginning.
        result: What it made, when it is done.
        error: Why not, in one line.
    """

    process: "subprocess.Popen[str]"
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    state: State = "running"
    progress: dict[str, dict[str, Any]] = field(default_factory=dict)
    result: dict[str, Any] | None = None
    error: str | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    def told(self) -> dict[str, Any]:
        """As the page is told."""
        steps = list(self.progress.values())
        return {
            "state": self.state,
            "progress": steps,
            "result": self.result,
            "error": self.error,
        }


class Jobs:
    """Processes that were started, the newest of them kept. Safe for threads."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def start(
        self,
        command: list[str],
        request: dict[str, Any],
        *,
        done: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> Job:
        """Start a process.

        Args:
            command: That starts it.
            request: What it is given.
            done: Called with its result.

        Raises:
            InputError: too many are running.
        """
        with self._lock:
            running = [job for job in self._jobs.values() if job.state == "running"]
            if len(running) >= _MOST_RUNNING:
                raise InputError(f"{len(running)} jobs are running; wait, or stop one")
            for name in [n for n, job in self._jobs.items() if job.state != "running"]:
                if len(self._jobs) >= _MOST_KEPT:
                    del self._jobs[name]
            pipe = subprocess.PIPE
            process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
            )
            job = Job(process)
            self._jobs[job.id] = job
        threading.Thread(target=_follow, args=(job, request, done), daemon=True).start()
        return job

    def find(self, name: str) -> Job | None:
        """The job of that id."""
        return self._jobs.get(name)

    def cancel(self, job: Job) -> None:
        """Ask a job to stop."""
        if job.state == "running":
            job.state = "cancelled"
            job.process.terminate()

    def close(self) -> None:
        """Stop all, and wait for them."""
        jobs = list(self._jobs.values())
        for job in jobs:
            self.cancel(job)
        for job in jobs:
            try:
                job.process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                job.process.kill()
                job.process.wait()


def _follow(job: Job, request: dict[str, Any], done: Callable[[dict[str, Any]], None]) -> None:
    """Read what the process tells until its end."""
    process = job.process
    assert process.stdin is not None and process.stdout is not None
    with process:
        with contextlib.suppress(BrokenPipeError), process.stdin:
            process.stdin.write(json.dumps(request))
        while line := process.stdout.readline(_LINE_CHARACTERS):
            _hear(job, line)
    if job.state == "running":
        if job.result is not None and process.returncode == 0:
            done(job.result)
            job.state = "done"
        else:
            job.error = job.error or f"the job ended with exit code {process.returncode}"
            job.state = "failed"
    job.ended.set()


def _hear(job: Job, line: str) -> None:
    try:
        told = json.loads(line)
    except ValueError:
        return
    if not isinstance(told, dict):
        return
    if isinstance(step := told.get("progress"), dict):
        job.progress[str(step.get("name"))] = step
    if isinstance(result := told.get("result"), dict):
        job.result = result
    if "error" in told:
        job.error = " ".join(str(told["error"]).split())
