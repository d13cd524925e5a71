"""`dubflow artifacts`: list, show, verify and collect what the store holds."""

import json
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console
from rich.filesize import decimal
from rich.progress import track
from rich.table import Table
from rich.tree import Tree

from flows.cli.options import ARGUMENTS, OPTIONS, JsonOption, StoreOption
from stores.artifacts.artifact import Artifact
from stores.artifacts.settings import default_store
from stores.artifacts.store import Store
from stores.errors import DamagedArtifact, StoreError

artifacts = App(name="artifacts", group_arguments=ARGUMENTS, group_parameters=OPTIONS)


def open_store(store: str | None) -> Store:
    """The store that the user named, or the default one."""
    return Store(store or default_store())


@artifacts.command(name="list")
def list_artifacts(
    *,
    kind: Annotated[str | None, Parameter(help="Only this kind, for example faces.")] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List all artifacts, oldest first, and refresh catalog.parquet in a store that you can write.

    A store that can only be read is listed as well.
    """
    from stores.artifacts.catalog import keep_catalog, read_catalog

    opened = open_store(store)
    catalog = read_catalog(opened)
    with suppress(StoreError):  # a shared store may be for reading only, or full
        keep_catalog(opened, catalog)
    rows = [row for row in catalog.to_pylist() if kind in (None, row["kind"])]
    if as_json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    table = Table(box=None, header_style="bold")
    for name in ("kind", "key", "made (UTC)", "computing", "size"):
        table.add_column(name, justify="right" if name in ("computing", "size") else "left")
    for row in rows:
        if row["damaged"]:
            table.add_row(row["kind"], row["key"][:12], "[red]damaged", "", "")
            continue
        made, seconds = row["created"][:19].replace("T", " "), f"{row['wall_seconds']:.1f} s"
        table.add_row(row["kind"], row["key"][:12], made, seconds, decimal(row["stored_bytes"]))
    console = Console(highlight=False)
    console.print(table)
    total = sum(row["stored_bytes"] or 0 for row in rows)
    console.print(f"[dim]{len(rows)} artifacts, {decimal(total)}")


@artifacts.command
def show(
    key: Annotated[str, Parameter(help="First digits of the key, or KIND/DIGITS.")],
    /,
    *,
    preview: Annotated[
        Path | None,
        Parameter(help="Draw it into this .png, or .mp4 where it has a time axis."),
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show an artifact's arrays with shapes and units, its facts, and what it was made of."""
    opened = open_store(store)
    artifact = opened.match(key)
    if as_json:
        sys.stdout.write(artifact.manifest.to_json() + "\n")
    else:
        Console(highlight=False).print(_tree(artifact))
    if preview is not None:
        from viewer.preview import draw

        draw(opened, artifact, preview)
        sys.stderr.write(f"drawn into {preview}\n")


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
    console.print(f"{checked} artifacts checked, {len(damaged)} damaged{done}")
    if damaged and not remove:
        sys.exit(1)


@artifacts.command
def gc(
    *,
    older_than_days: Annotated[
        float | None, Parameter(help="First forget runs recorded longer ago than this.")
    ] = None,
    yes: Annotated[bool, Parameter(help="Remove; without it, only say what would go.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove what no recorded run refers to, and what stopped runs left half done."""
    from stores.runs import collect

    older_than = None if older_than_days is None else timedelta(days=older_than_days)
    found = collect(open_store(store), older_than=older_than, dry_run=not yes)
    if as_json:
        sys.stdout.write(json.dumps({"removed": yes, **found.__dict__}) + "\n")
        return
    console = Console(highlight=False)
    for kind, key in found.artifacts:
        console.print(f"{kind} {key[:12]}")
    verb = "removed" if yes else "would be removed (add --yes)"
    console.print(
        f"{len(found.artifacts)} artifacts, {len(found.runs)} run records, "
        f"{len(found.leftovers)} leftovers, {decimal(found.freed_bytes)}: {verb}"
    )


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
        f"{manifest.wall_seconds:.2f} s, {size} in {files} files"
    )
    return tree
