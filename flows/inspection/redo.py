"""A recorded dub made again with other settings, all of it or a span of its frames."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.dub import dub
from flows.dub_inputs import check_inputs
from flows.inspection.changes import changed_settings, part_settings
from flows.runtime.progress import Bars, watched
from flows.settings import DubSettings
from stores.artifacts.store import Store
from stores.runs import RunRecord


def redo(
    store: Store,
    record: RunRecord,
    changes: Mapping[str, Any],
    span: tuple[int, int] | None,
    *,
    progress: Bars,
) -> dict[str, str]:
    """`run`, the id of the new record, and `output`, the new file; under Prefect where it is known.

    The new file lies beside the old one, as NAME.redo1.mp4, NAME.redo2.mp4 …; that of a span has
    its part of the speech beside it, as NAME.redo1.wav. A redo that was stopped goes on from the
    ranges that it finished.

    Args:
        record: Of the dub to redo.
        changes: Of its settings, nested.
        span: Which of its output rows [start, stop); None: all.
        progress: Who shows it.

    Raises:
        DubflowError: a setting is wrong, or as `flows.dub.dub`.
    """
    settings = changed_settings(record, changes)
    output, speech = _free_names(settings.output, span is not None)
    settings = settings.model_copy(update={"output": output})
    done = False
    try:
        if span is not None:
            settings = part_settings(store, record, settings, span, speech)
        check_inputs(settings)
        redo_of = {"run": record.id, "span": None if span is None else list(span)}
        run = _dub(settings, redo_of, progress)
        done = True
    finally:
        if not done and span is not None:
            speech.unlink(missing_ok=True)
    return {"run": run, "output": str(output)}


def _dub(settings: DubSettings, redo_of: dict[str, Any], progress: Bars) -> str:
    """Id of the record."""
    with watched(progress):
        if os.environ.get("PREFECT_API_URL"):
            from flows.prefect_flows import dub_flow

            return str(dub_flow(settings, redo_of=redo_of)["run"])
        return dub(settings, progress=progress, redo_of=redo_of).run


def _free_names(output: Path, part: bool) -> tuple[Path, Path]:
    """Names of a dub and of its speech that no file has."""
    number = 1
    while True:
        names = [
            output.with_name(f"{output.stem}.redo{number}{s}") for s in (output.suffix, ".wav")
        ]
        if not any(name.exists() for name in names[: 1 + part]):
            return names[0], names[1]
        number += 1
