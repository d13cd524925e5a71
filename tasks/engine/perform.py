"""Calls performed in this process."""

import importlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context

from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from tasks.engine.call import Call
from tasks.engine.run import Run, current_run_or_none
from tasks.engine.stage import Stage


def load_stage(address: str) -> Stage:
    """The stage that `Stage.address` names."""
    module, _, name = address.partition(":")
    found = getattr(importlib.import_module(module), name)
    assert isinstance(found, Stage)
    return found


def perform_call(call: Call) -> None:
    """Do one call; in the run that is active here, or else as a worker."""
    stage, store = load_stage(call.stage), Store(call.store)
    if current_run_or_none() is not None:
        stage.compute(store, call)
        return
    with Run(store, devices=call.devices).current():
        stage.compute(store, call)


class ThreadExecutor:
    """Threads of this process; a single call is made in the calling thread."""

    settle_seconds = 0.0

    def ranges(self, run: Run, *, network: bool) -> int:
        return run.workers

    def perform(self, run: Run, calls: Sequence[Call]) -> None:
        if len(calls) < 2:
            for call in calls:
                perform_call(call)
            return
        with ThreadPoolExecutor(len(calls), thread_name_prefix=calls[0].kind) as pool:
            futures = [pool.submit(copy_context().run, perform_call, call) for call in calls]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                stopped_before = run.stop.is_set()
                run.stop.set()
                wait(futures)
                if not stopped_before:
                    run.stop.clear()
                raise

    def note_hit(self, artifact: Artifact) -> None:
        return

    def stop(self) -> None:
        return
