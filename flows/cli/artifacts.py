"""`dubflow artifacts`: list, trace, show, verify and collect what the store holds."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import track
from rich.table import Table
from rich.tree import Tree

from flows.cli.options import (
    ARGUMENTS,
    OPTIONS,
    JsonOption,
    OverwriteOption,
    StoreOption,
    may_replace,
)
from flows.quantities import counted, read_since, read_size, told_age
from stores.artifacts.artifact import Artifact
from stores.artifacts.settings import default_store
from stores.artifacts.store import Store
from stores.errors import DamagedArtifact, InputError, StoreError

if TYPE_CHECKING:
    from stores.collector import Collected
    from stores.overview import Item, Overview

artifacts = App(name="artifacts", group_arguments=ARGUMENTS, group_parameters=OPTIONS)


KeyArgument = Annotated[str, Parameter(help="First digits of the key, or STAGE/DIGITS.")]
SourceOption = Annotated[
    str | None, Parameter(metavar="FILE", help="Only what was made of this file.")
]


def open_store(store: str | None) -> Store:
    """The store that the user named, or the default one."""
    return Store(store or default_store())


@artifacts.command(name="list")
def list_artifacts(
    *,
    stage: Annotated[str | None, Parameter(help="Only what this stage made: faces.")] = None,
    source: SourceOption = None,
    run: Annotated[
        str | None, Parameter(help="Only what this run used or made: its id, or its output.")
    ] = None,
    since: Annotated[
        str | None, Parameter(metavar="2d|12h|DAY", help="Only what was made since then.")
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List artifacts, oldest first: of which file, in which run, by which stage, size and age.

    Examples

        dubflow artifacts list --source talk.mp4
        dubflow artifacts list --run talk.de.mp4 --stage motion
        dubflow artifacts list --since 2d

    The run is the newest of those that used or made it. Refreshes catalog.parquet in a store that
    you can write; one that can only be read is listed as well.
    """
    from stores.artifacts.catalog import keep_catalog, read_catalog
    from stores.overview import Overview
    from stores.runs import recorded_runs

    opened = open_store(store)
    catalog = read_catalog(opened)
    with suppress(StoreError):  # a shared store may be for reading only, or full
        keep_catalog(opened, catalog)
    overview = Overview(catalog.to_pylist(), recorded_runs(opened))
    younger = None if since is None else read_since(since, name="--since")
    items = overview.chosen(stage=stage, source=source, run=run, younger_than=younger)
    if as_json:
        sys.stdout.write(json.dumps([_facts(overview, item) for item in items]) + "\n")
        return
    console = Console(highlight=False)
    console.print(_table(overview, items))
    console.print(f"[dim]{counted(len(items), 'artifact')}, {decimal(overview.size(items))}")


def _facts(overview: "Overview", item: "Item") -> dict[str, Any]:
    runs = [run.id for run in overview.runs_of.get(item, ())]
    return {**overview.rows[item], "sources": sorted(overview.sources(item)), "runs": runs}


def _table(overview: "Overview", items: "Sequence[Item]") -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("stage", "key", "source", "run", "size", "age"):
        right = name in ("size", "age")
        table.add_column(
            name,
            justify="right" if right else "left",
            overflow="fold",
            no_wrap=name != "source",
        )
    for kind, key in items:
        row, runs = overview.rows[kind, key], overview.runs_of.get((kind, key), [])
        size = "[red]damaged" if row["damaged"] else decimal(row["stored_bytes"])
        table.add_row(
            kind,
            key[:12],
            escape(", ".join(sorted(overview.sources((kind, key))))),
            runs[-1].id if runs else "[dim]none",
            size,
            "" if row["damaged"] else told_age(overview.age((kind, key))),
        )
    return table


