"""Settings of a recorded dub with changes on top, for all of it or for a span of its frames."""

import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from flows.methods import find_method, method_settings
from flows.names import method_names
from flows.presets import checked, merge
from flows.settings import DubSettings
from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from stores.errors import SettingsError, StoreError
from stores.media.audio import audio_blocks, audio_facts
from stores.media.settings import DEFAULT_TRACK
from stores.media.tracks import find_track
from stores.runs import RunRecord
from tasks.source.timeline import load_timeline

FIXED = ("video", "output", "store", "workers", "devices")
"""Settings that a redo does not change."""


def settings_schema(record: RunRecord, method: str | None = None) -> dict[str, Any]:
    """JSON Schema of what a redo can change, and the values that the run had.

    Args:
        method: Whose settings stand in the schema; None: the run's.

    Raises:
        SettingsError: there is no such method, or the record is of no dub that this version knows.
    """
    changes = {} if method in (None, record.settings.get("method")) else {"method": method}
    settings = changed_settings(record, changes)
    own = method_settings(settings.method, settings.method_settings, precision=settings.precision)
    schema = DubSettings.model_json_schema()
    below = type(own).model_json_schema()
    schema["$defs"] = {**schema.get("$defs", {}), **below.pop("$defs", {})}
    properties = schema["properties"]
    properties["method"]["enum"] = list(method_names())
    properties["method_settings"] = below
    values = settings.model_dump(mode="json") | {"method_settings": own.model_dump(mode="json")}
    for name in FIXED:
        del properties[name], values[name]
    schema["required"] = [name for name in schema["required"] if name in properties]
    return {"schema": schema, "values": values}


def changed_settings(record: RunRecord, changes: Mapping[str, Any]) -> DubSettings:
    """The run's settings with changes on top, nested alike.

    Raises:
        SettingsError: one is unknown, malformed or out of range, or is not for a redo to change.
    """
    if record.command != "dub":
        raise SettingsError(f"run {record.id} is of `{record.command}`: only dubs are made again")
    if fixed := [name for name in FIXED if name in changes]:
        raise SettingsError(f"{fixed[0]}: a redo keeps it; use `dubflow dub` to change it")
    before = dict(record.settings)
    if changes.get("method", before.get("method")) != before.get("method"):
        before["method_settings"] = {}  # those of another method
    settings = checked(DubSettings, merge(before, changes))
    find_method(settings.method)
    method_settings(settings.method, settings.method_settings)
    return settings


def artifact_of(store: Store, record: RunRecord, kind: str) -> Artifact:
    """The first artifact of that kind that a run touched.

    Raises:
        StoreError: there is none, or it was collected.
    """
    for each, key in record.artifacts:
        if each == kind:
            return store.get(kind, key)
    raise StoreError(f"run {record.id} has no {kind}: only finished dubs can be inspected so")


def part_settings(
    store: Store, record: RunRecord, settings: DubSettings, span: tuple[int, int], speech: Path
) -> DubSettings:
    """Settings that dub the output rows [start, stop) alone, with their part of the speech.

    Args:
        record: Of the run whose rows they are.
        speech: The part of the speech is written there, a wave file of 16 bits; the same bytes for
            the same span.

    Raises:
        SettingsError: there are no such rows, or the source is repeated within them.
    """
    frames = artifact_of(store, record, "output_frames")
    clip = load_timeline(artifact_of(store, record, "timeline"))
    start, stop = span
    rows, pts = frames.read("source_frame"), frames.read("pts")
    if not 0 <= start < stop <= len(rows):
        raise SettingsError(f"frames {start} to {stop - 1}: the dub has 0 to {len(rows) - 1}")
    source = rows[start:stop]
    tick = float(clip.time_base)
    end = artifact_of(store, record, "dubbed").manifest.parameters["end_pts"]
    times = np.append(pts, end) * tick
    write_part(settings, float(times[start]), float(times[stop]), speech)
    part = artifact_of(store, record, "timeline").manifest.parameters["part"]
    sync: dict[str, Any] = {"mode": "silence", "start_seconds": None, "end_seconds": None}
    sync["read"] = (part["start"], part["stop"]) if part else "whole"
    if not clip.still:
        if (np.diff(source) != 1).any():
            raise SettingsError(
                f"frames {start} to {stop - 1} show the source repeated or backwards: mark a span "
                "within one pass"
            )
        ends = np.append(clip.pts, clip.end_pts)[[source[0], source[-1] + 1]] * tick
        ends += clip.begin_seconds
        sync |= {"start_seconds": float(ends[0]), "end_seconds": float(ends[1])}
    given = {"audio": speech, "audio_track": DEFAULT_TRACK, "sync": sync}
    return checked(DubSettings, settings.model_dump() | given)


def write_part(settings: DubSettings, start: float, stop: float, target: Path) -> None:
    """The speech from `start` to `stop` [s], silence after its end; refuses to replace a file."""
    track = find_track(settings.speech, settings.audio_track)
    facts = audio_facts(settings.speech, track=track)
    left = round((stop - start) * facts.rate)
    with target.open("xb") as opened, wave.open(opened, "wb") as file:
        file.setnchannels(facts.channels)
        file.setsampwidth(2)
        file.setframerate(facts.rate)
        for block in audio_blocks(settings.speech, track=track, start=start, stop=stop):
            left -= len(block)
            file.writeframes(np.rint(np.clip(block, -1, 1) * 32767).astype("<i2").tobytes())
        file.writeframes(bytes(2 * facts.channels * max(0, left)))
