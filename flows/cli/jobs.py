"""`dubflow jobs`: dubs that are queued, run, waited for, retried and cancelled."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.cli.console import new_console
from flows.cli.errors import when_stopped
from flows.cli.options import (
    ARGUMENTS,
    OPTIONS,
    RUNNING,
    ChangesOption,
    JsonOption,
    OverwriteOption,
    PrefectOption,
    StoreOption,
    may_replace,
    under_prefect,
)
from flows.cli.outcome import show_notes_of

if TYPE_CHECKING:
    from flows.jobs.job import Job, Jobs

jobs = App(name="jobs", group_arguments=ARGUMENTS, group_parameters=OPTIONS)

QueueOption = Annotated[
    Path | None,
    Parameter(
        name="--queue",
        group=RUNNING,
        help="Folder of the queue where no Prefect server is known.",
        show_default="DUBFLOW_JOBS, else the user's folder for state",
    ),
]
JobArgument = Annotated[str, Parameter(help="First digits of its id, or the name of its output.")]
_FAILED, _CANCELLED = 2, 3
"""Exit codes of those who wait."""


@jobs.command
def submit(
    files: Annotated[
        list[Path],
        Parameter(
            metavar="JOB.yaml|MANIFEST",
            help="Settings of a dub, as `dubflow dub … --dry-run` prints them; or rows of a batch.",
        ),
    ],
    /,
    *,
    key: Annotated[
        str | None,
        Parameter(
            help="Two submissions with the same key are one job; of many, the key of each is "
            "KEY:number.",
            show_default="hash of settings and inputs",
        ),
    ] = None,
    wait: Annotated[bool, Parameter(help="Run what is queued of it, return at its end.")] = False,
    changes: Annotated[
        ChangesOption, Parameter(help="Change a setting of all that is submitted. Repeatable.")
    ] = None,
    overwrite: OverwriteOption = False,
    store: StoreOption = None,
    queue: QueueOption = None,
    prefect: PrefectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Queue a dub, or one for each row of a manifest: a batch is many jobs.

    Examples

        dubflow dub talk.mp4 german.wav -o talk.de.mp4 --dry-run > job.yaml
        dubflow jobs submit job.yaml
        dubflow jobs submit jobs.csv --wait

    Where a Prefect server is known, its workers run them; otherwise `dubflow jobs wait` does. The
    same submission twice is one job, whatever has become of it. With --wait, ends with status 2 if
    some failed, 3 if some were cancelled, else 0.
    """
    from flows.dub import is_result_of
    from flows.dub_inputs import files_of
    from flows.jobs.job import job_key
    from flows.jobs.submitted import read_jobs

    console = new_console()
    kept = _jobs(queue, prefect)
    given = read_jobs(files, changes or [], store)
    known = {job.key for job in kept.all()}
    if key is None:
        keys = [job_key(settings, files_of(settings)) for settings in given]
    else:
        keys = [key] if len(given) == 1 else [f"{key}:{n}" for n in range(1, len(given) + 1)]
    for own, settings in zip(keys, given, strict=True):
        if own not in known:
            may_replace(settings.output, overwrite or is_result_of(settings))
    found: list[Job] = []
    for own, settings in zip(keys, given, strict=True):
        job, new = kept.submit(own, settings)
        found.append(job)
        if not as_json or wait:
            told = f"queued: {job.output}" if new else _known(job)
            console.print(f"{job.id} {escape(told)}")
    if wait:
        _wait(kept, [job.id for job in found], as_json=as_json)
    elif as_json:
        sys.stdout.write(json.dumps([job.model_dump(mode="json") for job in found]) + "\n")
    elif not under_prefect(prefect) and any(not job.state.ended for job in found):
        console.print("[dim]`dubflow jobs wait` runs what is queued")


def _known(job: "Job") -> str:
    """How a job stands that was submitted before, and how to have it run again."""
    told = f"is there already, {job.state.value}: {job.output}"
    if not job.state.ended:
        return told
    lost = job.state.written and not job.output.exists()
    told += ", which is missing" * lost
    if job.state.written and not lost:
        return told
    return f"{told}; `dubflow jobs retry {job.id}` runs it again"


@jobs.command(name="list")
def list_jobs(
    *,
    state: Annotated[
        str | None,
        Parameter(
            help="Only those that are so: queued, running, done, filtered, failed or cancelled."
        ),
    ] = None,
    queue: QueueOption = None,
    prefect: PrefectOption = None,
    as_json: JsonOption = False,
) -> None:
    """List all jobs, oldest first."""
    from flows.jobs.job import State
    from stores.named import known

    if state is not None:
        known("state", state, [each.value for each in State])
    found = [job for job in _jobs(queue, prefect).all() if state in (None, job.state.value)]
    if as_json:
        sys.stdout.write(json.dumps([job.model_dump(mode="json") for job in found]) + "\n")
        return
    _show(found, new_console(stderr=False))


