"""From scored items to the report: which curves and moments are shown, and their pictures."""

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from flows.evaluation.item import Scored, least_seconds
from flows.evaluation.openings import lip_openings
from flows.evaluation.protocols import Item, Protocol, too_short
from flows.evaluation.settings import SOURCE, EvaluateSettings
from models.faces.tracks import face_boxes
from models.metrics.metric import Metric
from stores.artifacts.settings import inspect_address, inspect_command
from stores.artifacts.store import Store
from stores.artifacts.versions import software_versions
from stores.errors import InputError
from stores.media.read import read_frames
from tasks.metrics.family import Family
from tasks.source.timeline import load_timeline
from viewer.ratings.results import summarise
from viewer.report.choose import curves_to_show, moments_to_show
from viewer.report.data import (
    SKIPPED,
    Curve,
    Failure,
    Moment,
    Opinions,
    Part,
    Pick,
    PooledScore,
    Report,
    Score,
    System,
    Unavailable,
)

Rgb = NDArray[np.uint8]

_WORST_ITEMS = 4
"""Of each metric and system: only their curves are read, however large the set."""

_PICTURE_PX = 256
_FACE_MARGIN = 0.35
"""Around a face, as a share of its box."""


def build_report(
    settings: EvaluateSettings,
    protocols: Mapping[str, Protocol],
    items: Mapping[str, Sequence[Item]],
    scored: Sequence[Scored],
    pooled: Sequence[tuple[str, PooledScore]],
    families: Mapping[str, Family],
    unavailable: Mapping[str, tuple[Family, str]],
) -> Report:
    """Everything that the report shows."""
    store = Store(settings.store)
    every = [*families.values(), *(family for family, _ in unavailable.values())]
    metrics = [metric for family in every for metric in family.metrics]
    parts = []
    for name, rules in protocols.items():
        mine = [one for one in scored if one.protocol == name]
        sets = [score for protocol, score in pooled if protocol == name]
        part = _part(rules, items[name], mine, sets, families, metrics, store)
        left_out = [
            Failure("all", clip, f"{SKIPPED}shorter than {rules.min_seconds:g} s")
            for clip in too_short(rules, settings.data)
        ]
        parts.append(replace(part, failures=[*part.failures, *left_out]))
    notes = dict.fromkeys(note for one in scored for note in one.notes if "weights" in note)
    return Report(
        title=", ".join(rules.title for rules in protocols.values()),
        about=" ".join(rules.about.strip() for rules in protocols.values()),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        systems=_systems(settings),
        metrics=metrics,
        parts=parts,
        unavailable=[
            Unavailable(tuple(metric.name for metric in family.metrics), how)
            for family, how in unavailable.values()
        ],
        facts=_facts(settings, protocols, items),
        versions=software_versions(),
        licences={f"weights {number}": note for number, note in enumerate(notes, 1)},
        opinions=_opinions(settings),
        command=shlex.join(["dubflow", *sys.argv[1:]]) if "dubflow" in sys.argv[0] else "",
        look=inspect_command("VIDEO", settings.store),
        look_address=inspect_address("/home") or "",
    )


def _opinions(settings: EvaluateSettings) -> Opinions | None:
    """Of human raters, where `dubflow rate` was given these results."""
    try:
        return summarise(settings.output / "ratings", [s.name for s in _systems(settings)])
    except InputError:
        return None


def _systems(settings: EvaluateSettings) -> list[System]:
    about = {SOURCE: "the video as it is"}
    ours = [System(name, about.get(name, "a method of Dubflow")) for name in settings.methods]
    ours += [System(name, f"{method}, changed") for name, method in settings.variants.items()]
    return ours + [
        System(name, f"videos from {folder}") for name, folder in settings.external.items()
    ]


def _facts(
    settings: EvaluateSettings,
    protocols: Mapping[str, Protocol],
    items: Mapping[str, Sequence[Item]],
) -> dict[str, str]:
    facts = {"data": str(settings.data), "precision": settings.precision}
    for name, rules in protocols.items():
        facts[f"{name}: source"] = rules.source.strip()
        facts[f"{name}: seed"] = str(rules.seed)
        least = [f"{rules.min_seconds:g} s"] if rules.min_seconds else []
        for system in settings.systems:
            if items[name] and (s := least_seconds(settings, rules, system, items[name][0])) > 0:
                least.append(f"{system}: {s:g} s")
        if least:
            facts[f"{name}: least length of a clip"] = ", ".join(least)
        for system, method in settings.dubbed.items():
            given = settings.method_settings.get(system, {})
            given = rules.methods.get(method, {}) | given if system == method else given
            if given:
                facts[f"{name}: {system}"] = ", ".join(f"{k}={v}" for k, v in given.items())
    return facts


