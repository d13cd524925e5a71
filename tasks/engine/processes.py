"""Worker processes of this machine: ranges side by side that don't wait for each other's Python.

Threads of one process take turns at Python's lock, and a stage that calls many short native
functions gains nothing from a second one. A worker is a process of its own that performs one call
after the other; a call is JSON, and what it makes goes into the store, so that hardly anything
travels. Workers are started when the first call comes that is worth one, or at once if it is known
that there will be some, and end with their owner, however that ends.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from typing import Any

from stores.errors import DubflowError
from tasks.engine.call import Call
from tasks.engine.perform import perform_call
from tasks.engine.run import PROCESSORS, NoProgress, Run

_POLL_SECONDS = 0.2
_START = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from tasks.engine.process_worker import work
work(int(sys.argv[2]))
"""


class WorkerDied(DubflowError):
    """A worker process ended in the middle of a call."""


class WorkerPool:
    """Up to `size` worker processes, for calls from any thread.

    Args:
        size: Calls performed at once.
        least_rows: A call of fewer rows is not worth the way to a worker.
        modules: Which a single run needs. This process, which then has nothing else to do, performs
            one of the calls itself.
        early: Start workers, and let them load the modules, as soon as the run computes anything,
            so that they are ready when calls come. Else they start when one is needed.
    """

    def __init__(
        self,
        size: int,
        *,
        least_rows: int = 64,
        modules: Sequence[str] = (),
        early: bool = True,
    ) -> None:
        self._size, self._least_rows = size, least_rows
        self._modules = modules if early else ()
        self._slots = threading.Semaphore(size)
        self._here = threading.Semaphore(1 if modules else 0)
        self._started: list[_WorkerProcess] = []
        self._free: list[_WorkerProcess] = []

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._started:
            worker.end()

    def takes(self, call: Call) -> bool:
        """Whether a call is for these workers: networks share one device, in this process."""
        worth = self._size > 1 and (call.rows or 0) >= self._least_rows
        return worth and not call.network and os.name == "posix"

    def get_ready(self) -> None:
        """The run computes something: start the workers whose modules are known."""
        while self._modules and len(self._started) < self._size - 1:
            self._started.append(worker := _WorkerProcess())
            self._free.append(worker)
            worker.load(self._modules)

    def perform(self, run: Run, call: Call) -> None:
        """Perform a call here, if that is free, or by the next free worker.

        Raises:
            WorkerDied: it ended meanwhile.
            Exception: whatever the call raises.
        """
        with self._slots:
            if self._here.acquire(blocking=False):
                try:
                    return perform_call(call)
                finally:
                    self._here.release()
            try:
                worker = self._free.pop()
            except IndexError:
                self._started.append(worker := _WorkerProcess())
            try:
                worker.perform(run, call)
            finally:
                if worker.is_alive:
                    self._free.append(worker)


class _WorkerProcess:
    """One worker, and the line to it."""

    def __init__(self) -> None:
        self._line, theirs = Pipe()
        number = theirs.fileno()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, json.dumps(sys.path), str(number)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[number],
            env=os.environ | {PROCESSORS: "1"},
        )
        theirs.close()

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def load(self, modules: Sequence[str]) -> None:
        """Import modules, before the first call."""
        with suppress(OSError):  # it has ended: the first call tells
            self._line.send(("load", list(modules)))

    def perform(self, run: Run, call: Call) -> None:
        """Perform a call; tell the run's progress, and heed its stop."""
        try:
            self._line.send(("call", call.model_dump_json()))
            told = False
            while True:
                if run.stop.is_set() and not told:
                    self._line.send(("stop", None))
                    told = True
                if self._line.poll(_POLL_SECONDS):
                    kind, content = self._line.recv()
                    if kind != "rows":
                        break
                    run.progress.advance(call.title, content)
        except (EOFError, OSError) as error:
            self.end()
            raise WorkerDied(
                f"a worker process ended in the middle of {call.kind} (status "
                f"{self._process.wait()}; 9 mostly means too little memory); finished ranges are "
                "kept: run the same command again, with --workers 1 if it happens again"
            ) from error
        if content is not None:
            raise content

    def end(self) -> None:
        """Hang up, which ends the process at once, and wait until it has."""
        self._line.close()
        self._process.wait()


class Reported(NoProgress):
    """Progress of a call in a worker, sent to its owner."""

    def __init__(self, line: "Connection[Any, Any]", lock: threading.Lock) -> None:
        self._line, self._lock = line, lock

    def advance(self, stage: str, rows: int) -> None:
        with self._lock:
            self._line.send(("rows", rows))
