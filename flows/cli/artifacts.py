"""`dubflow artifacts`: list, trace, show and verify what the store holds."""

import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import track
from rich.table import Table
from rich.tree import Tree

from flows.cli.console import new_console
from flows.cli.options import (
    ARGUMENTS,
    OPTIONS,
    JsonOption,
    OverwriteOption,
    StoreOption,
    may_replace,
)
from flows.quantities import counted, read_since, told_age
from stores.artifacts.artifact import Artifact
from stores.artifacts.settings import default_store
from stores.artifacts.store import Store
from stores.errors import DamagedArtifact, InputError, StoreError

if TYPE_CHECKING:
    from stores.overview import Item, Overview
    from stores.runs import RunRecord

artifacts = App(name="artifacts", group_arguments=ARGUMENTS, group_parameters=OPTIONS)
artifacts.command("flows.cli.collect:gc", name="gc")

KeyArgument = Annotated[str, Parameter(help="First digits of the key, or STAGE/DIGITS.")]


def open_store(store: str | None) -> Store:
    """The store that the user named, or the default one."""
    return Store(store or default_store())


@artifacts.command(name="list")
def list_artifacts(
    *,
    stage: Annotated[str | None, Parameter(help="Only what this stage made: faces.")] = None,
    source: Annotated[
        str | None,
        Parameter(
            metavar="FILE",
            help="Only what was made of these bytes; of a file that is gone, its name or digits.",
        ),
    ] = None,
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

    The run is the newest of those that used or made it; `lineage` shows the digits of files.
    Refreshes catalog.parquet in a store that you can write; one that can only be read is listed as
    well.
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
    if stage is not None:
        _check_stage(stage, {kind for kind, _ in overview.rows})
    items = overview.chosen(stage=stage, source=source, run=run, younger_than=younger)
    _say_which(overview, source=source, run=run)
    if as_json:
        sys.stdout.write(json.dumps([_facts(overview, item) for item in items]) + "\n")
        return
    console = new_console(stderr=False)
    console.print(_table(overview, items))
    console.print(f"[dim]{counted(len(items), 'artifact')}, {decimal(overview.size(items))}")


def _check_stage(stage: str, here: set[str]) -> None:
    """Refuse a stage of which there is nothing here, and say whether there is such a one at all."""
    from flows.names import stage_kinds

    if stage in here:
        return
    kinds = stage_kinds()
    some = f"there is {', '.join(sorted(here))}" if here else "the store is empty"
    if (kind := kinds.get(stage)) is None:
        near = get_close_matches(stage, {*kinds, *here}, n=1)
        hint = f"did you mean {near[0]}? Here " if near else ""
        raise InputError(f"there is no stage {stage!r}; {hint}{some}")
    if kind in here:
        raise InputError(f"what the stage {stage} makes is called {kind}: give --stage {kind}")
    raise InputError(f"no artifact of stage {stage} here; {some}")


def _say_which(overview: "Overview", *, source: str | None, run: str | None) -> None:
    """What was taken for a name that does not say it by itself."""
    from stores.named import run_named, sources_named, told_sources

    if source is not None and len(keys := sources_named(overview.places, source)) > 1:
        told = told_sources(overview.places, keys, PurePath(source).name)
        sys.stderr.write(f"note: {source} fits {len(keys)} files: {told}\n")
    if run is not None:
        _say_which_run(run_named(overview.runs, run), run)


def _say_which_run(run: "RunRecord", text: str) -> None:
    by_path = run.output is not None and Path(run.output).resolve() == Path(text).resolve()
    if not by_path and run.id != text:
        sys.stderr.write(f"note: {text} is taken for {told_run(run)}\n")


def told_run(run: "RunRecord") -> str:
    """Its id, what it did, what it wrote, and when."""
    made = f" → {run.output}" if run.output else ""
    return f"run {run.id}: {run.command}{made}, {run.created[:10]}"


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
    console = new_console(stderr=False)
    console.print(tree)
    for user in overview.used_by(item):
        console.print(f"used by {_named(overview, user)}")
    for run in runs:
        console.print(escape(told_run(run)))
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
        new_console(stderr=False).print(_tree(artifact))
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
    from stores.named import run_named
    from stores.runs import recorded_runs
    from viewer.drawings.run_sheet import draw_run

    run = run_named(recorded_runs(store), subject)
    _say_which_run(run, subject)
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
    console = new_console()
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
