"""Calls performed in this process."""

import importlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from contextlib import contextmanager
from contextvars import copy_context

from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from tasks.engine.call import Call
from tasks.engine.memory import trim
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
    try:
        if current_run_or_none() is not None:
            stage.compute(store, call)
            return
        with Run(store, devices=call.devices).current():
            stage.compute(store, call)
    finally:
        trim()


def perform_beside(run: Run, call: Call) -> None:
    """Do one call of a run: by a worker process of it if it has some for such calls, else here."""
    if run.pool is not None and run.pool.takes(call):
        run.pool.perform(run, call)
    else:
        perform_call(call)


@contextmanager
def others_stopped(run: Run, await_others: Callable[[], object]) -> Iterator[None]:
    """When one call fails, or the wait for them is broken off: the others stop after their shard.

    Args:
        run: Whose calls they are; it can go on afterwards.
        await_others: Returns when all have ended.
    """
    try:
        yield
    except BaseException:
        stopped_before = run.stop.is_set()
        run.stop.set()
        await_others()
        if not stopped_before:
            run.stop.clear()
        raise


class ThreadExecutor:
    """Threads of this process, and the run's worker processes; a single call needs no thread."""

    settle_seconds = 0.0

    def ranges(self, run: Run, *, network: bool) -> int:
        return run.workers

    def perform(self, run: Run, calls: Sequence[Call]) -> None:
        if run.pool is not None:
            run.pool.get_ready()
        if len(calls) < 2:
            # Another process would gain nothing, unless other runs use this one meanwhile.
            for call in calls:
                if run.workers > 1:
                    perform_call(call)
                else:
                    perform_beside(run, call)
            return
        with ThreadPoolExecutor(len(calls), thread_name_prefix=calls[0].kind) as pool:
            futures = [pool.submit(copy_context().run, perform_beside, run, call) for call in calls]
            with others_stopped(run, lambda: wait(futures)):
                for future in as_completed(futures):
                    future.result()

    def note_hit(self, artifact: Artifact) -> None:
        return
