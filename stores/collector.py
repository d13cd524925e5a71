"""The collector: removes artifacts that no recorded run refers to, and what dead runs left."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePath

from stores.artifacts.store import Store
from stores.errors import InputError, StoreError
from stores.named import sources_named, told_sources
from stores.overview import Item, Overview, seconds_since
from stores.runs import RunRecord
from stores.weights.registry import WEIGHTS, records


@dataclass(frozen=True)
class Forget:
    """Which runs to forget before collecting; each of these names some more.

    Attributes:
        older_than: Recorded longer ago than this.
        source: That used the one file that this text names.
        keep_bytes: The oldest ones, until what the others need takes no more than this.
    """

    older_than: timedelta | None = None
    source: str | None = None
    keep_bytes: int | None = None


@dataclass(frozen=True)
class Collected:
    """What the collector removes, and what stays.

    Attributes:
        artifacts: (kind, key) of those that go.
        runs: That are forgotten, oldest first.
        leftovers: Prefixes of what dead runs left unfinished.
        freed_bytes: Of all that goes.
        kept_artifacts: How many stay.
        kept_runs: How many stay.
        kept_bytes: Of the artifacts that stay, manifests left out.
    """

    artifacts: list[Item]
    runs: list[RunRecord]
    leftovers: list[str]
    freed_bytes: int
    kept_artifacts: int
    kept_runs: int
    kept_bytes: int


def _say_nothing(_found: Collected) -> None:
    return


def collect(
    store: Store,
    *,
    forget: Forget | None = None,
    dry_run: bool,
    first: Callable[[Collected], None] = _say_nothing,
) -> Collected:
    """Remove artifacts that no recorded run refers to, and what dead runs left in staging.

    Weights stay as long as their entry of the registry has a record.

    Args:
        forget: Which runs to forget first; None: none.
        dry_run: Only say what would go.
        first: Is told what goes and what stays before anything does.

    Raises:
        InputError: nothing was made of such a source, or the text names several.
        StoreError: a run is working on the store.
    """
    with store.backend.unused() as unused:
        if not unused():
            raise StoreError(f"a run is working on the store {store.url}; collect when it is done")
        found = _found(store, Overview.of(store), forget or Forget())
        first(found)
        if not dry_run:
            names = [f"runs/{run.id}.json" for run in found.runs]
            names += [f"{kind}/{key[:2]}/{key}" for kind, key in found.artifacts]
            for name in (*names, "staging", *found.leftovers):
                if not unused():
                    raise StoreError(
                        f"collecting in {store.url} stood still for so long that others may work "
                        "there again; run the same command again"
                    )
                store.backend.delete(name)
        return found


def _found(store: Store, overview: Overview, forget: Forget) -> Collected:
    weights = [(WEIGHTS.kind, record.key) for record in records(store)]
    kept = _kept(overview, weights, forget)
    live = _live(overview, kept, weights)
    dead = [item for item in overview.rows if item not in live]
    leftovers = store.unfinished()
    freed = sum(_bytes(store, f"{kind}/{key[:2]}/{key}") for kind, key in dead)
    return Collected(
        artifacts=dead,
        runs=[run for run in overview.runs if run not in kept],
        leftovers=leftovers,
        freed_bytes=freed + sum(_bytes(store, prefix) for prefix in leftovers),
        kept_artifacts=len(overview.rows) - len(dead),
        kept_runs=len(kept),
        kept_bytes=overview.size(live),
    )


def _kept(overview: Overview, weights: list[Item], forget: Forget) -> list[RunRecord]:
    """Runs that are not forgotten, oldest first."""
    kept = overview.runs
    if forget.older_than is not None:
        limit = forget.older_than.total_seconds()
        kept = [run for run in kept if seconds_since(run.created) <= limit]
    if forget.source is not None:
        key = _one_source(overview, forget.source)
        of_source = {item for item in overview.rows if key in overview.source_keys(item)}
        kept = [run for run in kept if not overview.items_of[run.id] & of_source]
    if forget.keep_bytes is not None:
        while kept and overview.size(_live(overview, kept, weights)) > forget.keep_bytes:
            kept = kept[1:]
    return kept


def _one_source(overview: Overview, text: str) -> str:
    keys = sources_named(overview.places, text)
    if len(keys) > 1:
        told = told_sources(overview.places, keys, PurePath(text).name)
        raise InputError(f"{text} fits {len(keys)} files: {told}; give one's path or its digits")
    return keys[0]


def _live(overview: Overview, kept: list[RunRecord], weights: list[Item]) -> set[Item]:
    return overview.reached(weights).union(*(overview.items_of[run.id] for run in kept))


def _bytes(store: Store, prefix: str) -> int:
    names = store.backend.names(prefix)
    return sum(store.backend.size(f"{prefix}/{name}") or 0 for name in names)
