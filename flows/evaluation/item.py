"""One item of an evaluation: its result is made or found, and scored."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.dub import dub
from flows.evaluation.last_part import last_part
from flows.evaluation.protocols import Item, Protocol
from flows.evaluation.settings import SOURCE, EvaluateSettings
from flows.faults import reason_of
from flows.methods import find_method, method_settings
from flows.presets import merge
from flows.seen import see
from flows.settings import DubSettings
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.errors import InputError, SettingsError
from stores.media.source import probe
from tasks.engine.cluster import Cluster
from tasks.engine.open_run import open_run
from tasks.engine.run import Run
from tasks.metrics import find_family
from tasks.metrics.family import Comparison
from tasks.metrics.match import match
from tasks.speech.waveform import waveform
from viewer.report.data import SKIPPED

_VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi")


@dataclass(frozen=True)
class Call:
    """What a worker gets.

    Attributes:
        settings: Of the evaluation.
        protocol: Its name.
        rules: The protocol.
        item: Which video, which speech.
        system: A method, `source`, or the name of a variant or of an external folder.
        families: Names of the families that this machine can compute.
    """

    settings: EvaluateSettings
    protocol: str
    rules: Protocol
    item: Item
    system: str
    families: tuple[str, ...]


@dataclass
class Scored:
    """What a worker gives back; JSON all through.

    Attributes:
        protocol: As called.
        item: Name of the item.
        system: As called.
        result: File that was scored; "" if there is none.
        values: Metric → value; None where it could not be measured.
        reasons: Metric → why not.
        artifacts: Family → (kind, key) of what it measured.
        parts: (kind, key) of both timelines, the landmarks of both, and the match of the two.
        touched: (kind, key) of all artifacts.
        notes: Of the dub.
        computed: Ranges that were computed now.
        failure: Why there is no result; begins with SKIPPED if none was tried; "" if there is one.
    """

    protocol: str
    item: str
    system: str
    result: str = ""
    values: dict[str, float | None] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, tuple[str, str]] = field(default_factory=dict)
    parts: dict[str, tuple[str, str]] = field(default_factory=dict)
    touched: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    computed: int = 0
    failure: str = ""

    @property
    def skipped(self) -> bool:
        """The clip is too short for what was asked."""
        return self.failure.startswith(SKIPPED)


@dataclass(frozen=True)
class _Truth:
    """What a result is made of and compared with.

    Attributes:
        video: Compared with.
        speech: That the result says.
        start: The result begins there in the item's video [s].
    """

    video: Path
    speech: Path
    start: float | None = None


def score(call: Call, *, cluster: Cluster | None = None) -> Scored:
    """Make or find the result, and measure it; a failure is a result of its own."""
    scored = Scored(call.protocol, call.item.name, call.system)
    try:
        if (least := least_seconds(call.settings, call.rules, call.system, call.item)) > 0:
            seconds = probe(call.item.video).seconds
            if seconds is not None and seconds < least:
                scored.failure = f"{SKIPPED}shorter than {least:g} s"
                return scored
        truth = _truth(call, scored, cluster)
        result = _result(call, truth, scored, cluster)
        scored.result = str(result)
        _measure(call, truth, result, scored, cluster)
    except Exception as error:
        scored.failure = reason_of(error)
    return scored


def options_of(
    settings: EvaluateSettings, rules: Protocol, system: str, item: Item
) -> dict[str, Any]:
    """A method's settings for an item: the protocol's, over them the user's, whose texts may
    name the item (run=RUNS/{item}), and over these what a variant changes."""
    method = settings.dubbed[system]
    given = merge(
        settings.method_settings.get(method, {}), settings.method_settings.get(system, {})
    )
    named = {
        name: value.replace("{item}", item.name) if isinstance(value, str) else value
        for name, value in given.items()
    }
    return merge(rules.methods.get(method, {}), named)


def least_seconds(settings: EvaluateSettings, rules: Protocol, system: str, item: Item) -> float:
    """Length that a method needs under a protocol [s]; 0 for other systems."""
    if system not in settings.dubbed:
        return 0.0
    name = settings.dubbed[system]
    try:
        given = method_settings(name, options_of(settings, rules, system, item))
    except SettingsError:
        return 0.0  # the dub tells
    return find_method(name).least_seconds(given)


def result_path(settings: EvaluateSettings, protocol: str, system: str, item: str) -> Path:
    """Where our own results go."""
    return settings.output / "videos" / Path(protocol).stem / system / f"{item}.mp4"


def _truth(call: Call, scored: Scored, cluster: Cluster | None) -> _Truth:
    settings, item = call.settings, call.item
    if call.rules.last_share is None:
        return _Truth(item.video, item.speech)
    folder = settings.output / "speech" / Path(call.protocol).stem
    with open_run(Store(settings.store), devices=settings.devices, cluster=cluster) as run:
        part = last_part(item.video, call.rules.last_share, folder, item.name)
    _note(scored, run)
    return _Truth(part.video, part.speech, part.start)


def _note(scored: Scored, run: Run) -> None:
    """What a run touched and computed."""
    scored.touched = list(dict.fromkeys([*scored.touched, *run.touched]))
    scored.computed += sum(record.computed for record in run.records)


def _result(call: Call, truth: _Truth, scored: Scored, cluster: Cluster | None) -> Path:
    settings, item = call.settings, call.item
    if call.system == SOURCE:
        return truth.video
    if call.system in settings.external:
        return _found(call)
    path = result_path(settings, call.protocol, call.system, item.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    report = dub(
        DubSettings.model_validate(
            {
                "video": item.video,
                "audio": truth.speech,
                "output": path,
                "store": settings.store,
                "method": settings.dubbed[call.system],
                "method_settings": options_of(settings, call.rules, call.system, item),
                "sync": {
                    "mode": "cut_off",
                    "start_seconds": truth.start,
                    "end_seconds": call.rules.seconds,
                    "read": "whole",
                },
                "origin": {"mark": False},  # it is the method that is measured
                "precision": settings.precision,
                "devices": settings.devices,
                "workers": 1,
            }
        ),
        cluster=cluster,
        catalog=False,
    )
    scored.notes = report.notes
    scored.computed += sum(stage.computed for stage in report.stages)
    scored.touched += [(stage.name, stage.key) for stage in report.stages]
    return path


def _found(call: Call) -> Path:
    """The external system's file: below a folder of the protocol's name, or directly."""
    folder, name = call.settings.external[call.system], call.item.name
    for start in (folder / Path(call.protocol).stem, folder):
        for suffix in _VIDEO_SUFFIXES:
            if (path := start / f"{name}{suffix}").is_file():
                return path
    raise InputError(f"{folder} holds no {name}.mp4 (.mov, .mkv, .webm, .avi)")


def _measure(
    call: Call, truth: _Truth, result: Path, scored: Scored, cluster: Cluster | None
) -> None:
    settings = call.settings
    with open_run(Store(settings.store), devices=settings.devices, cluster=cluster) as run:
        comparison = _compare(call, truth, result)
        parts = {
            "result": comparison.result.timeline,
            "reference": comparison.reference.timeline,
            "face": comparison.result.landmarks,
            "match": comparison.match,
            "truth": comparison.reference.landmarks,
        }
        scored.parts = {name: (part.kind, part.key) for name, part in parts.items()}
        for name in call.families:
            family = find_family(name)
            if family.paired_only and not comparison.paired:
                continue
            artifact = family.measure(comparison)
            scored.artifacts[name] = (artifact.kind, artifact.key)
            scored.values |= artifact.attributes["values"]
            scored.reasons |= artifact.attributes["reasons"]
    _note(scored, run)


def _compare(call: Call, truth: _Truth, result: Path) -> Comparison:
    made, reference = see(Source.of(result)), see(Source.of(truth.video))
    return Comparison(
        result=made,
        reference=reference,
        match=match(made.timeline, reference.timeline),
        speech=waveform(Source.of(truth.speech)),
        paired=call.rules.paired,
    )