@artifacts.command
def lineage(key: KeyArgument, /, *, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Show what an artifact was made of, down to your files, what uses it, and its runs."""
    from stores.overview import Overview

    opened = open_store(store)
    found = _artifact(opened, key)
    overview, item = Overview.of(opened), (found.kind, found.key)
    runs = overview.runs_of.get(item, [])
    if as_json:
        made_of = sorted("/".join(each) for each in overview.reached([item]) - {item})
        used_by = ["/".join(each) for each in overview.used_by(item)]
        facts = _facts(overview, item) | {"made_of": made_of, "used_by": used_by}
        sys.stdout.write(json.dumps(facts) + "\n")
        return
    tree = Tree(_named(overview, item))
    _grow(tree, overview, item, set())
    console = Console(highlight=False)
    console.print(tree)
    for user in overview.used_by(item):
        console.print(f"used by {_named(overview, user)}")
    for run in runs:
        made = f" → {escape(run.output)}" if run.output else ""
        console.print(f"run {run.id}: {run.command}{made}, {run.created[:10]}", soft_wrap=True)
    if not runs:
        console.print("no recorded run refers to it: `dubflow artifacts gc` would remove it")


def _named(overview: "Overview", item: "Item") -> str:
    kind, key = item
    row = overview.rows.get(item)
    facts = f" [dim]{decimal(row['stored_bytes'] or 0)}" if row else " [red]not in the store"
    return f"[bold]{kind}[/] {key[:12]}{facts}"


def _grow(tree: Tree, overview: "Overview", item: "Item", shown: "set[Item]") -> None:
    """Branches for what it was made of; what was shown before is not shown down to its roots."""
    for below in overview.made_of(item):
        if below[0] == "source":
            names = " or ".join(sorted(overview.sources(below)))
            tree.add(f"[green]{escape(names) or 'a file'}[/] {below[1][:12]}")
            continue
        if below in shown and overview.made_of(below):
            tree.add(f"{_named(overview, below)}, as above")
            continue
        shown.add(below)
        _grow(tree.add(_named(overview, below)), overview, below, shown)


@artifacts.command
def show(
    subject: Annotated[
        str,
        Parameter(
            metavar="KEY|RUN",
            help="First digits of a key, or STAGE/DIGITS; with --sheet a run: its id or output.",
        ),
    ],
    /,
    *,
    preview: Annotated[
        Path | None,
        Parameter(help="Draw the artifact into this .png, or .mp4 where it has a time axis."),
    ] = None,
    sheet: Annotated[
        Path | None, Parameter(help="Draw the whole run on one page: a .png or .pdf.")
    ] = None,
    overwrite: OverwriteOption = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show an artifact's arrays with shapes and units, its facts, and what it was made of.

    Examples

        dubflow artifacts show motion/4e3c --preview motion.png
        dubflow artifacts show talk.de.mp4 --sheet talk.png
    """
    opened = open_store(store)
    for target in filter(None, (preview, sheet)):
        may_replace(target, overwrite)
    if sheet is not None:
        _draw_run(opened, subject, sheet)
        return
    artifact = _artifact(opened, subject)
    if as_json:
        sys.stdout.write(artifact.manifest.to_json() + "\n")
    else:
        Console(highlight=False).print(_tree(artifact))
    if preview is not None:
        from viewer.drawings.draw import draw

        _drawn(draw(opened, artifact, preview), preview)


def _artifact(store: Store, subject: str) -> Artifact:
    """As `Store.match`; of a run, says what shows it."""
    from stores.runs import recorded_runs
    from viewer.web.subject import FILES

    if subject.endswith(FILES) or any(run.id == subject for run in recorded_runs(store)):
        raise InputError(
            f"{subject} is no artifact: `dubflow artifacts show {subject} --sheet FILE` draws a "
            f"run on one page, `dubflow artifacts list --run {subject}` lists what it used and made"
        )
    return store.match(subject)


def _draw_run(store: Store, subject: str, target: Path) -> None:
    from stores.overview import Overview
    from stores.runs import recorded_runs
    from viewer.drawings.run_sheet import draw_run

    run = Overview([], recorded_runs(store)).run_named(subject)
    _drawn(draw_run(store, run, target), target)


def _drawn(notes: "Sequence[str]", target: Path) -> None:
    sys.stderr.write("".join(f"note: {note}\n" for note in notes) + f"drawn into {target}\n")


@artifacts.command
def verify(
    *,
    remove: Annotated[bool, Parameter(help="Take damaged artifacts out of the store.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read every byte of every artifact and compare it with what was committed."""
    opened = open_store(store)
    console = Console(stderr=True, highlight=False)
    damaged: list[dict[str, object]] = []
    checked = 0
    for kind, found in track(list(opened.committed()), "verifying", console=console):
        checked += 1
        lines = _damage(opened, kind, found)
        if lines:
            damaged.append({"kind": kind, "key": found, "damage": lines})
            if remove:
                opened.remove(kind, found)
    if as_json:
        sys.stdout.write(json.dumps({"checked": checked, "damaged": damaged}) + "\n")
    for item in damaged:
        for line in item["damage"]:  # type: ignore[attr-defined]
            console.print(f"[red]{item['kind']} {item['key']}: {line}")
    done = " and removed" if remove and damaged else ""
    console.print(f"{counted(checked, 'artifact')} checked, {len(damaged)} damaged{done}")
    if damaged and not remove:
        sys.exit(1)


@artifacts.command
def gc(
    *,
    keep_size: Annotated[
        str | None,
        Parameter(metavar="50GB", help="First forget the oldest runs, until the rest fits."),
    ] = None,
    source: Annotated[
        str | None, Parameter(metavar="FILE", help="First forget the runs that used this file.")
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
        older_than=None if older_than_days is None else timedelta(days=older_than_days),
        source=source,
        keep_bytes=None if keep_size is None else read_size(keep_size, name="--keep-size"),
    )
    console = Console(highlight=False, stderr=as_json)
    found = collect(
        open_store(store),
        forget=forget,
        dry_run=not yes,
        first=lambda found: _tell(found, console, yes=yes),
    )
    if as_json:
        sys.stdout.write(json.dumps({"removed": yes, **found.__dict__}) + "\n")
    elif yes:
        console.print("removed")


def _tell(found: "Collected", console: Console, *, yes: bool) -> None:
    """What goes and what stays, by stage."""
    for kind, count in sorted(Counter(kind for kind, _ in found.artifacts).items()):
        console.print(f"  [dim]{count} {kind}")
    leftovers = f", {len(found.leftovers)} leftovers of stopped runs" if found.leftovers else ""
    console.print(
        f"frees {decimal(found.freed_bytes)}: {counted(len(found.artifacts), 'artifact')}, "
        f"{len(found.runs)} records of runs{leftovers}",
        soft_wrap=True,
    )
    console.print(
        f"keeps {decimal(found.kept_bytes)}: {counted(found.kept_artifacts, 'artifact')} of "
        f"{counted(found.kept_runs, 'run')}"
    )
    if not yes:
        console.print("nothing was removed; add --yes")


def _damage(store: Store, kind: str, key: str) -> list[str]:
    try:
        return store.get(kind, key).damage()
    except DamagedArtifact as error:
        return [str(error)]


def _tree(artifact: Artifact) -> Tree:
    manifest = artifact.manifest
    tree = Tree(f"[bold]{manifest.kind}[/] {manifest.key}")
    arrays = tree.add("arrays")
    for name in artifact.array_names:
        member = artifact.group[name]
        facts = dict(member.attrs)
        units = f" [cyan]\\[{facts['units']}][/]" if facts.get("units") else ""
        shape = "one stretch of bytes per range"
        if (layout := artifact.layout(name)) is not None:
            sizes = zip(layout.dims, layout.shape, strict=True)
            shape = f"{layout.dtype} ({', '.join(f'{dim} {size}' for dim, size in sizes)})"
        arrays.add(f"[green]{name}[/] {shape}{units} [dim]{facts.get('doc', '')}")
    for title, values in (
        ("facts", manifest.attributes),
        ("parameters", manifest.parameters),
        ("inputs", {n: f"{kind} {key}" for n, (kind, key) in manifest.inputs.items()}),
        ("versions", manifest.versions),
    ):
        branch = tree.add(title) if values else None
        for name, value in values.items():
            text = value if isinstance(value, str) else json.dumps(value)
            assert branch is not None
            branch.add(f"{name}: {text if len(text) < 200 else text[:200] + ' …'}")
    files, size = len(manifest.files), decimal(manifest.stored_bytes)
    tree.add(
        f"stage version {manifest.stage_version}, made {manifest.created} in "
        f"{manifest.wall_seconds:.2f} s, {size} in {counted(files, 'file')}"
    )
    return tree
