"""`dubflow demo-batch`: a batch as it is run for good."""

import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from flows.cli.batch import summarise
from flows.cli.console import new_console
from flows.cli.options import OutputOption


def demo_batch(
    *,
    output: Annotated[OutputOption, Parameter(help="Folder for results, store and report.")] = Path(
        "dubflow-demo-batch"
    ),
    clips: Annotated[
        Path | None,
        Parameter(help="Videos to dub.", show_default="DUBFLOW_CLIPS, else the built-in example"),
    ] = None,
) -> None:
    """Show a batch as it is run for good: a server, a worker, a scheduled run, two processes."""
    from flows.batch import BatchReport
    from flows.batches.demo import demo_batch as run
    from flows.batches.report import State

    console = new_console()
    if clips is None and (named := os.environ.get("DUBFLOW_CLIPS")):
        clips = Path(named)
    done = run(output, clips=clips, say=console.print)
    seconds = sum(row.seconds for row in done.rows)
    report = BatchReport(done.rows, output / "manifest.report.parquet", seconds)
    summarise(report, console)
    if done.state != "COMPLETED" or report.count(State.FAILED):
        sys.exit(2)
