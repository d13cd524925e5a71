"""One request of `dubflow inspect`, done by a process of its own: python -m flows.inspection.job

Standard input is one JSON object: `do`, one of `schema`, `plan`, `redo`, `suspects`; `store`, a
URL; `run`, the id of a record; and what that needs (`changes`, `span`, `method`). Standard output
is JSON lines: `progress` (`name`, `done`, `total` or null), and at the end `result`, or `error` in
one line; the exit code is 0 or 1. SIGTERM stops it; what was finished stays in the store.
"""

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, NoReturn, TextIO

from flows.runtime.environment import quiet_and_private

quiet_and_private()  # before what follows imports NumPy

from rich.console import Console  # noqa: E402

from flows.runtime.progress import Bars  # noqa: E402
from stores.artifacts.store import Store  # noqa: E402
from stores.errors import DubflowError, InputError  # noqa: E402
from stores.runs import RunRecord, find_run  # noqa: E402
from tasks.engine.memory import give_memory_back  # noqa: E402

Request = dict[str, Any]


class Lines(Bars):
    """Progress as JSON lines. Ranges of a stage that shall not flood the page are told together."""

    def __init__(self, to: TextIO) -> None:
        super().__init__(Console(stderr=True, quiet=True))
        self._to = to
        self._lock = threading.Lock()
        self._done: dict[str, tuple[int, int | None]] = {}

    def tell(self, **line: Any) -> None:
        """Write a line."""
        with self._lock:
            self._to.write(json.dumps(line) + "\n")
            self._to.flush()

    def begin(self, stage: str, rows: int | None, done: int) -> None:
        self._done[stage] = (done, rows)
        self._show(stage)

    def advance(self, stage: str, rows: int) -> None:
        done, total = self._done[stage]
        self._done[stage] = (done + rows, total)
        self._show(stage)

    def end(self, stage: str, *, cached: bool) -> None:
        done, total = self._done.pop(stage, (1, 1))
        self._done[stage] = (total or max(1, done), total or max(1, done))
        self._show(stage)

    def note(self, text: str) -> None:
        self.tell(note=text)

    def _show(self, stage: str) -> None:
        done, total = self._done[stage]
        self.tell(progress={"name": stage, "done": done, "total": total})


def _schema(store: Store, run: RunRecord, request: Request, progress: Lines) -> dict[str, Any]:
    from flows.inspection.changes import settings_schema

    return settings_schema(run, request.get("method"))


def _plan(store: Store, run: RunRecord, request: Request, progress: Lines) -> dict[str, Any]:
    from flows.inspection.plan import plan_redo

    return plan_redo(store, run, request.get("changes") or {}, _span(request))


def _redo(store: Store, run: RunRecord, request: Request, progress: Lines) -> dict[str, Any]:
    from flows.inspection.redo import redo

    changes = request.get("changes") or {}
    return {**redo(store, run, changes, _span(request), progress=progress)}


def _suspects(store: Store, run: RunRecord, request: Request, progress: Lines) -> dict[str, Any]:
    from flows.inspection.suspects import find_suspects

    return find_suspects(store, run, progress=progress)


_DO: dict[str, Callable[[Store, RunRecord, Request, Lines], dict[str, Any]]] = {
    "schema": _schema,
    "plan": _plan,
    "redo": _redo,
    "suspects": _suspects,
}


def main() -> int:
    """Do what standard input asks for; the exit code."""
    give_memory_back()
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print is none of the answer
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    lines = Lines(out)
    try:
        lines.tell(result=answer(json.load(sys.stdin), lines))
    except KeyboardInterrupt:
        lines.tell(error="stopped; finished ranges are kept, the same request goes on from there")
    except DubflowError as error:
        lines.tell(error=str(error))
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        lines.tell(error=f"{where}{error.strerror or error}")
    except Exception as error:
        traceback.print_exc()
        lines.tell(error=f"internal error, please report it: {type(error).__name__}: {error}")
    else:
        return 0
    return 1


def answer(request: Request, lines: Lines) -> dict[str, Any]:
    """The result of a request.

    Raises:
        DubflowError: it can't be had.
    """
    if request.get("do") not in _DO:
        raise InputError(f"there is no job {request.get('do')!r}; there is {', '.join(_DO)}")
    store = Store(str(request["store"]))
    return _DO[request["do"]](store, find_run(store, str(request["run"])), request, lines)


def _span(request: Request) -> tuple[int, int] | None:
    span = request.get("span")
    if span is None:
        return None
    try:
        start, stop = map(int, span)
    except (TypeError, ValueError):
        raise InputError(f"a span is [first frame, frame after the last], not {span!r}") from None
    return start, stop


def _stop(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
