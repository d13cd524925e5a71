"""Published weights into the store: from a file of the user's, or fetched from where they lie."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from stores.errors import DamagedArtifact, MissingWeights, WeightsError
from stores.weights.checkpoints import detect_format
from stores.weights.download import Download, Report
from stores.weights.registry import (
    Registry,
    WeightsEntry,
    check_file,
    find_entry,
    find_record,
    keep_weights,
    published_derivation,
    read_registry,
    read_weights,
    write_record,
)
from stores.weights.registry import find_converted as find_converted
from tasks.weights.networks import KeyCheck, how_to_get

if TYPE_CHECKING:
    import torch


def add_weights(store: Store, name: str, path: Path, *, replace: bool = False) -> Artifact:
    """Convert a published file into the store, checked in every respect.

    Args:
        replace: Take another file than the one that the entry was first used with.

    Raises:
        WeightsError: the file is damaged, another one, or refused.
        MissingWeights: another entry must be added first.
        SettingsError: the registry has no such name.
    """
    registry = read_registry()
    entry = find_entry(registry, name)
    detect_format(path)
    record = find_record(store, name)
    with store.in_use():
        sha256, size = check_file(name, entry, path, None if replace else record)
        parts = {c.prefix: _part(store, registry, name, c.entry) for c in entry.completed_by}
        recipe = published_derivation(name, entry, sha256, parts)
        tensors = read_weights(entry, path)
        misfits = _misfits(entry, tensors)
        if misfits:
            raise WeightsError(
                f"{path} does not fit the network {entry.network}: {misfits}; check that it is "
                f"{entry.file} from {entry.address or entry.page}"
            )
        facts = {
            "published_file": entry.file,
            "licence": entry.licence,
            "commercial": entry.commercial,
            "carried": entry.carried,
        }
        weights = keep_weights(store, recipe, tensors, facts)
        if record is None or (record.sha256, record.key) != (sha256, weights.key):
            write_record(store, name, sha256=sha256, size=size, key=weights.key)
    return weights


def pull_weights(
    store: Store,
    name: str,
    *,
    replace: bool = False,
    report: Report = lambda done, total: None,
    pause_seconds: float = 1.0,
) -> Artifact:
    """Fetch a published file, verify it, and convert it into the store; or find it there.

    Args:
        replace: As `add_weights`.
        report: Told of the bytes that are there and of how many there will be.
        pause_seconds: Before the first new attempt on a broken connection.

    Raises:
        WeightsError: it can't be fetched by a program, or is not what it should be.
        MissingWeights: another entry must be added first.
        SettingsError: the registry has no such name.
    """
    registry = read_registry()
    entry = find_entry(registry, name)
    if entry.address is None:
        raise WeightsError(
            f"{name} can't be pulled, its page is made for browsers: {how_to_get(registry, name)}"
        )
    for completion in entry.completed_by:
        _part(store, registry, name, completion.entry)
    folder = f"staging/download-{name}"
    with store.in_use(), store.backend.building(f"download-{name}"):
        if not replace and (kept := _whole(store, name)) is not None:
            return kept  # another process was faster
        path = store.backend.scratch(folder) / Path(entry.file).name
        for attempt in (1, 2):
            download = Download(
                entry.address, path, size=entry.size, report=report, pause_seconds=pause_seconds
            )
            left_over = path.is_file()
            if not left_over:
                download.fetch()
            try:
                weights = add_weights(store, name, path, replace=replace)
                store.backend.delete(folder)
                return weights
            except WeightsError:
                store.backend.delete(folder)
                if attempt == 2 or not (left_over or download.resumed):
                    raise
    raise AssertionError("unreachable")


def _whole(store: Store, name: str) -> Artifact | None:
    try:
        return find_converted(store, name)
    except DamagedArtifact:
        return None


def _part(store: Store, registry: Registry, name: str, other: str) -> Artifact:
    part = _whole(store, other)
    if part is None:
        raise MissingWeights(
            f"{name} is completed by the weights {other}, which come first: "
            f"{how_to_get(registry, other)}"
        )
    return part


def _misfits(entry: WeightsEntry, tensors: "Mapping[str, torch.Tensor]") -> str:
    prefixes = [completion.prefix for completion in entry.completed_by]
    found = KeyCheck(_layout(entry), [*entry.carried, *prefixes])
    for key, tensor in tensors.items():
        found.take(key, tensor)
    return found.misfits()


def _layout(entry: WeightsEntry) -> "dict[str, torch.Tensor]":
    """The state dict of the network; without values, where the network lets itself be built so."""
    import torch

    from models.published import build
    from models.undrawn import undrawn

    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that values are lost, which nobody wants here
            network = build(entry.network, **entry.arguments)
    except NotImplementedError:  # it moves or reads its own tensors while it is built
        with undrawn():
            network = build(entry.network, **entry.arguments)
    state: dict[str, torch.Tensor] = network.state_dict(keep_vars=True)
    return state
