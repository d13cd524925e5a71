"""Evaluate systems under protocols: every item made or found, measured, and reported."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from flows.evaluation.item import Call, Scored, options_of, score
from flows.evaluation.last_part import check_held_out
from flows.evaluation.protocols import Item, Protocol, find_items, read_protocol
from flows.evaluation.report import build_report
from flows.evaluation.settings import SOURCE, EvaluateSettings
from flows.evaluation.tables import write_items, write_pooled, write_scores
from flows.methods import find_method, method_settings
from flows.names import family_names, method_names
from flows.runtime.side_by_side import side_by_side
from flows.store_limit import size_notes
from stores.artifacts.catalog import write_catalog
from stores.artifacts.store import Store
from stores.errors import InputError, SettingsError
from stores.places import check_new_folder
from stores.runs import RunRecord, record_run
from tasks.engine.cluster import Cluster
from tasks.engine.open_run import open_run
from tasks.engine.run import NoProgress, Progress
from tasks.metrics import find_family
from tasks.metrics.family import Family
from tasks.weights.networks import find_weights
from viewer.report.data import PooledScore
from viewer.report.render import write_report


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation wrote.

    Attributes:
        html: The report.
        items: Results that were scored.
        failures: Items without a result: (system, item, why).
        unavailable: Metric that can't be computed here → how to get what is missing.
        notes: What is to be known of the store.
        skipped: Items that were not tried, being too short: (system, item, why).
    """

    html: Path
    items: int
    failures: list[tuple[str, str, str]]
    unavailable: dict[str, str]
    notes: list[str]
    skipped: list[tuple[str, str, str]]


def evaluate(
    settings: EvaluateSettings,
    *,
    progress: Progress | None = None,
    cluster: Cluster | None = None,
) -> Evaluated:
    """Score every system on every item; write tables, videos and the report.

    Args:
        progress: Who shows it.
        cluster: Whose workers compute; None is this process, one item after the other.

    Raises:
        InputError: a protocol, the data or a system is not there; found before long work.
    """
    progress = progress or NoProgress()
    protocols = {name: read_protocol(name) for name in settings.protocols}
    items = {name: find_items(rules, settings.data) for name, rules in protocols.items()}
    items = {name: found[: settings.limit] for name, found in items.items()}
    families, unavailable = _families(settings)
    check(settings, protocols, items)
    settings.output.mkdir(parents=True, exist_ok=True)
    calls = [
        Call(settings, name, rules, item, system, tuple(families))
        for name, rules in protocols.items()
        for system in settings.systems
        for item in items[name]
    ]
    store = Store(settings.store)
    with store.in_use():  # from the first result to the record that keeps them all
        scored = sorted(
            _scored(calls, settings, progress, cluster),
            key=lambda s: (s.protocol, s.system, s.item),
        )
        pooled = _pooled(scored, families, store, settings)
        write_scores(settings.output / "scores.parquet", scored, families)
        write_pooled(settings.output / "pooled.parquet", pooled)
        write_items(settings.output / "items.parquet", scored, items)
        report = build_report(settings, protocols, items, scored, pooled, families, unavailable)
        html, _ = write_report(report, settings.output)
        touched = list(dict.fromkeys(pair for one in scored for pair in one.touched))
        given = settings.model_dump(mode="json")
        record_run(store, RunRecord("evaluate", given, touched, str(html)))
        notes: list[str] = []
        if any(one.computed for one in scored):
            notes = size_notes(store, write_catalog(store))
    return Evaluated(
        html=html,
        items=sum(not one.failure for one in scored),
        failures=[
            (one.system, one.item, one.failure) for one in scored if one.failure and not one.skipped
        ],
        skipped=[(one.system, one.item, one.failure) for one in scored if one.skipped],
        unavailable={
            metric.name: how for family, how in unavailable.values() for metric in family.metrics
        },
        notes=notes,
    )


def check(
    settings: EvaluateSettings, protocols: dict[str, Protocol], items: Mapping[str, Sequence[Item]]
) -> None:
    """Refuse at once what could only fail later.

    Raises:
        InputError: a method, its settings or weights, or a folder.
    """
    check_new_folder(settings.output)
    for name in settings.variants:
        if name in (*method_names(), SOURCE):
            raise SettingsError(f"--variant {name}=…: that is the name of a method; take another")
    known = {*settings.dubbed, *settings.dubbed.values()}
    if unknown := sorted(settings.method_settings.keys() - known):
        raise SettingsError(
            f"--set {unknown[0]}.…: no method or variant of that name is measured; "
            f"there is {', '.join(sorted(known)) or 'none'}"
        )
    store = Store(settings.store)
    for system, method in settings.dubbed.items():
        for name, rules in protocols.items():
            several = (options_of(settings, rules, system, item) for item in items[name])
            for given in {json.dumps(each, default=str): each for each in several}.values():
                for needed in find_method(method).weights(method_settings(method, given)):
                    find_weights(needed, store=store)
                    check_held_out(needed, rules.last_share)
    for name, folder in settings.external.items():
        if name in (*settings.methods, *settings.variants):
            raise SettingsError(f"--external {name}=…: a method or variant has that name")
        if not folder.is_dir():
            raise InputError(f"--external {name}={folder}: there is no such folder")
    if not settings.systems:
        raise SettingsError("nothing to evaluate: give --method or --external NAME=FOLDER")


def _families(
    settings: EvaluateSettings,
) -> tuple[dict[str, Family], dict[str, tuple[Family, str]]]:
    """Families that this machine can compute, and those that it can't, with what they lack."""
    there: dict[str, Family] = {}
    lacking: dict[str, tuple[Family, str]] = {}
    with open_run(Store(settings.store)):
        for name in settings.families or family_names():
            family = find_family(name)
            missing = family.missing()
            if missing is None:
                there[name] = family
            else:
                lacking[name] = (family, missing)
    return there, lacking


def _scored(
    calls: Sequence[Call], settings: EvaluateSettings, progress: Progress, cluster: Cluster | None
) -> Iterator[Scored]:
    """Results as they come; ranges of all items keep the cluster's workers busy."""
    count = cluster.slots() + 1 if cluster is not None else 1
    progress.begin("clips", len(calls), 0)
    for _, scored in side_by_side(calls, partial(score, cluster=cluster), count=count):
        yield scored
        progress.advance("clips", 1)
    progress.end("clips", cached=False)


def _pooled(
    scored: Sequence[Scored],
    families: dict[str, Family],
    store: Store,
    settings: EvaluateSettings,
) -> list[tuple[str, PooledScore]]:
    """Figures of whole sets: (protocol, score)."""
    rows: list[tuple[str, PooledScore]] = []
    for name, family in families.items():
        if family.pooled is None:
            continue
        for protocol in settings.protocols:
            for system in settings.systems:
                keys = [
                    one.artifacts[name]
                    for one in scored
                    if (one.protocol, one.system) == (protocol, system) and name in one.artifacts
                ]
                values = family.pooled([store.get(*key) for key in keys]) if keys else {}
                rows += [
                    (protocol, _pooled_score(system, metric.name, values, len(keys)))
                    for metric in family.metrics
                ]
    return rows


def _pooled_score(system: str, metric: str, values: Mapping[str, float], items: int) -> PooledScore:
    reason = "" if metric in values else "too few frames to pool"
    return PooledScore(system, metric, values.get(metric), items, reason)
