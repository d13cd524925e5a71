"""What a worker process of `tasks.engine.processes` does: one call after the other."""

import importlib
import os
import queue
import signal
import threading
from multiprocessing.connection import Connection
from typing import Any

from stores.artifacts.store import Store
from tasks.engine.call import Call
from tasks.engine.memory import give_memory_back
from tasks.engine.perform import perform_call
from tasks.engine.processes import Reported
from tasks.engine.run import Run


def work(number: int) -> None:
    """Perform the calls that come in by a connection, until it is closed.

    Args:
        number: File descriptor of the connection.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the owner hears it too, and says when to stop
    give_memory_back()
    line: Connection[Any, Any] = Connection(number)
    calls: queue.SimpleQueue[Call | list[str]] = queue.SimpleQueue()
    stop = threading.Event()
    threading.Thread(target=_listen, args=(line, calls, stop), daemon=True).start()
    speaking = threading.Lock()
    while True:
        call = calls.get()
        if isinstance(call, list):
            for module in call:
                importlib.import_module(module)
            continue
        error = _performed(call, stop, Reported(line, speaking))
        with speaking:
            try:
                line.send(("done", error))
            except Exception:  # an error that can't be pickled
                line.send(("done", RuntimeError(repr(error))))


def _listen(
    line: "Connection[Any, Any]",
    calls: "queue.SimpleQueue[Call | list[str]]",
    stop: threading.Event,
) -> None:
    try:
        while True:
            kind, content = line.recv()
            if kind == "stop":
                stop.set()
            elif kind == "load":
                calls.put(content)
            else:
                stop.clear()
                calls.put(Call.model_validate_json(content))
    except (EOFError, OSError):
        os._exit(0)  # the owner has ended, or needs no more: nothing may be written after it


def _performed(call: Call, stop: threading.Event, progress: Reported) -> BaseException | None:
    """Perform a call; give what it raised."""
    try:
        with Run(Store(call.store), devices=call.devices, progress=progress, stop=stop).current():
            perform_call(call)
    except BaseException as error:
        return error
    return None
