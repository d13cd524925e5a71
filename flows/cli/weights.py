"""`dubflow weights`: list, show, pull, add and verify the published checkpoints."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich import progress
from rich.cells import cell_len
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from flows.cli.artifacts import open_store
from flows.cli.console import new_console
from flows.cli.errors import when_stopped
from flows.cli.options import ARGUMENTS, OPTIONS, JsonOption, StoreOption
from stores.artifacts.store import Store
from stores.errors import DamagedArtifact
from stores.weights.registry import (
    WEIGHTS,
    WeightsEntry,
    find_converted,
    find_entry,
    find_record,
    read_registry,
    records,
)

_LICENCE_WIDTH = 22
"""In which what is told of a licence can be read, over several lines [columns]."""

weights = App(name="weights", group_arguments=ARGUMENTS, group_parameters=OPTIONS)


def _known(context: object) -> list[str]:
    return list(read_registry())


Name = Annotated[str, Parameter(help="As in `dubflow weights list`.", completer=_known)]
Names = Annotated[list[str], Parameter(help="As in `dubflow weights list`.", completer=_known)]
ReplaceOption = Annotated[
    bool, Parameter(help="Take another file than the one that was used so far.")
]


@contextmanager
def _opened(store: str | None) -> Iterator[Store]:
    """The store; what a stopped command has done is kept."""
    with when_stopped("the same command goes on from there"):
        yield open_store(store)


@weights.command(name="list")
def list_weights(
    *,
    network: Annotated[
        str | None, Parameter(help="Only for networks whose name holds this.")
    ] = None,
    there: Annotated[bool, Parameter(help="Only what the store has.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List all published checkpoints: which are there, how to get the others, their licences."""
    with _opened(store) as opened:
        rows = [_facts(opened, name, entry) for name, entry in read_registry().items()]
    rows = [row for row in rows if (network or "") in row["network"]]
    rows = [row for row in rows if row["state"] != "missing"] if there else rows
    if as_json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    console = new_console(stderr=False)
    console.print(_table(rows, console.width))
    count = sum(row["state"] == "there" for row in rows)
    console.print(f"[dim]{count} of {len(rows)} there; `dubflow weights show NAME` says more")