def _part(
    rules: Protocol,
    items: Sequence[Item],
    scored: Sequence[Scored],
    pooled: Sequence[PooledScore],
    families: Mapping[str, Family],
    metrics: Sequence[Metric],
    store: Store,
) -> Part:
    curves = list(_curves(scored, families, metrics, store))
    made = [curve for curve in curves if curve.system != SOURCE]
    by_name = {(one.system, one.item): one for one in scored}
    sources = {item.name: item.video for item in items}
    return Part(
        title=rules.title,
        about=rules.about.strip(),
        scores=[
            Score(one.system, one.item, metric, value, one.reasons.get(metric, ""))
            for one in scored
            for metric, value in one.values.items()
        ],
        pooled=pooled,
        failures=[Failure(one.system, one.item, one.failure) for one in scored if one.failure],
        curves=curves_to_show(curves, metrics),
        openings=list(lip_openings(scored, metrics, store)),
        moments=[
            _moment(pick, by_name[pick.system, pick.item], sources[pick.item], store)
            for pick in moments_to_show(made, metrics)
        ],
    )


def _curves(
    scored: Sequence[Scored],
    families: Mapping[str, Family],
    metrics: Sequence[Metric],
    store: Store,
) -> Iterator[Curve]:
    """Of every system for those items that some system does worst on."""
    shown = _worst_items(scored, metrics)
    for one in scored:
        if one.item not in shown or one.failure:
            continue
        seconds = load_timeline(store.get(*one.parts["result"])).seconds
        for name, key in one.artifacts.items():
            artifact = store.get(*key)
            arrays = set(artifact.array_names)
            for metric in families[name].metrics:
                if metric.name in arrays and len(values := artifact.read(metric.name)) == len(
                    seconds
                ):
                    yield Curve(one.system, one.item, metric.name, seconds, values)


def _worst_items(scored: Sequence[Scored], metrics: Sequence[Metric]) -> set[str]:
    found: set[str] = set()
    for system in {one.system for one in scored}:
        for metric in metrics:
            values = [
                (abs(value) if metric.better == "zero" else value, one.item)
                for one in scored
                if one.system == system and (value := one.values.get(metric.name)) is not None
            ]
            values.sort(reverse=metric.better != "higher")
            found |= {item for _, item in values[:_WORST_ITEMS] if metric.better != "none"}
    return found


def _moment(pick: Pick, scored: Scored, source: Path, store: Store) -> Moment:
    """The face in the result's frame, and the same place in the reference."""
    made, there = (load_timeline(store.get(*scored.parts[p])) for p in ("result", "reference"))
    (frame,) = read_frames(Path(scored.result), made, pick.frame, pick.frame + 1)
    face = store.get(*scored.parts["face"])
    x0, y0, x1, y1 = 0, 0, frame.width, frame.height
    if face.read("valid", pick.frame, pick.frame + 1)[0]:
        box = face_boxes(face.read("landmarks", pick.frame, pick.frame + 1)[0])
        margin = _FACE_MARGIN * float(max(box[2] - box[0], box[3] - box[1]))
        x0, y0 = (max(0, int(low - margin)) for low in box[:2])
        x1, y1 = min(frame.width, int(box[2] + margin)), min(frame.height, int(box[3] + margin))
    row = int(store.get(*scored.parts["match"]).read("reference", pick.frame, pick.frame + 1)[0])
    reference = None
    if row >= 0:
        (other,) = read_frames(source, there, row, row + 1)
        zoom = other.width / frame.width
        inside = [round(zoom * side) for side in (x0, y0, x1, y1)]
        right, low = min(inside[2], other.width), min(inside[3], other.height)
        reference = _small(other.crop_rgb(inside[0], inside[1], right, low))
    picture = _small(frame.crop_rgb(x0, y0, x1, y1))
    return Moment(**pick.__dict__, result=picture, reference=reference)


def _small(picture: Rgb) -> Rgb:
    zoom = _PICTURE_PX / picture.shape[0]
    how = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, None, fx=zoom, fy=zoom, interpolation=how), np.uint8)
