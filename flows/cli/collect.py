"""`dubflow artifacts gc`: make room in a store."""

import json
import sys
from collections import Counter
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape

from flows.cli.artifacts import open_store, told_run
from flows.cli.console import new_console
from flows.cli.options import JsonOption, StoreOption
from flows.quantities import counted, read_days, read_size

if TYPE_CHECKING:
    from stores.collector import Collected


def gc(
    *,
    keep_size: Annotated[
        str | None,
        Parameter(metavar="50GB", help="First forget the oldest runs, until the rest fits."),
    ] = None,
    source: Annotated[
        str | None,
        Parameter(
            metavar="FILE",
            help="First forget the runs that used these bytes; of a file that is gone, its name or "
            "digits.",
        ),
    ] = None,
    older_than_days: Annotated[
        float | None, Parameter(help="First forget runs recorded longer ago than this.")
    ] = None,
    yes: Annotated[bool, Parameter(help="Remove; without it, only say what would go.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove what no recorded run refers to, and what stopped runs left half done.

    Examples

        dubflow artifacts gc
        dubflow artifacts gc --keep-size 50GB --yes
        dubflow artifacts gc --source talk.mp4

    What goes and what stays is said before anything is removed. Your own files and the dubs that
    were written are not touched, and a run that needs what was removed computes it again.
    """
    from stores.collector import Forget, collect

    forget = Forget(
        older_than=None
        if older_than_days is None
        else read_days(older_than_days, name="--older-than-days"),
        source=source,
        keep_bytes=None if keep_size is None else read_size(keep_size, name="--keep-size"),
    )
    console = new_console(stderr=as_json)
    found = collect(
        open_store(store),
        forget=forget,
        dry_run=not yes,
        first=lambda found: _tell(found, console, yes=yes),
    )
    if as_json:
        facts = {**found.__dict__, "runs": [run.id for run in found.runs]}
        sys.stdout.write(json.dumps({"removed": yes, **facts}) + "\n")
    elif yes:
        console.print("removed")


def _tell(found: "Collected", console: Console, *, yes: bool) -> None:
    """Which runs are forgotten, and what goes and what stays, by stage."""
    for run in found.runs:
        console.print(escape(f"forgets {told_run(run)}"))
    for kind, count in sorted(Counter(kind for kind, _ in found.artifacts).items()):
        console.print(f"  [dim]{count} {kind}")
    left = counted(len(found.leftovers), "leftover")
    console.print(
        f"frees {decimal(found.freed_bytes)}: {counted(len(found.artifacts), 'artifact')}, "
        f"{counted(len(found.runs), 'record')} of runs"
        + (f", {left} of stopped runs" if found.leftovers else "")
    )
    console.print(
        f"keeps {decimal(found.kept_bytes)}: {counted(found.kept_artifacts, 'artifact')} of "
        f"{counted(found.kept_runs, 'run')}"
    )
    if not yes:
        console.print("nothing was removed; add --yes")