@jobs.command
def show(
    job: JobArgument,
    /,
    *,
    queue: QueueOption = None,
    prefect: PrefectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a job: how it stands, and its settings as `dubflow dub --config` takes them."""
    found = _found(_jobs(queue, prefect), job)
    sys.stdout.write(found.model_dump_json() + "\n" if as_json else found.to_yaml())


@jobs.command
def retry(
    job: JobArgument,
    /,
    *,
    wait: Annotated[bool, Parameter(help="Run it, and return at its end.")] = False,
    queue: QueueOption = None,
    prefect: PrefectOption = None,
) -> None:
    """Queue a job that has ended once more; what it had finished comes from the store."""
    kept = _jobs(queue, prefect)
    again = kept.retry(_found(kept, job))
    new_console().print(f"{again.id} {again.state.value}: {again.output}")
    if wait:
        _wait(kept, [again.id], as_json=False)


@jobs.command
def cancel(
    job: JobArgument, /, *, queue: QueueOption = None, prefect: PrefectOption = None
) -> None:
    """Take a job out of the queue, or stop it; what it has finished is kept in the store."""
    kept = _jobs(queue, prefect)
    now = kept.cancel(_found(kept, job))
    told = now.state.value if now.state.ended else "is being stopped"
    new_console().print(f"{now.id} {told}: {now.output}")


@jobs.command
def wait(
    names: Annotated[
        list[str] | None, Parameter(metavar="JOB", help="As of `jobs show`; all if left out.")
    ] = None,
    /,
    *,
    queue: QueueOption = None,
    prefect: PrefectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Return when jobs have ended; without a Prefect server, run those that are queued.

    Ends with status 2 if some failed, 3 if some were cancelled, else 0. Given no names, those that
    had ended before do not count.
    """
    kept = _jobs(queue, prefect)
    every = kept.all()
    if names:
        ids = [_found(kept, name).id for name in names]
    else:
        ids = [job.id for job in every if not job.state.ended]
    _wait(kept, ids, as_json=as_json)


def _jobs(queue: Path | None, prefect: bool | None) -> "Jobs":
    if queue is None and under_prefect(prefect):
        from flows.jobs.prefect_jobs import PrefectJobs

        return PrefectJobs()
    from flows.jobs.local_jobs import LocalJobs, default_queue

    return LocalJobs(queue or default_queue())


def _found(kept: "Jobs", text: str) -> "Job":
    from flows.jobs.job import find_job

    return find_job(kept.all(), text)


def _wait(kept: "Jobs", ids: Sequence[str], *, as_json: bool) -> None:
    from flows.dub import dub
    from flows.jobs.job import State
    from flows.runtime.progress import Bars, watched

    console = new_console()
    with (
        when_stopped("the job under way is queued again; `dubflow jobs wait` goes on"),
        watched(Bars(console)) as bars,
    ):
        kept.wait(ids, lambda settings, progress: dub(settings, progress=progress), bars)
    ended = [job for job in kept.all() if job.id in ids]
    if as_json:
        sys.stdout.write(json.dumps([job.model_dump(mode="json") for job in ended]) + "\n")
    _show(ended, console)
    show_notes_of({job.id: job.notes for job in ended}, "job", console)
    states = {job.state for job in ended}
    if State.FAILED in states:
        sys.exit(_FAILED)
    if State.CANCELLED in states:
        sys.exit(_CANCELLED)


def _show(found: "Sequence[Job]", console: Console) -> None:
    from flows.quantities import told_age
    from stores.overview import seconds_since

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("job", "state", "video", "output", "age"):
        table.add_column(name, overflow="fold", justify="right" if name == "age" else "left")
    colours = {"done": "green", "failed": "red", "running": "cyan"}
    colours |= dict.fromkeys(("filtered", "cancelled"), "yellow")
    for job in found:
        table.add_row(
            job.id,
            f"[{colours.get(job.state.value, 'default')}]{job.state.value}",
            escape(Path(str(job.settings["video"])).name),
            escape(job.output.name),
            told_age(seconds_since(job.submitted)) if job.submitted else "",
        )
    console.print(table if found else "no jobs")
    for job in found:
        if job.error:
            console.print(f"{job.id}: {job.state.value}: {escape(job.error)}")