@weights.command
def show(name: Name, /, *, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Show all that is known of a checkpoint, and how to get it."""
    from tasks.weights.networks import how_to_get

    with _opened(store) as opened:
        entry = find_entry(read_registry(), name)
        facts = _facts(opened, name, entry)
        record = find_record(opened, name)
    if as_json:
        sys.stdout.write(json.dumps(facts | {"record": record.__dict__ if record else None}) + "\n")
        return
    told: list[tuple[str, str]] = []
    for field in ("name", "network", "file", "page", "address", "size", "sha256", "licence"):
        value = facts[field]
        if value is not None:
            told.append((field, escape(f"{value:,} bytes" if field == "size" else str(value))))
    allowed = {True: "allowed", False: "not allowed", None: "not stated, or under mixed terms"}
    told.append(("commercial use", allowed[entry.commercial]))
    told.append(("format", " or ".join(entry.formats)))
    nesting = entry.nesting.model_dump(exclude_defaults=True)
    told.append(("nesting", escape(json.dumps(nesting) if nesting else "flat")))
    for completion in entry.completed_by:
        told.append(("completed by", f"{completion.entry} ({completion.prefix}*)"))
    if entry.note:
        told.append(("note", escape(entry.note)))
    told.append(("state", _coloured(facts["state"])))
    if record:
        told.append(("first used with", f"SHA-256 {record.sha256}, {record.size:,} bytes"))
        told.append(("added", record.added))
    if facts["state"] != "there":
        told.append(("to get it", escape(how_to_get(read_registry(), name))))
    console = new_console(stderr=False)
    for field, value in told:
        console.print(f"[bold]{field:<16}[/]{value}")


@weights.command
def pull(
    names: Names,
    /,
    *,
    replace: ReplaceOption = False,
    store: StoreOption = None,
) -> None:
    """Fetch checkpoints from where they are published, verify and convert them.

    Examples

        dubflow weights pull gfpgan_v1.4
        HTTPS_PROXY=http://proxy:3128 dubflow weights pull s3fd syncnet_v2

    A transfer that breaks off is resumed, also by the same command later. Proxies are taken from
    HTTPS_PROXY, HTTP_PROXY and NO_PROXY. Weights that are there already are not fetched again.
    """
    from tasks.weights.intake import pull_weights

    console = new_console()
    with _opened(store) as opened, _bars(console) as bars:
        for name in _with_parts(names):
            if not replace and _state(opened, name) == "there":
                console.print(f"{name} is there")
                continue
            bar = bars.add_task(name, total=None)

            def report(done: int, total: int | None, bar: Any = bar) -> None:
                bars.update(bar, completed=done, total=total)

            pull_weights(opened, name, replace=replace, report=report)
            bars.remove_task(bar)
            console.print(f"[green]{name} is there")


@weights.command
def add(
    name: Name,
    file: Annotated[Path, Parameter(help="The published file, as it was downloaded.")],
    /,
    *,
    replace: ReplaceOption = False,
    store: StoreOption = None,
) -> None:
    """Take a checkpoint file into the store: check it, convert it, remember its hash.

    Example

        dubflow weights add wav2lip_gan ~/wav2lip_gan.pth

    The file must have the published size and SHA-256 where these are known, and exactly the keys
    and shapes of the network. It is not needed afterwards.
    """
    from tasks.weights.intake import add_weights

    with _opened(store) as opened:
        added = add_weights(opened, name, file, replace=replace)
    console = new_console()
    console.print(
        f"[green]{name} is there[/] ({decimal(added.manifest.stored_bytes)}, SHA-256 "
        f"{added.manifest.inputs['file'][1][:16]}…)"
    )
    entry = read_registry()[name]
    if entry.commercial is not True:
        words = "no commercial use" if entry.commercial is False else "terms of use are unclear"
        console.print(f"  {words}: {escape(entry.licence)}")


@weights.command
def verify(*, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Read every byte of all weights in the store and compare it with what was converted."""
    console = new_console()
    found: dict[str, list[str]] = {}
    with _opened(store) as opened:
        for record in records(opened):
            try:
                kept = opened.find(WEIGHTS.kind, record.key)
                found[record.entry] = kept.damage() if kept else ["is no longer in the store"]
            except DamagedArtifact as error:
                found[record.entry] = [str(error)]
    damaged = {name: lines for name, lines in found.items() if lines}
    if as_json:
        sys.stdout.write(json.dumps({"checked": len(found), "damaged": damaged}) + "\n")
    for name, lines in damaged.items():
        for line in lines:
            console.print(f"[red]{name}: {escape(line)}")
    console.print(
        f"{len(found)} weights checked, {len(damaged)} damaged"
        + ("; add or pull these again" if damaged else "")
    )
    if damaged:
        sys.exit(1)


def _table(rows: list[dict[str, Any]], width: int) -> Table:
    """As wide as the terminal: networks and sizes are left out first; nothing is cut."""
    columns = {
        "name": [row["name"] for row in rows],
        "state": [_coloured(row["state"]) for row in rows],
        "commercial": [_said(row["commercial"]) for row in rows],
        "size": [decimal(row["size"]) if row["size"] else "" for row in rows],
        "get by": ["pull" if row["address"] else "browser" for row in rows],
        "network": [row["network"] for row in rows],
        "licence": [escape(row["licence"]) for row in rows],
    }
    fixed = [name for name in columns if name != "licence"]
    widths = {n: max(cell_len(Text.from_markup(c).plain) for c in (n, *columns[n])) for n in fixed}
    for name in ("network", "size"):
        if sum(widths[each] + 2 for each in fixed) + _LICENCE_WIDTH > width:
            fixed.remove(name)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in fixed:
        table.add_column(name, justify="right" if name == "size" else "left", no_wrap=True)
    table.add_column("licence", overflow="fold")
    for cells in zip(*(columns[name] for name in (*fixed, "licence")), strict=True):
        table.add_row(*cells)
    return table


def _facts(store: Store, name: str, entry: WeightsEntry) -> dict[str, Any]:
    record = find_record(store, name)
    return {
        "name": name,
        "network": entry.network,
        "state": _state(store, name),
        "file": entry.file,
        "page": entry.page,
        "address": entry.address,
        "size": entry.size or (record.size if record else None),
        "sha256": entry.sha256 or (f"{entry.sha256_prefix}…" if entry.sha256_prefix else None),
        "licence": entry.licence,
        "commercial": entry.commercial,
        "note": entry.note,
    }


def _state(store: Store, name: str) -> str:
    try:
        return "missing" if find_converted(store, name) is None else "there"
    except DamagedArtifact:
        return "damaged"


def _said(commercial: bool | None) -> str:
    return {True: "[green]yes", False: "[red]no", None: "[yellow]unclear"}[commercial]


def _coloured(state: str) -> str:
    return {"there": "[green]there", "missing": "[dim]missing", "damaged": "[red]damaged"}[state]


def _with_parts(names: list[str]) -> list[str]:
    """The names, and before each of them those that complete it."""
    registry = read_registry()
    wanted: dict[str, None] = {}
    for name in names:
        for completion in find_entry(registry, name).completed_by:
            wanted[completion.entry] = None
        wanted[name] = None
    return list(wanted)


@contextmanager
def _bars(console: Console) -> Iterator[progress.Progress]:
    with progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
        console=console,
        transient=True,
    ) as bars:
        yield bars
